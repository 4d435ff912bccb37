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
from cumulet.model import attachment, capacity, instance


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


def test_a_guest_opens_by_itself_what_another_host_keeps_in_the_pool_of_both(
    cloud: Any, ec2: Any, volume_dir: Path
) -> None:
    hosts = {name: add_host(cloud, name, volume_dir=str(volume_dir)) for name in ("h2", "h3")}
    for host in hosts.values():
        host.heartbeat.facts["opens"] = ["rbd"]
        host.heartbeat.beat()
    drain(cloud, "h1")
    id = launched(cloud, ec2)
    made = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    ec2.attach_volume(VolumeId=made, InstanceId=id, Device="/dev/vdf")
    cloud.settle()
    with cloud.database.read() as tx:
        (disk,) = [disk for disk in attachment.disks(tx, id) if disk.id == made]
    home = place(cloud, id)[0]
    assert disk.exported == disk.host != home
    order = hosts[home].agents["compute"].documents.get(id)
    assert order is not None and order.spec is not None
    spec = decode(order.spec)
    assert isinstance(spec, InstanceSpec)
    assert [(one.volume == made, one.export) for one in spec.disks] == [(False, ""), (True, "")]
    keeper = FakeWorld(cloud.config.state_dir / "hosts" / disk.host / "world")
    assert keeper.get("volume_export", disk.attachment) == {"volume": made, "direct": True}
    ec2.detach_volume(VolumeId=made)
    cloud.settle()
    assert keeper.names("volume_export") == [], "its end shuts out a guest that has not let go"
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"


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
