"""Disks of real guests that run: plugged in, limited, unplugged, and taken away by force."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from support.guests import Guests, boot_record, does
from support.libvirtd import bounded

from cumulet.demo.process import until
from cumulet.drivers.places import layer_file, volume_top
from cumulet.drivers.specs import DiskSpec, ImageFileSpec, SnapshotSpec, VolumeSpec
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

pytestmark = pytest.mark.private_host
HALTED = "imf-00000000000000002"
MOST = "bcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory, tiny_image: Path) -> Iterator[Guests]:
    found = Guests(tmp_path_factory.mktemp("host"), tiny_image)
    source = found.boot_id.with_name("halted")
    source.write_bytes(boot_record(b"halted\r\n"))
    found.images.ensure(ImageFileSpec(id=HALTED, source=str(source), format="raw"))
    yield found
    found.close()


@pytest.fixture
def id(guests: Guests) -> Iterator[str]:
    made = f"i-0{uuid.uuid4().hex[:16]}"
    yield made
    guests.remove(made)


def data(guests: Guests, slot: str) -> DiskSpec:
    """A new volume, as a disk at this place."""
    volume = f"vol-0{uuid.uuid4().hex[:16]}"
    guests.volumes.ensure(VolumeSpec(id=volume, size_gib=1))
    return DiskSpec(volume=volume, attachment=volume.replace("vol", "volattach"), slot=slot)


def ensure_halted(guests: Guests, id: str, *disks: DiskSpec, cut: list[str] | None = None) -> None:
    """A guest that has no drivers, and so never lets go of anything."""
    volume = id.replace("i-", "vol-")
    guests.volumes.ensure(VolumeSpec(id=volume, size_gib=1, image_file=HALTED))
    guests.ensure(id, volume=volume, more=disks, boot="bios", kernel_image=None, cut=cut or [])


def is_locked(guests: Guests, disk: DiskSpec) -> bool:
    """Whether a QEMU has the volume's file open to write."""
    file = volume_top(guests.directories.volumes, disk.volume)
    return run(["qemu-io", "-f", "raw", "-c", "length", file], check=False).returncode != 0


def test_disks_come_and_go_while_a_guest_runs(guests: Guests, id: str) -> None:
    one, two = data(guests, "b"), data(guests, "c")
    guests.ensure(id)
    guests.wait_until_booted(id)
    began = time.monotonic()
    guests.ensure(id, more=[one, two])
    guests.ensure(id, more=[one, two])
    assert time.monotonic() - began < 5
    assert guests.hypervisor.disks(id) == sorted([id.replace("i-", "vol-"), one.name, two.name])
    assert is_locked(guests, one)
    for _ in bounded(10):
        guests.ensure(id, more=[two])
        if one.name not in guests.hypervisor.disks(id):
            break
    guests.changed.clear()
    for _ in bounded(10):
        if not is_locked(guests, one):
            break
    for _ in bounded(10):
        with suppress(Failure):  # libvirt says that a disk is gone a moment before QEMU has let go of the file
            guests.ensure(id, more=[two, one])
        if one.name in guests.hypervisor.disks(id):
            break
    guests.ensure(id, more=[one], generation=2, force_after=0.0)
    assert guests.hypervisor.disks(id) == sorted([id.replace("i-", "vol-"), one.name])


def test_a_guest_finds_the_volumes_id_as_serial_and_qemu_keeps_to_the_limits(guests: Guests, id: str) -> None:
    disk = data(guests, "f")
    guests.ensure(id, more=[DiskSpec(volume=disk.volume, slot="f", iops=500)])
    guests.ensure(id, more=[DiskSpec(volume=disk.volume, slot="f", iops=600, throughput_mib=50)])
    domain = ElementTree.fromstring(run(["virsh", "dumpxml", id]).stdout)
    (found,) = [one for one in domain.iterfind("devices/disk") if one.find("target[@dev='vdf']") is not None]
    assert found.findtext("serial") == disk.volume.replace("-", "")
    assert found.findtext("iotune/total_iops_sec") == "600"
    assert found.findtext("iotune/total_bytes_sec") == str(50 << 20)


def test_a_guest_has_25_disks_beside_its_root_disk(guests: Guests, id: str) -> None:
    disks = [data(guests, slot) for slot in MOST]
    ensure_halted(guests, id)
    ensure_halted(guests, id, *disks)
    assert set(guests.hypervisor.disks(id)) > {disk.name for disk in disks}


def test_a_disk_is_taken_by_force_from_a_guest_that_does_not_let_go(guests: Guests, id: str) -> None:
    disk = data(guests, "f")
    ensure_halted(guests, id, disk)
    assert guests.says(id, b"halted")
    for _ in range(2):
        ensure_halted(guests, id)
        assert disk.name in guests.hypervisor.disks(id)
        assert guests.hypervisor.cut(id) == []
        assert is_locked(guests, disk)
    for _ in range(2):
        ensure_halted(guests, id, cut=[disk.name])
        assert guests.hypervisor.cut(id) == [disk.name]
        assert not is_locked(guests, disk)
    again = DiskSpec(volume=disk.volume, attachment="volattach-again", slot="g")
    ensure_halted(guests, id, again, cut=[disk.name])
    assert is_locked(guests, disk)
    assert guests.hypervisor.cut(id) == [disk.name]
    run(["virsh", "reset", id])
    for _ in bounded(10):
        if disk.name not in guests.hypervisor.disks(id):
            break
    assert "volattach-again" in guests.hypervisor.disks(id)


def test_a_disk_that_is_not_there_is_named_and_comes_when_it_is(guests: Guests, id: str) -> None:
    ensure_halted(guests, id)
    volume = f"vol-0{uuid.uuid4().hex[:16]}"
    with pytest.raises(Failure, match=volume):
        ensure_halted(guests, id, DiskSpec(volume=volume, slot="b"))
    guests.volumes.ensure(VolumeSpec(id=volume, size_gib=1))
    ensure_halted(guests, id, DiskSpec(volume=volume, slot="b"))
    assert volume in guests.hypervisor.disks(id)


def test_a_guest_changes_to_the_new_layer_and_the_snapshot_stays_as_it_is(guests: Guests, id: str) -> None:
    disk, root = data(guests, "f"), id.replace("i-", "vol-")
    ensure_halted(guests, id, disk)
    for number in range(2):
        for volume in (disk.volume, root):
            guests.volumes.ensure(SnapshotSpec(id=volume.replace("vol", f"snap-{number}")[:22], volume=volume))
        ensure_halted(guests, id, disk)
        ensure_halted(guests, id, disk)
    live = ElementTree.fromstring(run(["virsh", "dumpxml", id]).stdout)
    files = {disk.findtext("serial"): disk.find("source").get("file") for disk in live.iterfind("devices/disk")}  # type: ignore[union-attr]
    for volume in (disk.volume, root):
        assert files[volume.replace("-", "")] == str(volume_top(guests.directories.volumes, volume))
    copy = f"vol-0{uuid.uuid4().hex[:16]}"
    guests.volumes.ensure(VolumeSpec(id=copy, size_gib=1, snapshot=disk.volume.replace("vol", "snap-1")[:22]))
    ensure_halted(guests, id, disk, DiskSpec(volume=copy, slot="g"))
    for _ in bounded(10):
        ensure_halted(guests, id, cut=[disk.name])
        if not is_locked(guests, disk):
            break


def test_a_disk_grows_in_the_guest(guests: Guests, id: str) -> None:
    disk = data(guests, "f")
    ensure_halted(guests, id, disk)
    for size in (2, 2, 0):
        ensure_halted(guests, id, msgspec.structs.replace(disk, size_gib=size))
    guests.volumes.ensure(VolumeSpec(id=disk.volume, size_gib=2))
    assert run(["virsh", "domblkinfo", id, "vdf"]).stdout.split()[1] == str(2 << 30)


def test_what_was_written_before_a_snapshot_is_read_after_it(guests: Guests, id: str) -> None:
    disk = data(guests, "f")
    ensure_halted(guests, id, disk)
    for number in (1, 2, 3):
        assert "wrote" in does(id, disk, f"write -P {number} {number}M 64k")
        guests.volumes.ensure(SnapshotSpec(id=disk.volume.replace("vol", f"snap-{number}")[:22], volume=disk.volume))
        guests.volumes.remove("vol-another")  # and the layers on which nothing stands
        ensure_halted(guests, id, disk)
        for before in range(1, number + 1):
            said = does(id, disk, f"read -P {before} {before}M 64k")
            assert "read 65536/65536" in said
            assert "verification failed" not in said


def test_layers_below_a_running_guest_are_merged(guests: Guests, id: str) -> None:
    disk = data(guests, "f")
    snapshots = [disk.volume.replace("vol", f"snap-{number}")[:22] for number in range(4)]
    for number, snapshot in enumerate(snapshots):
        ensure_halted(guests, id, disk)
        assert "wrote" in does(id, disk, f"write -P {number + 1} {number + 1}M 64k")
        guests.volumes.ensure(SnapshotSpec(id=snapshot, volume=disk.volume))
        ensure_halted(guests, id, disk)
        guests.volumes.ensure(SnapshotSpec(id=snapshot))
        guests.volumes.remove("vol-another")
        if number >= 2:
            guests.volumes.remove(snapshots[number - 2])
            merged = layer_file(guests.directories.volumes, snapshots[number - 2])
            until(lambda merged=merged: not merged.exists(), 20, "the layer to be merged")  # type: ignore[misc]
        for before in range(number + 1):
            said = does(id, disk, f"read -P {before + 1} {before + 1}M 64k")
            assert "read 65536/65536" in said
            assert "verification failed" not in said
    guests.remove(id)
    ensure_halted(guests, id, disk)
    for number in range(4):
        assert "verification failed" not in does(id, disk, f"read -P {number + 1} {number + 1}M 64k")


def test_an_encrypted_disk_comes_changes_its_layers_grows_and_goes(guests: Guests, id: str) -> None:
    key, volume = "k" * 43 + "=", f"vol-0{uuid.uuid4().hex[:16]}"
    snapshots = [volume.replace("vol", f"snap-{number}")[:22] for number in (1, 2, 3)]
    disk = DiskSpec(volume=volume, attachment=volume.replace("vol", "volattach"), slot="f", key=key)
    guests.volumes.ensure(VolumeSpec(id=volume, size_gib=1, key=key))
    guests.volumes.ensure(SnapshotSpec(id=snapshots[0], volume=volume, key=key))  # it comes with a layer below it
    ensure_halted(guests, id)
    ensure_halted(guests, id, disk)
    for number, snapshot in enumerate(snapshots[1:], start=1):
        assert "wrote" in does(id, disk, f"write -P 65 {number}M 64k")
        guests.volumes.ensure(SnapshotSpec(id=snapshot, volume=volume, key=key))
        ensure_halted(guests, id, disk)
        assert "verification failed" not in does(id, disk, f"read -P 65 {number}M 64k")
    ensure_halted(guests, id, msgspec.structs.replace(disk, size_gib=2))
    guests.volumes.ensure(VolumeSpec(id=volume, size_gib=2, key=key))
    assert run(["virsh", "domblkinfo", id, "vdf"]).stdout.split()[1] == str(2 << 30)
    files = list(guests.directories.volumes.rglob("*.qcow2"))
    assert not any(b"A" * 512 in file.read_bytes() for file in files if volume in file.name or file.stem in snapshots)
    for _ in bounded(10):
        ensure_halted(guests, id, cut=[disk.name])
        if not is_locked(guests, disk):
            break
    guests.hypervisor.remove(id)  # and it starts with what it had
    ensure_halted(guests, id, disk)
    assert "verification failed" not in does(id, disk, "read -P 65 1M 64k")
    assert run(["virsh", "secret-list"]).stdout.strip().splitlines()[2:] == []
    assert key not in run(["virsh", "dumpxml", "--security-info", id]).stdout
    started = Path(f"/proc/{guests.qemu(id)}/cmdline").read_bytes()
    assert volume.encode() in started
    assert not any(form in started for form in (key.encode(), base64.b64encode(key.encode())))
