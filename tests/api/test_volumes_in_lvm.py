"""Volumes of a host that keeps them in LVM: the whole cloud, over a command line that is a fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.fake_lvm import FakeLvm
from support.launching import launched
from support.libvirtd import bounded
from support.refusals import code
from support.tested_cloud import TestedCloud

from cumulet.agent.heartbeat import Room
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import Spec, VolumeSpec
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.lvm import LvmVolumes, room_gib
from cumulet.lib.config import Config
from cumulet.lib.lvm import Group
from cumulet.model.image import image as image_table
from cumulet.parts import Part, fake_drivers

ZONE = "us-east-1a"


class Told(LvmVolumes):
    """The world of the fake guests is told of volumes."""

    def __init__(self, world: FakeWorld, group: Group, images: Path, exports: Exports) -> None:
        super().__init__(group, images, exports)
        self._world = world

    def ensure(self, spec: Spec) -> None:
        super().ensure(spec)
        if isinstance(spec, VolumeSpec):
            self._world.put("volume", spec.id, {"size_gib": spec.size_gib})


class Lvm:
    """A cloud of one host, with a group of 8 GiB."""

    def __init__(self, directory: Path, database_url: str, pool: str) -> None:
        self.command = FakeLvm(directory / "dev", pool=pool, size=8 << 30)
        self.group = Group("nova-volumes", pool, devices=directory / "dev", run=self.command.run)
        self._directory = directory
        self.cloud = TestedCloud(directory, self._parts, database_url=database_url)
        self.ec2 = self.cloud.client("ec2")
        with self.cloud.database.read() as tx:
            (image,) = tx.all(sa.select(image_table))
        files = directory / "images" / image.image_file
        files.mkdir(parents=True)
        (files / "facts").write_text('{"format": "kernel", "virtual_size": 0}')
        for name in ("kernel", "initrd"):
            (files / name).touch()

    def _parts(self, config: Config) -> dict[str, Part]:
        world = FakeWorld(config.state_dir / "world")
        driver = Told(world, self.group, self._directory / "images", Exports(self._directory / "run", ""))
        room = lambda: Room(room_gib(self.group), disk_exact=not self.group.pool)  # noqa: E731
        return fake_drivers(config.state_dir / "world", lambda id: None) | {"volume": Part(driver, {}, room=room)}

    def volume(self, size: int = 1, **asked: Any) -> str:
        id = str(self.ec2.create_volume(AvailabilityZone=ZONE, Size=size, **asked)["VolumeId"])
        self.until(lambda: self.state(id) == "available")
        return id

    def state(self, id: str) -> str:
        return str(self.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["State"])

    def grown(self, id: str) -> str:
        found = self.ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
        return str(found[0]["ModificationState"])

    def snapshot(self, volume: str) -> str:
        id = str(self.ec2.create_snapshot(VolumeId=volume)["SnapshotId"])
        self.until(lambda: self.ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"][0]["State"] == "completed")
        return id

    def until(self, holds: Any) -> None:
        """Until it holds; what was put off is looked at again."""
        for _ in bounded(20):
            self.cloud.settle()
            if holds():
                return
            self.cloud.clock.ahead += 61


@pytest.fixture(params=["", "thin"], ids=["thick", "thin"])
def lvm(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Lvm]:
    made = Lvm(tmp_path, database_url, request.param)
    yield made
    made.cloud.stop()


def test_volumes_and_snapshots_are_made_of_each_other_and_go(lvm: Lvm) -> None:
    first = lvm.volume()
    with lvm.group.device(first).open("r+b") as file:
        file.write(b"first")
    snapshot = lvm.snapshot(first)
    lvm.ec2.delete_volume(VolumeId=first)
    lvm.until(lambda: set(lvm.group.volumes()) == {snapshot})
    second = lvm.volume(2, SnapshotId=snapshot)
    lvm.ec2.delete_snapshot(SnapshotId=snapshot)
    lvm.until(lambda: set(lvm.group.volumes()) == {second})
    with lvm.group.device(second).open("rb") as file:
        assert file.read(5) == b"first"
    lvm.ec2.modify_volume(VolumeId=second, Size=3)
    lvm.until(lambda: lvm.group.volumes()[second].size == 3 << 30)


def test_a_volume_grows_while_a_guest_has_it(lvm: Lvm) -> None:
    guest, id = launched(lvm.cloud, lvm.ec2), lvm.volume()
    lvm.ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    lvm.until(lambda: lvm.state(id) == "in-use")
    lvm.ec2.modify_volume(VolumeId=id, Size=2)
    lvm.until(lambda: lvm.grown(id) == "completed")
    assert lvm.group.volumes()[id].size == 2 << 30


def test_thick_volumes_are_promised_no_more_than_the_group_has(lvm: Lvm) -> None:
    lvm.volume(5)
    too_much = {"AvailabilityZone": ZONE, "Size": 4}
    if lvm.group.pool:
        lvm.volume(4)
        return
    assert code(lvm.ec2.create_volume, **too_much) == "InsufficientVolumeCapacity"
    lvm.volume(3)
