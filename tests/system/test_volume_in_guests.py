"""The tutorial's section on volumes, with real guests: what was synced outlives all, and moves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.real_cloud import RealCloud, Tenant

from cumulet.demo.process import until

pytestmark = pytest.mark.private_host
MAKE = "dd if=/dev/urandom of=/tmp/x bs=64k count=64 2>&-"
WRITE = f"{MAKE} && dd if=/tmp/x of=/dev/vdb bs=64k conv=fsync 2>&- && sha256sum < /tmp/x"
WORD = "what-nobody-may-read"
WRITE_WORD = f"yes {WORD} | head -c 65536 > /tmp/w && dd if=/tmp/w of=/dev/vdb bs=64k seek=100 conv=fsync 2>&-"
READ = "dd if=/dev/vdb bs=64k count=64 2>&- | sha256sum"


@pytest.fixture(scope="module")
def cloud(tiny_image: Path) -> Iterator[RealCloud]:
    made = RealCloud(tiny_image)
    yield made
    made.process.stop()


def volume(user: Tenant, id: str) -> dict[str, Any]:
    found: dict[str, Any] = user.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]
    return found


def wait_for(user: Tenant, id: str, state: str) -> None:
    until(lambda: volume(user, id)["State"] == state, 60, f"{id} to be {state}: {volume(user, id)}")


def copied(user: Tenant, id: str, guest: str) -> str:
    """A volume made from a snapshot that is taken now, while the guest has the volume."""
    taken = user.ec2.create_snapshot(VolumeId=id)["SnapshotId"]
    user.ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[taken], WaiterConfig={"Delay": 1})
    zone = volume(user, id)["AvailabilityZone"]
    made: str = user.ec2.create_volume(AvailabilityZone=zone, SnapshotId=taken)["VolumeId"]
    wait_for(user, made, "available")
    return made


def attach(user: Tenant, id: str, guest: str, name: str = "vdb") -> None:
    user.ec2.attach_volume(VolumeId=id, InstanceId=guest, Device=f"/dev/{name}")
    until(lambda: volume(user, id)["Attachments"][0]["State"] == "attached", 60, f"{id} to be attached")
    until(lambda: has_it(user, id, guest, name), 60, f"{guest} to find {id}")


def has_it(user: Tenant, id: str, guest: str, name: str) -> bool:
    return id.replace("-", "") in user.ssh(guest, f"cat /sys/block/{name}/serial 2>&1 || true")


def launched_of(user: Tenant, guest: str) -> tuple[str, str]:
    """An image that is made of the guest between two starts, and an instance of it, whose root disk is encrypted."""
    image = user.ec2.create_image(InstanceId=guest, Name="made")["ImageId"]
    user.ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    found = user.ec2.describe_images(ImageIds=[image])["Images"][0]
    root = {"DeviceName": found["RootDeviceName"], "Ebs": {"Encrypted": True}}
    return image, user.run(ImageId=image, BlockDeviceMappings=[root])


def shows(cloud: RealCloud, word: str) -> list[str]:
    """The files of volumes that have this in them as it is."""
    files = list((cloud.process.state / "volumes").rglob("*.qcow2"))
    assert files
    return [file.name for file in files if word.encode() in file.read_bytes()]


def test_what_was_synced_is_there_after_deaths_and_in_another_instance(cloud: RealCloud) -> None:
    user = cloud.admin
    first, second = user.run(), user.run()
    zone = user.look(first)["Placement"]["AvailabilityZone"]
    id = user.ec2.create_volume(AvailabilityZone=zone, Size=1, Encrypted=True)["VolumeId"]
    wait_for(user, id, "available")
    user.wait_for_ssh(first)
    attach(user, id, first)
    assert user.ssh(first, "cat /sys/block/vdb/size").strip() == str(2**30 // 512)
    assert user.ssh(first, "dd if=/dev/vdb bs=64k count=64 2>&- | tr -d '\\0' | wc -c").strip() == "0"
    written = user.ssh(first, WRITE)
    user.ssh(first, WRITE_WORD)
    qemu = int(Path(f"/run/libvirt/qemu/{first}.pid").read_text())
    cloud.process.stop(signal.SIGKILL)
    os.kill(qemu, signal.SIGKILL)
    cloud.process.start()
    user.wait(first, "stopped")
    user.ec2.start_instances(InstanceIds=[first])
    user.wait(first, "running")
    user.wait_for_ssh(first)
    assert user.ssh(first, READ) == written
    user.ec2.detach_volume(VolumeId=id)
    wait_for(user, id, "available")
    assert "no" in user.ssh(first, "test -e /sys/block/vdb || echo no")
    user.terminate(first)
    user.wait_for_ssh(second)
    attach(user, id, second)
    assert user.ssh(second, READ) == written
    copy = copied(user, id, second)
    assert WORD in user.ssh(second, "dd if=/dev/vdb bs=64k skip=100 count=1 2>&- | head -n 1")
    assert shows(cloud, WORD) == []
    assert user.ssh(second, WRITE) != written
    attach(user, copy, second, "vdc")
    assert user.ssh(second, READ.replace("vdb", "vdc")) == written
    on_root = user.ssh(second, WRITE.replace("vdb", "vda"))
    image, third = launched_of(user, second)
    user.wait_for_ssh(third)
    assert user.ssh(third, READ.replace("vdb", "vda")) == on_root
    assert user.ssh(third, READ.replace("vdb", "vdc")) == written
    assert all(
        volume(user, disk["Ebs"]["VolumeId"])["Encrypted"] for disk in user.look(third)["BlockDeviceMappings"][:2]
    )
    user.wait_for_ssh(second)
    assert user.ssh(second, READ.replace("vdb", "vda")) == on_root
    user.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    user.terminate(second, third)
    left = [one["VolumeId"] for one in user.ec2.describe_volumes()["Volumes"]]
    assert {id, copy} < set(left)
    for one in left:
        wait_for(user, one, "available")
        user.ec2.delete_volume(VolumeId=one)
    user.ec2.delete_snapshot(SnapshotId=user.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["SnapshotId"])
    until(lambda: not user.ec2.describe_volumes()["Volumes"], 30, "the volume to go")
    until(lambda: not list((cloud.process.state / "volumes").rglob("*.qcow2")), 30, "its files to go")
