"""The crash suite over RabbitMQ, in samples: what a bus changes about a death is the same for every kind of life."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from crash.all_lives import LIVES
from crash.lives import Life
from crash.one_fate import OneFate
from crash.site import Site
from crash.test_crash_points import At, begin, die, end, take_over_at
from support.rabbitmq import VirtualHost

from cumulet.bus.amqp import AmqpBus
from cumulet.bus.contract import Bus
from cumulet.lib import crash

SPREAD = 7
"""At every so many points it dies."""
HELD = ("commit.", "driver.")
"""Where it cannot be paused: heartbeats are written down in another thread here, which waits for the writer."""
SAMPLES = [
    life for life in LIVES if life.name in ("launch", "terminate", "end by itself", "move address", "host reboots")
]


@pytest.mark.parametrize("life", SAMPLES, ids=lambda life: life.name)
def test_a_crash_leaves_nothing_stuck_and_nothing_behind(
    life: Life, template: Path, tmp_path: Path, vhost: VirtualHost
) -> None:
    def make_bus() -> Bus:
        return OneFate(AmqpBus(vhost.url))

    number = 0
    while True:
        site, subjects = begin(life, template, tmp_path / str(number), make_bus)
        point = At(number, die)
        with suppress(crash.Died), crash.at_each_point(point):
            site.settle()
        if not point.name:
            break
        site.start_again()
        end(site, life, subjects)
        number += SPREAD
    end(site, life, subjects)
    assert number > 0


def test_a_runner_that_wakes_up_after_its_lease_changes_nothing(
    template: Path, tmp_path: Path, vhost: VirtualHost
) -> None:
    def paused_at(number: int) -> tuple[Site, list[str], dict[str, object] | None]:
        site, subjects = begin(SAMPLES[0], template, tmp_path / str(number), lambda: AmqpBus(vhost.url))
        return site, subjects, take_over_at(site, number, HELD)

    number = 0
    site, subjects, left = paused_at(number)
    while left is not None:
        end(site, SAMPLES[0], subjects)
        number += 2
        site, subjects, left = paused_at(number)
    site.close()
    assert number > 0
