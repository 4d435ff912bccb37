"""A guest that moves while it runs, whoever dies meanwhile, runs on one host: never on two, and never on none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from crash.moving_lives import LIVES
from crash.site import Site
from crash.test_crash_points import At, begin, die, end

from cumulet.lib import crash
from cumulet.lib.crash import Died

SPREAD = 9
"""At every so many points it dies."""


class Watched:
    """Asserts at each point what holds of the guest, before it passes the point on."""

    def __init__(self, site: Site, guest: str, point: At) -> None:
        self._site = site
        self._guest = guest
        self._point = point

    def __call__(self, name: str) -> None:
        found = [(world.get("domain", self._guest) or {}).get("state", "none") for world in self._site.worlds.values()]
        assert found.count("running") <= 1, name
        assert set(found) - {"off", "none"}, name
        self._point(name)


def test_it_runs_on_one_host_at_each_moment(template: Path, tmp_path: Path) -> None:
    life, number = LIVES[0], 0
    while True:
        site, subjects = begin(life, template, tmp_path / str(number))
        point = At(number, die)
        watched = Watched(site, subjects[0], point)
        with suppress(Died), crash.at_each_point(watched):
            site.settle()
        if not point.name:
            break
        with crash.at_each_point(watched):
            site.start_again()
            end(site, life, subjects)
        number += SPREAD
    assert number > 3 * SPREAD
