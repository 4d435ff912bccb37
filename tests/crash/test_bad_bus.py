"""Questions that vanish, repeat or come late: every life ends well all the same."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from crash.afterwards import check
from crash.all_lives import LIVES
from crash.bad_bus import BadBus
from crash.lives import Life, terminate
from crash.site import Site
from support.rabbitmq import VirtualHost

from cumulet.bus.amqp import AmqpBus

SEEDS = range(25)
HARM: Counter[str] = Counter()


@pytest.mark.parametrize("seed", SEEDS)
def test_all_lives_at_once_end_well_on_a_bad_bus(seed: int, template: Path, tmp_path: Path) -> None:
    live_and_die(Site.copy(template, tmp_path / "site"), seed)


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_all_lives_at_once_end_well_on_a_bad_rabbitmq(
    seed: int, template: Path, tmp_path: Path, vhost: VirtualHost
) -> None:
    live_and_die(Site.copy(template, tmp_path / "site", lambda: AmqpBus(vhost.url)), seed)


def live_and_die(site: Site, seed: int) -> None:
    bus = BadBus(site.engine.bus, seed)
    site.engine.bus = bus
    lives = [life for life in LIVES if not life.alone]
    random.Random(seed).shuffle(lives)
    told = [(life, begin(site, bus, life)) for life in lives]
    site.settle()
    bus.bad = False
    site.sweep()
    check(site, {id: state for life, found in told for id, state in zip(found, life.states, strict=False)})
    for life, found in told:
        for id in found[: len(life.states)]:
            terminate(site, id)
    site.settle()
    check(site, {id: "terminated" for life, found in told for id in found[: len(life.states)]})
    HARM.update(bus.harm)
    assert bus.alike == set()
    site.close()


def begin(site: Site, bus: BadBus, life: Life) -> list[str]:
    """Set up on a good bus, and happening on the bad one."""
    bus.bad = False
    subjects = life.prepare(site)
    site.settle()
    bus.bad = True
    life.act(site, subjects)
    return subjects


def test_every_kind_of_harm_was_done_and_old_orders_were_refused() -> None:
    assert set(HARM) >= {"lost question", "lost late question", "lost answer", "asked twice", "late, superseded"}
