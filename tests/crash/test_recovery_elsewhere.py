"""A host that is lost while whoever else may die: its guests run on another host, once, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.afterwards import check
from crash.fenced_site import FencedSite
from crash.lives import Life, launch_beside, launch_in, reboot, stop, terminate
from crash.site import ZONES, Site, prepared
from crash.test_crash_points import die_at_each_point, take_over_at_each
from crash.volume_lives import attach, beside, create_volume, detach, migrate, take_snapshot
from support.databases import Tested

from cumulet.model import instance


def _lost(site: Site, _: list[str]) -> None:
    assert isinstance(site, FencedSite)
    site.lose()


def _with_volume(site: Site) -> list[str]:
    """It has a second disk, of which there is a snapshot."""
    found = [launch_beside(site), create_volume(site, "h2")]
    site.settle()
    attach(site, found[1], found[0])
    take_snapshot(site, found[1])
    site.settle()
    return found


def _terminate(site: Site, found: list[str]) -> None:
    terminate(site, found[0])
    _lost(site, found)


def _stop(site: Site, found: list[str]) -> None:
    stop(site, found[0])
    _lost(site, found)


def _reboot(site: Site, found: list[str]) -> None:
    reboot(site, found[0])
    _lost(site, found)


def _while_it_goes(site: Site, found: list[str]) -> None:
    """It is on its way to the first host."""
    _go(site, found)
    _lost(site, found)


def _go(site: Site, found: list[str]) -> None:
    migrate(site, found[0], "live")
    for _ in range(ON_THE_WAY):
        site.engine.run_due()


def _while_it_comes(site: Site, found: list[str]) -> None:
    """It is on its way from the first host, whose zone is the second one's too."""
    _go(site, found)
    _lost(site, found)


ON_THE_WAY = 8


def _on_the_first(site: Site) -> list[str]:
    with site.database.write() as tx:
        found = [launch_in(tx, site, zone=ZONES[1])]
        instance.move(tx, found[0], {}, wanted_host="h1")
    site.settle()
    return found


def _with_volume_of_the_other(site: Site) -> list[str]:
    """It is on the first host, and has a volume of the second one."""
    found = [*_on_the_first(site), create_volume(site, "h2")]
    site.settle()
    attach(site, found[1], found[0])
    site.settle()
    return found


def _lost_and_stop(site: Site, found: list[str]) -> None:
    _lost(site, found)
    stop(site, found[0])


def _lost_and_detach(site: Site, found: list[str]) -> None:
    _lost(site, found)
    detach(site, found[1])


LIVES = [
    Life("lost", beside, _lost, ["running"], every=4),
    Life("lost with a volume", _with_volume, _lost, ["running"], every=15),
    Life("terminated and lost", beside, _terminate, ["terminated"], every=9),
    Life("stopped and lost", beside, _stop, ["stopped"], every=9),
    Life("rebooted and lost", beside, _reboot, ["running"], every=15),
    Life("lost while the guest leaves it", beside, _while_it_goes, ["running"], every=11),
    Life("lost while a guest comes to it", _on_the_first, _while_it_comes, ["running"], every=11),
    Life("stopped without the host of its volume", _with_volume_of_the_other, _lost_and_stop, ["stopped"], every=5),
    Life("detached without the volume's host", _with_volume_of_the_other, _lost_and_detach, ["running"], every=4),
]
EACH = [life._replace(name=f"{life.name}, at each point", every=1) for life in LIVES]
TRIED = [*LIVES, *(pytest.param(life, marks=pytest.mark.slow) for life in EACH)]
STALE_SPREAD = 3


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory, database_server: Tested | None) -> Path:
    """The directory of a prepared site, which is closed."""
    return prepared(FencedSite, tmp_path_factory.mktemp("fenced"), database_server)


def begin(life: Life, fenced: Path, directory: Path) -> tuple[FencedSite, list[str]]:
    site = FencedSite.copy(fenced, directory)
    assert isinstance(site, FencedSite)
    subjects = life.prepare(site)
    site.settle()
    life.act(site, subjects)
    return site, subjects


def end(site: FencedSite, life: Life, subjects: list[str]) -> None:
    """It is as it should be without the host, and so it is when that is back."""
    site.settle()
    runs = {subjects[0]: "h1"} if life.states[0] == "running" else {}
    assert site.running() == runs
    site.bring_back()
    site.settle()
    site.sweep()
    assert site.running() == runs
    check(site, dict(zip(subjects, life.states, strict=False)), site.shared)
    site.close()


@pytest.mark.parametrize("life", TRIED, ids=lambda life: life.name)
def test_a_crash_while_a_host_is_lost(life: Life, fenced: Path, tmp_path: Path) -> None:
    deaths = die_at_each_point(life, lambda directory: begin(life, fenced, directory), end, tmp_path)
    assert deaths > 2 * life.every


@pytest.mark.parametrize("life", TRIED, ids=lambda life: life.name)
def test_a_stale_runner_while_a_host_is_lost(life: Life, fenced: Path, tmp_path: Path) -> None:
    spread = STALE_SPREAD * life.every
    take_over_at_each(life, lambda directory: begin(life, fenced, directory), end, tmp_path, spread)
