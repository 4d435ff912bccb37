"""A process that dies at any point of any life: another one goes on, and nothing is stuck or left over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from crash.afterwards import check
from crash.all_lives import LIVES
from crash.lives import Life
from crash.moving_lives import LONG_LIVES
from crash.site import Site

from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus
from cumulet.engine.engine import LEASE_SECONDS
from cumulet.lib import crash
from cumulet.lib.crash import Died

AnySite = TypeVar("AnySite", bound=Site)


def begin(
    life: Life, template: Path, directory: Path, make_bus: Callable[[], Bus] = MemoryBus
) -> tuple[Site, list[str]]:
    """The life is set up, and what happens to it has been written down but not been seen by the engine."""
    site = Site.copy(template, directory, make_bus)
    subjects = life.prepare(site)
    site.settle()
    life.act(site, subjects)
    return site, subjects


def end(site: Site, life: Life, subjects: list[str]) -> None:
    """All comes to rest by itself, and is as it should be; so it is after a sweep."""
    site.settle()
    check(site, dict(zip(subjects, life.states, strict=False)))
    before = site.everything()
    site.sweep()
    after = site.everything()
    assert {name: after[name] for name in after if name not in MOVING} == {
        name: before[name] for name in before if name not in MOVING
    }
    site.close()


MOVING = ("work", "service")
"""Tables that a sweep and a heartbeat change."""


class At:
    """Calls `happens` at the point of this number, once; `name` is the point's, when it has been reached."""

    def __init__(self, number: int, happens: Callable[[], None], spared: tuple[str, ...] = ()) -> None:
        self._left = number
        self._happens = happens
        self._spared = spared
        self.name = ""

    def __call__(self, name: str) -> None:
        if self.name or name.startswith(self._spared or ("-",)):
            return
        self._left -= 1
        if self._left < 0:
            self.name = name
            self._happens()


def die() -> None:
    raise Died


def die_at_each_point(
    life: Life,
    begun: Callable[[Path], tuple[AnySite, list[str]]],
    ended: Callable[[AnySite, Life, list[str]], None],
    directory: Path,
) -> int:
    """The life once for each of its points, or of every so many of them, and once without; gives the number after them.

    `begun` sets it up in a directory below this one. It dies at the point, starts again, and is `ended`.
    """
    deaths = 0
    while True:
        site, subjects = begun(directory / str(deaths))
        point = At(deaths, die)
        with suppress(Died), crash.at_each_point(point):
            site.settle()
        if not point.name:
            break
        site.start_again()
        ended(site, life, subjects)
        deaths += life.every
    ended(site, life, subjects)
    return deaths


TRIED = [*LIVES, *(pytest.param(life, marks=pytest.mark.slow) for life in LONG_LIVES)]


@pytest.mark.parametrize("life", TRIED, ids=lambda life: life.name)
def test_a_crash_at_any_point_leaves_nothing_stuck_and_nothing_behind(
    life: Life, template: Path, tmp_path: Path
) -> None:
    deaths = die_at_each_point(life, lambda directory: begin(life, template, directory), end, tmp_path)
    assert deaths > 3 * life.every


HELD = ("commit.before", "driver.")
"""Points where something is held that makes others wait: the database's writer, an agent's lock."""


def take_over_at(site: Site, number: int, held: tuple[str, ...] = HELD) -> dict[str, object] | None:
    """Pause the engine at this point and have another finish; the first then changes nothing. None: no such point."""
    finished: dict[str, object] = {}

    def finish() -> None:
        site.pass_time(LEASE_SECONDS + 1)
        site.beat()
        site.settle(site.another_engine())
        finished.update(site.everything())

    point = At(number, finish, spared=held)
    with crash.at_each_point(point):
        while not finished and (site.engine.run_due() or wait(site)):
            pass
    if not point.name:
        return None
    assert site.everything() == finished, point.name
    return finished


def take_over_at_each(
    life: Life,
    begun: Callable[[Path], tuple[AnySite, list[str]]],
    ended: Callable[[AnySite, Life, list[str]], None],
    directory: Path,
    spread: int,
) -> None:
    """The life once for every so many of its points, each `begun` in a directory below this one, and `ended`."""
    number = 0
    while True:
        site, subjects = begun(directory / str(number))
        if take_over_at(site, number) is None:
            break
        ended(site, life, subjects)
        number += spread
    site.close()
    assert number > 0


def wait(site: Site) -> bool:
    """Let time pass to what is due next; False when there is nothing."""
    waiting = site.waiting()
    if waiting:
        site.pass_time(max(min(row.due for row in waiting) - site.clock.now(), 0.0) + 0.01)
    return bool(waiting)
