"""Volumes of a host that keeps them in Ceph: the whole cloud, over a command line that is a fake."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from support.fake_rbd import FakePool, FakeRbd
from support.launching import launched, shown
from support.libvirtd import bounded
from support.tested_cloud import TestedCloud

from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import Spec, VolumeSpec
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.rbd import RbdVolumes
from cumulet.lib.config import Config
from cumulet.lib.rbd import Pool
from cumulet.model import host, image_copy, instance, work
from cumulet.model.image import image as image_table
from cumulet.model.image import image_file
from cumulet.parts import Part, fake_drivers
from cumulet.services import Host, heartbeat_of

ZONE = "us-east-1a"


class Told(RbdVolumes):
    """The world of the fake guests is told of volumes."""

    def __init__(self, world: FakeWorld, pool: Pool, directory: Path) -> None:
        super().__init__(pool, directory / "images", Exports(directory / "run", ""), "h1", directory / "opened")
        self._world = world

    def ensure(self, spec: Spec) -> None:
        super().ensure(spec)
        if isinstance(spec, VolumeSpec):
            known = {"key": spec.key} if spec.key else {}
            self._world.put("volume", spec.id, {"size_gib": spec.size_gib, **known})


class Rbd:
    """A cloud of one host whose image has a disk."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.pool = FakePool(FakeRbd(directory / "ceph"))
        self._directory = directory
        self.cloud = TestedCloud(directory, self._parts, database_url=database_url)
        self.ec2 = self.cloud.client("ec2")
        with self.cloud.database.read() as tx:
            (image,) = tx.all(sa.select(image_table))
        self.image, self.file = image.id, image.image_file
        files = directory / "images" / image.image_file
        files.mkdir(parents=True)
        (files / "facts").write_text(json.dumps({"format": "raw", "virtual_size": 1 << 20}))
        (files / "disk").write_bytes(b"image".ljust(1 << 20, b"\0"))

    def _parts(self, config: Config) -> dict[str, Part]:
        driver = Told(FakeWorld(config.state_dir / "world"), self.pool, self._directory)
        part = Part(driver, {}, {"opens": ["rbd"], "encrypts": ["luks"]}, "ceph 5a1f/3")
        return fake_drivers(config.state_dir / "world", lambda id: None) | {"volume": part}

    def add_host(self, name: str) -> None:
        """One more, with the same pool, and no image."""
        state = self.cloud.config.state_dir / "hosts" / name
        state.mkdir(parents=True)
        config = msgspec.structs.replace(self.cloud.config, host_name=name, state_dir=state)
        self._directory = state
        bus = self.cloud.cloud.bus
        Host(config, bus, self._parts(config), heartbeat_of(config, bus)).heartbeat.beat()

    def volume(self, **asked: Any) -> str:
        id = str(self.ec2.create_volume(AvailabilityZone=ZONE, **{"Size": 1, **asked})["VolumeId"])
        self.until(lambda: self.state(id) == "available")
        return id

    def state(self, id: str) -> str:
        return str(self.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["State"])

    def reads(self, id: str) -> bytes:
        with Path(self.pool.device(id)).open("rb") as file:
            return file.read(5)

    def until(self, holds: Any) -> None:
        """Until it holds; what was put off is looked at again."""
        for _ in bounded(20):
            self.cloud.settle()
            if holds():
                return
            self.cloud.clock.ahead += 61

    def until_only(self, *names: str) -> None:
        self.until(lambda: set(self.pool.volumes()) == set(names))


@pytest.fixture
def rbd(tmp_path: Path, database_url: str) -> Iterator[Rbd]:
    made = Rbd(tmp_path, database_url)
    yield made
    made.cloud.stop()


def test_volumes_and_snapshots_are_made_of_each_other_and_go(rbd: Rbd) -> None:
    first = rbd.volume()
    Path(rbd.pool.device(first)).write_bytes(b"first")
    snapshot = str(rbd.ec2.create_snapshot(VolumeId=first)["SnapshotId"])
    rbd.until(lambda: rbd.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed")
    rbd.ec2.delete_volume(VolumeId=first)
    rbd.until_only(snapshot)
    second = rbd.volume(Size=2, SnapshotId=snapshot)
    rbd.ec2.delete_snapshot(SnapshotId=snapshot)
    rbd.until_only(second)
    assert rbd.reads(second) == b"first"
    rbd.ec2.modify_volume(VolumeId=second, Size=3)
    rbd.until(lambda: rbd.pool.size(second) == 3 << 30)


def test_a_launch_clones_the_image_whose_base_goes_after_it(rbd: Rbd) -> None:
    guests = [launched(rbd.cloud, rbd.ec2) for _ in range(2)]
    rbd.until(lambda: all(shown(rbd.ec2, guest)["State"]["Name"] == "running" for guest in guests))
    roots = [one["VolumeId"] for one in rbd.ec2.describe_volumes()["Volumes"]]
    assert [rbd.pool.parent(root) for root in roots] == [rbd.file] * 2
    assert {rbd.reads(root) for root in roots} == {b"image"}
    rbd.ec2.terminate_instances(InstanceIds=guests)
    rbd.until_only(rbd.file)
    rbd.ec2.deregister_image(ImageId=rbd.image)
    rbd.until_only()


def test_an_image_with_a_disk_is_in_the_pool_before_it_is_used_and_does_without_its_host(rbd: Rbd) -> None:
    files = image_file.c.id == rbd.file
    with rbd.cloud.database.write() as tx:
        row = tx.first(sa.select(image_file).where(files))
        assert row is not None
        tx.change(image_file.update().where(files).values(facts={**row.facts, "virtual_size": 1 << 20}))
        work.wake(tx, "image_file", rbd.file)
    rbd.until_only(rbd.file)
    shutil.rmtree(rbd.cloud.config.state_dir / "images" / rbd.file)
    rbd.add_host("h2")
    with rbd.cloud.database.write() as tx:
        host.set_enabled(tx, "h1", enabled=False)
    guest = launched(rbd.cloud, rbd.ec2)
    rbd.until(lambda: shown(rbd.ec2, guest)["State"]["Name"] == "running")
    (root,) = rbd.ec2.describe_volumes()["Volumes"]
    assert (rbd.reads(root["VolumeId"]), rbd.pool.parent(root["VolumeId"])) == (b"image", rbd.file)
    rbd.ec2.deregister_image(ImageId=rbd.image)
    rbd.ec2.terminate_instances(InstanceIds=[guest])
    rbd.until_only()


def test_a_host_that_shares_the_pool_needs_no_copy_of_an_image_that_is_in_it(rbd: Rbd) -> None:
    first = launched(rbd.cloud, rbd.ec2)
    rbd.until(lambda: shown(rbd.ec2, first)["State"]["Name"] == "running")
    rbd.add_host("h2")
    with rbd.cloud.database.write() as tx:
        host.set_enabled(tx, "h1", enabled=False)
    second = launched(rbd.cloud, rbd.ec2)
    rbd.until(lambda: shown(rbd.ec2, second)["State"]["Name"] == "running")
    with rbd.cloud.database.read() as tx:
        row = instance.find(tx, second)
        assert row is not None and row.host == "h2"
        assert tx.all(sa.select(image_copy.image_copy)) == []


def test_an_instance_has_encrypted_disks_in_ceph_of_which_nothing_lies_there_as_it_is(rbd: Rbd) -> None:
    id = rbd.volume(Encrypted=True)
    root = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}
    guest = launched(rbd.cloud, rbd.ec2, BlockDeviceMappings=[root])
    rbd.until(lambda: shown(rbd.ec2, guest)["State"]["Name"] == "running")
    rbd.ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    rbd.until(lambda: rbd.state(id) == "in-use")
    roots = [one for one in rbd.ec2.describe_volumes()["Volumes"] if one["VolumeId"] != id]
    assert [one["Encrypted"] for one in roots] == [True]
    assert {rbd.reads(one) for one in (id, roots[0]["VolumeId"])} == {b"LUKS\xba"}
    assert b"image" not in Path(rbd.pool.device(roots[0]["VolumeId"])).read_bytes()[: 8 << 20]
    copy = str(rbd.ec2.create_snapshot(VolumeId=id)["SnapshotId"])
    rbd.until(lambda: rbd.ec2.describe_snapshots(SnapshotIds=[copy])["Snapshots"][0]["State"] == "completed")
    assert rbd.reads(copy) == b"LUKS\xba"
