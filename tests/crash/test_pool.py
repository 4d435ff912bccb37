"""Hosts that open the same pool of volumes, whoever dies: volumes are free when they should be, and nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from crash.afterwards import check
from crash.fenced_site import FencedSite
from crash.image_lives import register_bundle
from crash.lives import Life, deregister, import_image, launch_in, stop
from crash.site import ZONES, Site, prepared
from crash.test_crash_points import die_at_each_point
from crash.volume_lives import attach, beside, create_volume, detach
from support.databases import Tested

from cumulet.model import attachment, image, instance

SILENT = 20.0


class PoolSite(FencedSite):
    """Its hosts promise nothing; the second one is silent from `lose` on, and its guests go on."""

    fence_seconds = 0.0

    def open(self) -> None:
        super().open()
        for one in self.hosts.values():
            one.heartbeat.facts["opens"] = ["rbd"]

    def _wait_for_the_end(self) -> None:
        if self.lost:
            self.pass_time(SILENT)
            self.beat()

    def waiting(self) -> list[Any]:
        """What waits for the silent host only is not waited for."""
        silent = tuple(f"nobody serves {role}.{name}" for name in self.lost for role in self.hosts[name].agents)
        return [row for row in Site.waiting(self) if not row.error.endswith(silent or ("-",))]

    def bring_back(self) -> None:
        super().bring_back()
        self.hosts["h2"].heartbeat.facts["opens"] = ["rbd"]
        self.beat()


def _attached_elsewhere(site: Site) -> list[str]:
    """A guest on the first host, with a volume that the second one keeps."""
    with site.database.write() as tx:
        guest = launch_in(tx, site, zone=ZONES[1])
        instance.move(tx, guest, {}, wanted_host="h1")
    return _attached(site, [guest, create_volume(site, "h2")])


def _attached_at_home(site: Site) -> list[str]:
    """A guest on the second host, with a volume that this keeps itself."""
    return _attached(site, [*beside(site), create_volume(site, "h2")])


def _attached(site: Site, found: list[str]) -> list[str]:
    site.settle()
    attach(site, found[1], found[0])
    site.settle()
    return found


def _detach(site: Site, found: list[str]) -> None:
    detach(site, found[1])


def _stop(site: Site, found: list[str]) -> None:
    stop(site, found[0])


def _take(site: Site, found: list[str]) -> None:
    """By force, while the guest's host is silent."""
    assert isinstance(site, PoolSite)
    site.lose()
    detach(site, found[1], force=True)


LIVES = [
    Life("detached from a guest elsewhere", _attached_elsewhere, _detach, ["running"], every=5),
    Life("stopped elsewhere", _attached_elsewhere, _stop, ["stopped"], every=4),
    Life("taken by force from a silent host", _attached_at_home, _take, ["running"], every=3),
]


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory, database_server: Tested | None) -> Path:
    """The directory of a prepared site, which is closed."""
    return prepared(PoolSite, tmp_path_factory.mktemp("pooled"), database_server)


def begin(life: Life, pooled: Path, directory: Path) -> tuple[PoolSite, list[str]]:
    site = PoolSite.copy(pooled, directory)
    assert isinstance(site, PoolSite)
    subjects = life.prepare(site)
    site.settle()
    life.act(site, subjects)
    return site, subjects


def end(site: PoolSite, life: Life, subjects: list[str]) -> None:
    """What was to be free is free at once, and all is well when the host is back."""
    site.settle()
    if life.act is not _stop:
        with site.database.read() as tx:
            row = attachment.find_volume(tx, subjects[1])
            assert row is not None and row.attachment is None
    site.bring_back()
    site.settle()
    site.sweep()
    check(site, dict(zip(subjects, life.states, strict=False)), site.shared)
    site.close()


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_crash_at_any_point(life: Life, pooled: Path, tmp_path: Path) -> None:
    deaths = die_at_each_point(life, lambda directory: begin(life, pooled, directory), end, tmp_path)
    assert deaths > life.every


def _own_image(site: Site) -> list[str]:
    return [import_image(site)]


IMAGES = [
    Life("its disk is put into the pool", lambda site: [], lambda site, found: found.append(register_bundle(site)), []),
    Life("it goes from there", _own_image, lambda site, found: deregister(site, found.pop()), [], every=3),
]


def end_of_image(site: PoolSite, life: Life, subjects: list[str]) -> None:
    """Each image file with a disk that there is has it in the pool, and nothing else is there."""
    site.settle()
    site.sweep()
    check(site, {}, site.shared)
    with site.database.read() as tx:
        files = {row.id for row in tx.all(sa.select(image.image_file)) if row.facts.get("virtual_size")}
    assert site.shared is not None
    assert set(site.shared.names("volume")) == files
    assert bool(files) == bool(subjects)
    site.close()


@pytest.mark.parametrize("life", IMAGES, ids=lambda life: life.name)
def test_a_crash_at_any_point_of_an_image(life: Life, pooled: Path, tmp_path: Path) -> None:
    assert die_at_each_point(life, lambda directory: begin(life, pooled, directory), end_of_image, tmp_path) > 4
