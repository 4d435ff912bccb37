"""Disks of other hypervisors: taken for what they are, and each that would have QEMU open another file refused."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cumulet.drivers.image.converting import prepared
from cumulet.drivers.image.inspect import Limits
from cumulet.lib.command import run
from cumulet.lib.errors import Impossible

MIB = 1 << 20
LIMITS = Limits(virtual_size=64 * MIB)
STREAM = ["-o", "subformat=streamOptimized"]


def converted(directory: Path, declared: str | None) -> tuple[Path, str | None]:
    """What is made of `source`; nothing but that may appear in the directory."""
    before = {file.name for file in directory.iterdir()}
    try:
        return prepared(directory / "source", declared, LIMITS, lambda count: None)
    finally:
        after = {file.name for file in directory.iterdir()}
        assert after - before <= {"converted", "disk-of-ova"}


def disk(directory: Path, format: str, *options: str, size: str = "8M") -> bytes:
    run(["qemu-img", "create", "-q", "-f", format, *options, directory / "made", size])
    content = (directory / "made").read_bytes()
    (directory / "made").unlink()
    return content


def vmdk_with(directory: Path, text: bytes, *, capacity: int | None = None) -> bytes:
    """A sparse VMDK whose descriptor says this."""
    content = bytearray(disk(directory, "vmdk"))
    begin = struct.unpack("<Q", content[28:36])[0] * 512
    descriptor = b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n" + text + b"\n"
    content[begin : begin + 1024] = descriptor.ljust(1024, b"\0")
    if capacity is not None:
        content[12:20] = struct.pack("<Q", capacity)
    return bytes(content)


def vhd_of_type(directory: Path, kind: int) -> bytes:
    content = bytearray(disk(directory, "vpc"))
    for footer in (0, len(content) - 512):
        content[footer + 60 : footer + 64] = struct.pack(">I", kind)
    return bytes(content)


def ova(*files: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def vmdk(directory: Path) -> bytes:
    return disk(directory, "vmdk", *STREAM)


Make = Callable[[Path], bytes]
PASSWD = b'RW 16384 FLAT "/etc/passwd" 0'
HOSTILE: dict[str, tuple[Make, str | None, str]] = {
    "a descriptor alone": (lambda d: b"# Disk DescriptorFile\n" + PASSWD + bytes(600), None, "DataFile"),
    "a descriptor inside": (lambda d: vmdk_with(d, PASSWD), "vmdk", "DataFile"),
    "no disk": (lambda d: vmdk_with(d, PASSWD, capacity=0), "vmdk", "DataFile"),
    "two extents": (lambda d: vmdk_with(d, b'RW 1 SPARSE "a"\nRW 1 SPARSE "b"'), "vmdk", "DataFile"),
    "a parent": (lambda d: vmdk_with(d, b'parentFileNameHint="/etc/passwd"'), "vmdk", "BackingFile"),
    "differencing": (lambda d: vhd_of_type(d, 4), "vhd", "BackingFile"),
    "terabytes of nothing": (lambda d: disk(d, "vpc", size="2000G"), "vhd", "Size"),
    "large": (lambda d: disk(d, "vdi", size="65M"), "vdi", "Size"),
    "cut off": (lambda d: disk(d, "vhdx")[:70000], "vhdx", "Corrupt"),
    "another format": (lambda d: disk(d, "vdi"), "vhd", "Format"),
    "a link in an OVA": (lambda d: ova(("a.vmdk", b""), kind=tarfile.SYMTYPE), "ova", "Format"),
    "a path in an OVA": (lambda d: ova(("../../a.vmdk", PASSWD * 40)), "ova", "Format"),
    "two disks in an OVA": (lambda d: ova(("a.vmdk", b"x"), ("b.vmdk", b"x")), "ova", "Format"),
    "no disk in an OVA": (lambda d: ova(("a.ovf", b"<Envelope/>")), "ova", "Format"),
    "a large OVF": (lambda d: ova(("a.ovf", bytes(2 * MIB))), "ova", "Format"),
    "a hostile disk in an OVA": (lambda d: ova(("a.vmdk", vmdk_with(d, PASSWD))), "ova", "DataFile"),
    "an OVA cut off": (lambda d: ova(("a.vmdk", bytes(4 * MIB)))[: 2 * MIB], "ova", "Corrupt"),
    "no OVA": (lambda d: bytes(4096), "ova", "Format"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_disk_is_refused_with_its_reason(tmp_path: Path, name: str) -> None:
    make, declared, expected = HOSTILE[name]
    (tmp_path / "source").write_bytes(make(tmp_path))
    with pytest.raises(Impossible) as refused:
        converted(tmp_path, declared)
    assert refused.value.code == f"Client.InvalidImage.{expected}"
    assert b"root:" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("made", "declared"),
    [("vmdk", "vmdk"), ("vpc", "vhd"), ("vhdx", "vhdx"), ("vdi", None), ("fixed", "vhd"), ("ova", None)],
)
def test_a_disk_is_made_into_qcow2(tmp_path: Path, made: str, declared: str | None) -> None:
    content = {
        "fixed": lambda: disk(tmp_path, "vpc", "-o", "subformat=fixed"),
        "ova": lambda: ova(("a.ovf", b"<Envelope/>"), ("a.vmdk", vmdk(tmp_path)), ("a.mf", b"")),
    }.get(made, lambda: disk(tmp_path, made))()
    (tmp_path / "source").write_bytes(content)
    file, format = converted(tmp_path, declared)
    assert (file.name, format) == ("converted", "qcow2")
    assert file.read_bytes()[:4] == b"QFI\xfb"


@pytest.mark.parametrize("declared", ["raw", "qcow2", None])
def test_what_needs_no_converting_stays_as_it_is(tmp_path: Path, declared: str | None) -> None:
    """It is inspected when it is taken in."""
    (tmp_path / "source").write_bytes(disk(tmp_path, declared or "qcow2"))
    assert converted(tmp_path, declared) == (tmp_path / "source", declared)
