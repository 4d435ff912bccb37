"""Disks of real guests that are images in Ceph (slow: it starts one)."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from support import ceph
from support.guests import Guests, boot_record
from support.libvirtd import bounded

from cumulet.drivers.specs import DiskSpec, SnapshotSpec, VolumeSpec
from cumulet.drivers.volume import encrypted
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.locked import target
from cumulet.drivers.volume.rbd import RbdVolumes
from cumulet.lib.command import run
from cumulet.lib.rbd import Pool

pytestmark = [pytest.mark.private_host, pytest.mark.slow]
ROOT, DATA, COPY = (f"vol-0123456789abcdef{n}" for n in range(3))
SNAPSHOT = "snap-0123456789abcdef0"
DISK = DiskSpec(volume=DATA, attachment="volattach-0123456789abcdef0", slot="f")
BIOS: dict[str, Any] = {"volume": ROOT, "boot": "bios", "kernel_image": None}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    with ceph.cluster(tmp_path_factory.mktemp("ceph")) as made:
        yield made.pool


@pytest.fixture
def volumes(tmp_path: Path, pool: Pool) -> Iterator[RbdVolumes]:
    """Those of a host, with a root disk that says so, and one for data."""
    made = RbdVolumes(pool, tmp_path / "images", Exports(tmp_path / "run", ""), "h1", tmp_path / "opened")
    for volume in (ROOT, DATA):
        made.ensure(VolumeSpec(id=volume, size_gib=1))
    (tmp_path / "root").write_bytes(boot_record(b"from Ceph\r\n"))
    run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", tmp_path / "root", pool.device(ROOT)])
    yield made
    for seen in made.observe():
        made.remove(seen.id)


@pytest.fixture
def guests(tmp_path: Path, tiny_image: Path, volumes: RbdVolumes) -> Iterator[Guests]:
    found = Guests(tmp_path, tiny_image, pool=volumes.pool)
    yield found
    for seen in found.hypervisor.observe():
        found.hypervisor.remove(seen.id)
    found.close()


def does(id: str, command: str) -> str:
    """What QEMU says in its log when it does this to a guest's disk in the guest's stead (qemu-io's commands)."""
    log = Path(f"/var/log/libvirt/qemu/{id}.log")
    before = len(log.read_text())
    device = f"/machine/peripheral/ua-{DISK.name}/virtio-backend"
    said = run(["virsh", "qemu-monitor-command", "--hmp", id, f'qemu-io -d {device} "{command}"'])
    return said.stdout + log.read_text()[before:]


def reads(pool: Pool, volume: str, command: str) -> bool:
    """Whether the volume holds that (qemu-io's read)."""
    said = run(["qemu-io", "-f", "raw", "-r", "-c", command, pool.device(volume)], check=False)
    return said.returncode == 0 and "verification failed" not in said.stdout


def new_id() -> str:
    return f"i-0{uuid.uuid4().hex[:16]}"


def test_a_guest_has_disks_in_ceph_that_come_grow_and_go(guests: Guests, volumes: RbdVolumes) -> None:
    id, pool = new_id(), volumes.pool
    guests.ensure(id, **BIOS)
    assert guests.says(id, b"from Ceph")
    for _ in range(2):
        guests.ensure(id, **BIOS, more=[DISK])
    assert "wrote" in does(id, "write -P 7 1M 64k")
    volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=DATA))
    assert "wrote" in does(id, "write -P 8 1M 64k")
    volumes.ensure(VolumeSpec(id=DATA, size_gib=1, grows_to=2))
    guests.ensure(id, **BIOS, more=[msgspec.structs.replace(DISK, size_gib=2)])
    assert "2 GiB" in does(id, "length")
    assert pool.size(DATA) == 2 << 30
    domain = ElementTree.fromstring(run(["virsh", "dumpxml", id]).stdout)
    assert {one.get("type") for one in domain.iterfind("devices/disk")} == {"network"}
    command = Path(f"/proc/{guests.qemu(id)}/cmdline").read_bytes()
    assert pool.key().encode() not in command + Path(f"/var/log/libvirt/qemu/{id}.log").read_bytes()
    guests.ensure(id, **BIOS, cut=[DISK.name])
    assert guests.hypervisor.cut(id) == [DISK.name]
    assert pool.users(DATA) == []
    volumes.ensure(VolumeSpec(id=COPY, size_gib=1, snapshot=SNAPSHOT))
    assert reads(pool, COPY, "read -P 7 1M 64k")
    assert reads(pool, DATA, "read -P 8 1M 64k")


def test_an_encrypted_disk_in_ceph_comes_grows_and_is_snapshotted(guests: Guests, volumes: RbdVolumes) -> None:
    id, pool, key, locked = new_id(), volumes.pool, "k" * 43 + "=", "vol-0123456789abcdef3"
    disk = msgspec.structs.replace(DISK, volume=locked, key=key)
    volumes.ensure(VolumeSpec(id=locked, size_gib=1, key=key))
    guests.ensure(id, **BIOS, more=[disk])
    assert "wrote" in does(id, "write -P 7 1M 64k")
    assert not reads(pool, locked, "read -P 7 5M 64k")
    volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=locked, key=key))
    assert "wrote" in does(id, "write -P 8 1M 64k")
    guests.ensure(id, **BIOS, more=[msgspec.structs.replace(disk, size_gib=2)])
    assert "2 GiB" in does(id, "length")
    assert key.encode() not in Path(f"/proc/{guests.qemu(id)}/cmdline").read_bytes()
    volumes.ensure(VolumeSpec(id=COPY, size_gib=1, snapshot=SNAPSHOT, key=key))
    with encrypted.told(key, pool.secret()) as told:
        words = ["qemu-io", *told.words, "-r", "-c", "read -P 7 1M 64k", target(pool, COPY)]
        said = run(words, descriptors=told.descriptors).stdout
    assert "read 65536" in said
    assert "verification failed" not in said


def test_limits_of_a_disk_are_kept_and_change(guests: Guests) -> None:
    id = new_id()
    for iops in (100, 200):
        guests.ensure(id, **BIOS, more=[msgspec.structs.replace(DISK, iops=iops)])
        assert f"{iops}" in run(["virsh", "blkdeviotune", id, "vdf"]).stdout


def test_a_guest_that_stood_still_writes_no_more_once_another_has_its_disk(guests: Guests, volumes: RbdVolumes) -> None:
    one, other, pool = new_id(), new_id(), volumes.pool
    guests.ensure(one, **BIOS, more=[DISK])
    assert "wrote" in does(one, "write -P 7 1M 64k")
    os.kill(guests.qemu(one), signal.SIGSTOP)
    run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", pool.device(ROOT), pool.device(_copy_of_root(volumes))])
    guests.ensure(other, **(BIOS | {"volume": COPY}), more=[DISK])
    assert "wrote" in does(other, "write -P 8 1M 64k")
    os.kill(guests.qemu(one), signal.SIGCONT)
    for _ in bounded(30):
        if "wrote" not in (said := does(one, "write -P 9 1M 64k")):
            break
    assert "shutdown" in said
    assert reads(pool, DATA, "read -P 8 1M 64k")
    assert "wrote" in does(other, "write -P 8 2M 64k")


def _copy_of_root(volumes: RbdVolumes) -> str:
    volumes.ensure(VolumeSpec(id=COPY, size_gib=1))
    return COPY
