"""Disks of real guests that are block devices, as logical volumes are: a loop device stands for one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from support.guests import Guests, boot_record, does

from cumulet.drivers.specs import DiskSpec
from cumulet.drivers.volume import locked, luks
from cumulet.lib.command import run

pytestmark = [
    pytest.mark.private_host,
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this kernel has no loop devices"),
]
VOLUME, NEW = "vol-0123456789abcdef0", "vol-0123456789abcdef1"


class Devices:
    """Two volumes, each a loop device by its id, as a volume group has them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loops: list[str] = []
        for volume in (VOLUME, NEW):
            file = directory / f"{volume}.raw"
            with file.open("wb") as made:
                made.truncate(1 << 30)
            self.loops.append(run(["losetup", "--find", "--show", file]).stdout.strip())
            (directory / volume).symlink_to(self.loops[-1])

    def grow(self, volume: str, size: int) -> None:
        with (self.directory / f"{volume}.raw").open("r+b") as file:
            file.truncate(size)
        run(["losetup", "--set-capacity", (self.directory / volume).resolve()])

    def close(self) -> None:
        for loop in self.loops:
            run(["losetup", "--detach", loop], check=False)


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Devices]:
    made = Devices(tmp_path)
    yield made
    made.close()


@pytest.fixture
def guests(tmp_path: Path, tiny_image: Path, devices: Devices) -> Iterator[Guests]:
    found = Guests(tmp_path, tiny_image, devices=devices.directory)
    yield found
    found.close()


def test_an_encrypted_device_comes_grows_and_its_key_is_in_no_command(guests: Guests, devices: Devices) -> None:
    id, key = f"i-0{uuid.uuid4().hex[:16]}", "k" * 43 + "="
    disk = DiskSpec(volume=NEW, attachment="volattach-0123456789abcdef0", slot="f", key=key)
    header = devices.directory / "header"
    header.write_bytes(luks.header(key, locked.LENGTH))
    device = (devices.directory / NEW).resolve()
    run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", header, device])
    bios: dict[str, Any] = {"volume": VOLUME, "boot": "bios", "kernel_image": None}
    guests.ensure(id, **bios, more=[disk])
    assert "wrote" in does(id, disk, "write -P 7 1M 64k")
    assert bytes([7]) * 4096 not in (devices.directory / f"{NEW}.raw").read_bytes()[: 8 << 20]
    devices.grow(NEW, (2 << 30) + locked.LENGTH)
    guests.ensure(id, **bios, more=[msgspec.structs.replace(disk, size_gib=2)])
    assert "2 GiB" in does(id, disk, "length")
    assert key.encode() not in Path(f"/proc/{guests.qemu(id)}/cmdline").read_bytes()
    guests.hypervisor.remove(id)


def test_a_guest_has_devices_that_come_grow_and_go(guests: Guests, devices: Devices) -> None:
    id = f"i-0{uuid.uuid4().hex[:16]}"
    disk = DiskSpec(volume=NEW, attachment="volattach-0123456789abcdef0", slot="f")
    with (devices.directory / VOLUME).open("r+b") as root:
        root.write(boot_record(b"from LVM\r\n"))
    bios: dict[str, Any] = {"volume": VOLUME, "boot": "bios", "kernel_image": None}
    guests.ensure(id, **bios)
    assert guests.says(id, b"from LVM")
    for _ in range(2):
        guests.ensure(id, **bios, more=[disk])
    assert "wrote" in does(id, disk, "write -P 7 1M 64k")
    with (devices.directory / f"{NEW}.raw").open("rb") as file:
        file.seek(1 << 20)
        assert file.read(65536) == bytes([7]) * 65536
    devices.grow(NEW, 2 << 30)
    assert "1 GiB" in does(id, disk, "length")
    guests.ensure(id, **bios, more=[msgspec.structs.replace(disk, size_gib=2)])
    assert "2 GiB" in does(id, disk, "length")
    domain = ElementTree.fromstring(run(["virsh", "dumpxml", id]).stdout)
    assert {one.get("type") for one in domain.iterfind("devices/disk")} == {"block"}
    guests.ensure(id, **bios, cut=[disk.name])
    assert guests.hypervisor.cut(id) == [disk.name]
    guests.hypervisor.remove(id)
