"""Hosts that have the same directory of volumes: what is kept there goes from one to the other without a copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.launching import launched, shown
from support.more_hosts import add_host

from cumulet.administration.desk import Desk
from cumulet.administration.gate import done_here
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.drivers.specs import InstanceSpec, decode
from cumulet.drivers.volume.shared import DirectoryLock, identity
from cumulet.lib.errors import Failure
from cumulet.model import attachment, capacity, instance, volume
from cumulet.model.host import host


@pytest.fixture
def volume_dir(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    return made


def test_a_drained_host_hands_over_its_disks_without_a_copy(cloud: Any, ec2: Any, volume_dir: Path) -> None:
    hosts = {name: add_host(cloud, name, volume_dir=str(volume_dir)) for name in ("h2", "h3")}
    drain(cloud, "h1")
    id = launched(cloud, ec2)
    made = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    before = FakeWorld(volume_dir).names("volume")
    assert made in before and len(before) == 2
    first = place(cloud, id)[0]
    assert set(drain(cloud, first)["stays"]) == set()
    cloud.settle()
    assert place(cloud, id) == ["h3" if first == "h2" else "h2"] * 2
    assert shown(ec2, id)["State"]["Name"] == "running"
    assert FakeWorld(volume_dir).names("volume") == before
    with cloud.database.read() as tx:
        assert capacity.counted(tx)[first] == capacity.NOTHING
    ec2.terminate_instances(InstanceIds=[id])
    ec2.delete_volume(VolumeId=made)
    cloud.settle()
    assert [one for agent in hosts[first].agents.values() for one in agent.recover()] == []
    assert FakeWorld(volume_dir).names("volume") == [], "the host that has handed them over brings none back"


@pytest.mark.parametrize("refuses", [False, True])
def test_a_guest_moves_with_its_memory_alone(cloud: Any, ec2: Any, volume_dir: Path, refuses: bool) -> None:
    hosts = {
        name: add_host(cloud, name, volume_dir=str(volume_dir), tunnel_address=f"192.0.2.{name[1]}")
        for name in ("h2", "h3")
    }
    drain(cloud, "h1")
    id = launched(cloud, ec2)
    first, before = place(cloud, id)[0], FakeWorld(volume_dir).names("volume")
    hypervisor = hosts[first].agents["compute"].driver
    assert isinstance(hypervisor, FakeHypervisor)
    hypervisor.refuses_to_leave = refuses
    assert done_here(Desk(cloud.database, cloud.config), "MigrateInstance", {"id": id})["live"]
    for _ in range(6):
        cloud.pass_time(1)
    assert place(cloud, id) == [first if refuses else "h3" if first == "h2" else "h2"] * 2
    assert FakeWorld(volume_dir).names("volume") == before
    with cloud.database.read() as tx:
        row, found = instance.find(tx, id), capacity.counted(tx)
        assert row is not None and (row.generation, row.state) == (1, "running")
        assert {name: amount for name, amount in found.items() if amount != capacity.NOTHING} == capacity.promised(tx)
        assert list(capacity.promised(tx)) == [row.host]


class Pooled:
    """An instance on one of two hosts that open the same pool, and a volume that the other one keeps."""

    def __init__(self, cloud: Any, ec2: Any, directory: Path, *, encrypted: bool = False) -> None:
        self.cloud, self.ec2 = cloud, ec2
        self.hosts = {name: add_host(cloud, name, volume_dir=str(directory)) for name in ("h2", "h3")}
        for one in self.hosts.values():
            one.heartbeat.facts["opens"] = ["rbd"]
            one.heartbeat.beat()
        drain(cloud, "h1")
        self.guest = launched(cloud, ec2)
        self.volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, Encrypted=encrypted)["VolumeId"]
        cloud.settle()
        (self.home,) = set(place(cloud, self.guest))
        self.other = "h3" if self.home == "h2" else "h2"
        with cloud.database.read() as tx:
            row = volume.find(tx, self.volume)
            assert row is not None and row.host == self.other

    def attached(self) -> Any:
        """The volume as a disk, and what its guest's host was told of it."""
        self.ec2.attach_volume(VolumeId=self.volume, InstanceId=self.guest, Device="/dev/vdf")
        self.cloud.settle()
        with self.cloud.database.read() as tx:
            (disk,) = [disk for disk in attachment.disks(tx, self.guest) if disk.id == self.volume]
            assert capacity.counted(tx) == {
                **dict.fromkeys(capacity.counted(tx), capacity.NOTHING),
                **capacity.promised(tx),
            }
        order = self.hosts[self.home].agents["compute"].documents.get(self.guest)
        assert order is not None and order.spec is not None
        spec = decode(order.spec)
        assert isinstance(spec, InstanceSpec)
        assert [(one.volume == self.volume, one.export) for one in spec.disks] == [(False, ""), (True, "")]
        return disk

    def exports(self) -> dict[str, Any]:
        world = FakeWorld(self.cloud.config.state_dir / "hosts" / self.other / "world")
        return {id: world.get("volume_export", id) for id in world.names("volume_export")}


def test_a_volume_in_a_pool_is_kept_by_the_host_of_whoever_it_is_attached_to(
    cloud: Any, ec2: Any, volume_dir: Path
) -> None:
    pooled = Pooled(cloud, ec2, volume_dir)
    disk = pooled.attached()
    assert (disk.host, disk.exported, pooled.exports()) == (pooled.home, "", {})


def test_force_takes_a_volume_in_a_pool_from_a_host_that_keeps_it_and_is_silent(
    cloud: Any, ec2: Any, volume_dir: Path
) -> None:
    pooled = Pooled(cloud, ec2, volume_dir)
    disk = pooled.attached()
    for role in ("compute", "volume"):
        cloud.cloud.bus.leave(f"{role}.{pooled.home}")
    cloud.clock.ahead += 20
    pooled.hosts[pooled.other].heartbeat.beat()
    ec2.detach_volume(VolumeId=pooled.volume, Force=True)
    cloud.settle()
    assert ec2.describe_volumes(VolumeIds=[pooled.volume])["Volumes"][0]["State"] == "available"
    order = pooled.hosts[pooled.other].agents["volume"].documents.get(disk.attachment)
    assert order is not None and not order.living(), "the other host has shut it out"
    assert pooled.exports() == {}


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_guest_opens_by_itself_what_another_host_keeps_in_the_pool_of_both(
    cloud: Any, ec2: Any, volume_dir: Path, encrypted: bool
) -> None:
    pooled = Pooled(cloud, ec2, volume_dir, encrypted=encrypted)
    with cloud.database.write() as tx:
        tx.change(host.update().where(host.c.name == pooled.home).values(disk_gib=0))
    disk = pooled.attached()
    assert disk.exported == disk.host == pooled.other
    assert pooled.exports() == {disk.attachment: {"volume": pooled.volume, "direct": True}}
    ec2.detach_volume(VolumeId=pooled.volume)
    cloud.settle()
    assert pooled.exports() == {}, "its end shuts out a guest that has not let go"
    assert ec2.describe_volumes(VolumeIds=[pooled.volume])["Volumes"][0]["State"] == "available"


def drain(cloud: Any, name: str) -> Any:
    return done_here(Desk(cloud.database, cloud.config), "DrainHost", {"name": name})


def place(cloud: Any, id: str) -> list[str]:
    """The hosts of an instance and of its disk."""
    with cloud.database.read() as tx:
        row = instance.find(tx, id)
        assert row is not None
        return [row.host, *(disk.host for disk in attachment.disks(tx, id))]


def test_a_host_that_has_mounted_another_directory_does_not_start(volume_dir: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    name = identity(volume_dir, first)
    assert name == identity(volume_dir, second) == identity(volume_dir, first)
    (tmp_path / "other").mkdir()
    for directory in ("nothing", "other"):
        with pytest.raises(Failure, match="not the directory that this host had"):
            identity(tmp_path / directory, first)
    assert identity(tmp_path / "other", tmp_path / "third") != name


def test_the_lock_of_a_shared_directory_holds_between_processes(volume_dir: Path, tmp_path: Path) -> None:
    take = (
        "import fcntl, os, sys; file = os.open(sys.argv[1], os.O_RDWR); fcntl.lockf(file, fcntl.LOCK_EX|fcntl.LOCK_NB)"
    )
    command = [sys.executable, "-c", take, str(volume_dir / ".store")]
    identity(volume_dir, tmp_path / "name")
    lock = DirectoryLock(volume_dir)
    with lock:
        with lock:
            assert subprocess.run(command, check=False, capture_output=True).returncode != 0
        assert subprocess.run(command, check=False, capture_output=True).returncode != 0
    subprocess.run(command, check=True)
