"""Hosts that share a pool of Ceph: guests move with their memory alone, and go on elsewhere when a host is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ceph
from support.lab_user import Lab, guests_of

from cumulet.demo.process import until
from cumulet.lab import underlay
from cumulet.lib.private_host import SCRATCH_VARIABLE

pytestmark = [pytest.mark.private_host, pytest.mark.slow, pytest.mark.timeout(900)]
FENCE = 10.0


@pytest.fixture(scope="module")
def lab(tiny_image: Path) -> Iterator[Lab]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    directory = Path(os.environ[SCRATCH_VARIABLE]) / "lab" / "ceph"
    places = {"rbd_conf": str(directory / "ceph.conf"), "rbd_keyring": str(directory / "client.cumulet.keyring")}
    settings: dict[str, str | float] = {"volume_driver": "rbd", "fence_seconds": FENCE, **places}
    made = Lab(tiny_image, 3, settings, lambda: ceph.cluster(directory, underlay.CONTROLLER))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def guest(lab: Lab) -> str:
    """In the zone of two hosts; its disk has four MiB that are synced."""
    id = lab.run("us-east-1a")
    lab.wait(id, "running")
    lab.wait_for_ssh(id)
    lab.shell(id, "head -c 4194304 /dev/urandom | dd of=/dev/vda bs=1M iflag=fullblock conv=fsync")
    return id


def on_disk(lab: Lab, guest: str, disk: str = "vda") -> str:
    """A digest of the first four MiB of its disk, read anew."""
    return lab.shell(guest, f"echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/{disk} bs=1M count=4 | md5sum")


def places() -> tuple[str, str]:
    """The host of the zone that has the guest, and the other one."""
    here, there = sorted(("h1", "h3"), key=lambda name: -len(guests_of(name)))
    return here, there


@pytest.fixture(scope="module")
def disks(lab: Lab, guest: str) -> Iterator[list[str]]:
    """Two volumes that different hosts kept, in the guest as vdb and vdc."""
    found = [str(lab.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]) for _ in range(2)]
    lab.ec2.get_waiter("volume_available").wait(VolumeIds=found, WaiterConfig={"Delay": 1})
    for id, name in zip(found, ("vdb", "vdc"), strict=True):
        lab.ec2.attach_volume(VolumeId=id, InstanceId=guest, Device=f"/dev/{name}")
    until(lambda: all(lab.volume(id)["Attachments"][0]["State"] == "attached" for id in found), 60, "both to be there")
    for name in ("vdb", "vdc"):
        lab.shell(guest, f"head -c 4194304 /dev/urandom | dd of=/dev/{name} bs=1M iflag=fullblock conv=fsync")
    yield found
    for id in found:
        lab.ec2.delete_volume(VolumeId=id)
    until(lambda: not lab.beside.pool.volumes(), 60, "the pool to be empty")


def test_a_guest_moves_with_its_memory_alone(lab: Lab, guest: str, disks: list[str]) -> None:
    boot, before = lab.boot(guest), set(lab.beside.pool.volumes())
    kept = [on_disk(lab, guest, name) for name in ("vda", "vdb", "vdc")]
    here, there = places()
    lab.laboratory.ask("instance", "migrate", guest, "--to", there)
    assert (len(guests_of(here)), len(guests_of(there))) == (0, 1)
    assert (lab.boot(guest), [on_disk(lab, guest, name) for name in ("vda", "vdb", "vdc")]) == (boot, kept)
    assert set(lab.beside.pool.volumes()) == before
    assert all(len(lab.beside.pool.users(id)) == 1 for id in disks)
    lab.shell(guest, "dd if=/dev/zero of=/dev/vdb bs=1M count=1 seek=8 conv=fsync")


def test_what_ran_on_a_host_that_is_cut_off_goes_on_at_another_one_and_only_there(
    lab: Lab, guest: str, disks: list[str]
) -> None:
    kept, boot, (lost, other) = on_disk(lab, guest, "vdb"), lab.boot(guest), places()
    host = lab.laboratory.hosts[lost]
    host.cut()
    try:
        until(lambda: bool(guests_of(other)), 90, "the guest to be started elsewhere")
        assert not guests_of(lost), "it goes on where it was, with the same disk"
        until(lambda: lab.has_booted_since(guest, boot), 60, "the guest to answer")
    finally:
        host.heal()
    assert on_disk(lab, guest, "vdb") == kept
    until(lambda: f"compute.{lost}" in lab.laboratory.alive(), 60, "the host to be heard again")
    lab.ec2.terminate_instances(InstanceIds=[guest])
    lab.wait(guest, "terminated")
    until(lambda: set(lab.beside.pool.volumes()) == set(disks), 60, "its root disk to go")
