"""Volumes in Ceph under real guests: what was synced outlives all, disks are clones, and nothing is left (slow)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import ceph
from support.guests import boot_record
from support.real_cloud import RealCloud, Tenant

from cumulet.demo.process import until

pytestmark = [pytest.mark.private_host, pytest.mark.slow, pytest.mark.timeout(600)]
MAKE = "dd if=/dev/urandom of=/tmp/x bs=64k count=64 2>&-"
READ = "dd if=/dev/{} bs=64k count=64 2>&- | sha256sum"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Cluster]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    with ceph.cluster(tmp_path_factory.mktemp("ceph")) as made:
        yield made


@pytest.fixture(scope="module")
def cloud(tiny_image: Path, cluster: ceph.Cluster) -> Iterator[RealCloud]:
    keyring = str(cluster.pool.keyring)
    made = RealCloud(tiny_image, volume_driver="rbd", rbd_conf=str(cluster.settings), rbd_keyring=keyring)
    yield made
    made.process.stop()


def write(user: Tenant, guest: str, disk: str) -> str:
    """The sum of what is on the disk's first MiBs now, which is new, and synced."""
    command = f"{MAKE} && dd if=/tmp/x of=/dev/{disk} bs=64k conv=fsync 2>&- && sha256sum < /tmp/x"
    return user.ssh(guest, command)


def read(user: Tenant, guest: str, disk: str) -> str:
    return user.ssh(guest, f"echo 3 > /proc/sys/vm/drop_caches; {READ.format(disk)}")


def volume(user: Tenant, id: str) -> dict[str, Any]:
    found: dict[str, Any] = user.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]
    return found


def wait_for(user: Tenant, id: str, state: str) -> None:
    until(lambda: volume(user, id)["State"] == state, 60, f"{id} to be {state}: {volume(user, id)}")


def attach(user: Tenant, id: str, guest: str, disk: str) -> None:
    user.ec2.attach_volume(VolumeId=id, InstanceId=guest, Device=f"/dev/{disk}")
    until(lambda: volume(user, id)["Attachments"][0]["State"] == "attached", 60, f"{id} to be attached")
    serial = f"cat /sys/block/{disk}/serial 2>&1 || true"
    until(lambda: id.replace("-", "") in user.ssh(guest, serial), 60, f"{guest} to find {id}")


def copied(user: Tenant, id: str) -> str:
    """A volume of what is on this one now."""
    taken = user.ec2.create_snapshot(VolumeId=id)["SnapshotId"]
    user.ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[taken], WaiterConfig={"Delay": 1})
    zone = volume(user, id)["AvailabilityZone"]
    made: str = user.ec2.create_volume(AvailabilityZone=zone, SnapshotId=taken)["VolumeId"]
    wait_for(user, made, "available")
    user.ec2.delete_snapshot(SnapshotId=taken)
    return made


def test_what_was_synced_is_there_after_deaths_and_in_what_was_made_of_it(
    cloud: RealCloud, cluster: ceph.Cluster
) -> None:
    user = cloud.admin
    first = user.run()
    zone = user.look(first)["Placement"]["AvailabilityZone"]
    id = user.ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    wait_for(user, id, "available")
    user.wait_for_ssh(first)
    attach(user, id, first, "vdb")
    written = write(user, first, "vdb")
    copy = copied(user, id)
    later = write(user, first, "vdb")
    user.ec2.detach_volume(VolumeId=id)
    wait_for(user, id, "available")
    attach(user, id, first, "vdb")
    attach(user, copy, first, "vdc")
    assert [read(user, first, disk) for disk in ("vdb", "vdc")] == [later, written]
    user.ec2.modify_volume(VolumeId=id, Size=2)
    until(lambda: user.ssh(first, "cat /sys/block/vdb/size").strip() == str(2**31 // 512), 60, "the disk to grow")
    on_root = write(user, first, "vda")
    qemu = int(Path(f"/run/libvirt/qemu/{first}.pid").read_text())
    cloud.process.stop(signal.SIGKILL)
    os.kill(qemu, signal.SIGKILL)
    cloud.process.start()
    user.wait(first, "stopped")
    user.ec2.start_instances(InstanceIds=[first])
    user.wait(first, "running")
    user.wait_for_ssh(first)
    assert [read(user, first, disk) for disk in ("vda", "vdb", "vdc")] == [on_root, later, written]
    image = user.ec2.create_image(InstanceId=first, Name="made", NoReboot=True)["ImageId"]
    user.ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    second = user.run(ImageId=image)
    user.wait_for_ssh(second)
    assert [read(user, second, disk) for disk in ("vda", "vdb", "vdc")] == [on_root, later, written]
    user.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    user.terminate(first, second)
    for one in [one["VolumeId"] for one in user.ec2.describe_volumes()["Volumes"]]:
        wait_for(user, one, "available")
        user.ec2.delete_volume(VolumeId=one)
    until(lambda: not cluster.pool.volumes(), 60, "the pool to be empty")
    assert "pool volumes" in cloud.process.attempt("doctor").stdout


def says(cloud: RealCloud, guest: str, word: bytes) -> bool:
    file = cloud.process.state / "consoles" / f"{guest}.log"
    return file.exists() and word in file.read_bytes()


def shut_out(cluster: ceph.Cluster) -> str:
    return cluster.ceph("osd", "blocklist", "ls", "--format", "json")


def test_instances_of_an_image_have_clones_of_it_as_root_disks(cloud: RealCloud, cluster: ceph.Cluster) -> None:
    user, file, before = cloud.admin, cloud.process.state / "disk", shut_out(cluster)
    file.write_bytes(boot_record(b"a clone in Ceph\r\n"))
    os.truncate(file, 64 << 20)
    cloud.process.command("image", "import", str(file), "--name", "says-so")
    made = [user.run("says-so") for _ in range(2)]
    for id in made:
        until(partial(says, cloud, id, b"a clone in Ceph"), 60, "it to boot")
        root = user.look(id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        assert (cluster.pool.parent(root) or "").startswith("imf-")
    user.terminate(*made)
    until(lambda: [name[:4] for name in cluster.pool.volumes()] == ["imf-"], 60, "all but the image's copy to go")
    assert shut_out(cluster) == before, "nobody is shut out in an ordinary life"
