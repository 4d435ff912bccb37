"""Disks of other hypervisors made into qcow2, once it is certain that they name no other file.

The formats by their makers' descriptions: VMware "Virtual Disk Format 5.0", Microsoft "Virtual Hard Disk Image Format"
and "[MS-VHDX]", DMTF DSP0243 (an OVA is a tarball of a descriptor and its disks). QEMU is told the format; it never
guesses.
"""

from __future__ import annotations

import re
import struct
import tarfile
from pathlib import Path
from typing import IO, cast

from cumulet.drivers.image.bundle import Counted, take_out
from cumulet.drivers.image.http import Note
from cumulet.drivers.image.inspect import Limits, convert, described, format_of, refused
from cumulet.lib.errors import Failure

_CONVERTED = {"vmdk": "vmdk", "vhd": "vpc", "vpc": "vpc", "vhdx": "vhdx", "vdi": "vdi"}
"""As owners call them, to QEMU's word."""
_VMDK = struct.Struct("<4sIIQQQQ")
"""magic, version, flags, capacity, grain size, offset and size of the descriptor (in sectors of 512 bytes)"""
_DESCRIPTOR = 64 << 10
_EXTENT = re.compile(rb"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)", re.M)
_DIFFERENCING = 4
_OVF_BYTES = 1 << 20


def prepared(file: Path, declared: str | None, limits: Limits, note: Note) -> tuple[Path, str | None]:
    """The disk that is to be taken in, beside `file` or that itself, and its format where that is known.

    `declared` is raw, qcow2, vmdk, vhd, vhdx, vdi or ova, as its owner says; None: find out. Raises `Impossible`.
    """
    found = format_of(file)
    if found == "raw" and _is_tar(file):
        if declared not in (None, "ova"):
            raise refused("Format", f"the image is a tarball (OVA), not {declared} as was said")
        file, declared = _disk_of_ova(file, limits.virtual_size, note), "vmdk"
        found = format_of(file)
    elif declared == "ova":
        raise refused("Format", "the image is no OVA: that is a tarball of a descriptor and its disks")
    meant = _CONVERTED.get(declared or found, declared or found)
    if found != meant:
        raise refused("Format", f"the image has the format {found}, not {declared} as was said")
    if meant not in _CONVERTED.values():
        return file, declared
    _check(file, meant)
    return _converted(file, meant, limits), "qcow2"


def _check(file: Path, format: str) -> None:
    """Refuse what would have QEMU open another file."""
    with file.open("rb") as opened:
        head = opened.read(1 << 20)
        opened.seek(max(0, file.stat().st_size - 512))
        foot = opened.read(512)
    if format == "vmdk":
        _check_vmdk(head)
    if format == "vpc" and struct.unpack(">I", foot[60:64])[0] == _DIFFERENCING:
        raise refused("BackingFile", "the image is a differencing disk, which has its contents in another file")


def _check_vmdk(head: bytes) -> None:
    if not head.startswith(b"KDMV"):
        text = "the image is a VMDK that only names other files; export it as one file (streamOptimized)"
        raise refused("DataFile", text)
    _, _, _, capacity, _, offset, size = _VMDK.unpack(head[: _VMDK.size])
    if capacity == 0:
        raise refused("DataFile", "the image is a VMDK without a disk: its descriptor names other files")
    begin = offset * 512 or 512
    descriptor = head[begin : begin + max(min(size * 512, len(head)), _DESCRIPTOR)]
    if b"parentfilenamehint" in descriptor.lower():
        raise refused("BackingFile", "the image is a VMDK with a parent, which is another file")
    kinds = {found.upper() for found in _EXTENT.findall(descriptor)}
    if len(_EXTENT.findall(descriptor)) > 1 or kinds - {b"SPARSE"}:
        raise refused("DataFile", "the image is a VMDK whose descriptor names other files")


def _converted(file: Path, format: str, limits: Limits) -> Path:
    if described(file, format, limits).get("backing-filename"):
        raise refused("BackingFile", "the image has a backing file; flatten it with: qemu-img convert")
    target = file.with_name("converted")
    done = convert(["-f", format, "-O", "qcow2", str(file), str(target)], limits)
    if "No space left" in done.stderr:
        raise Failure(f"converting the image: the disk is full ({done.stderr.strip()[:200]})")
    if done.returncode != 0:
        raise refused("Corrupt", f"qemu-img cannot convert the image: {done.stderr.strip()[:500]}")
    return target


def _is_tar(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(512)[257:262] == b"ustar"


def _disk_of_ova(file: Path, most: int, note: Note) -> Path:
    """The one disk of an OVA, beside it; whatever their names, nothing else is written."""
    disk: Path | None = None
    try:
        with file.open("rb") as raw:
            plain = Counted(raw)
            with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|") as archive:
                for member in archive:
                    plain.left += member.size
                    if not member.isreg():
                        raise refused("Format", f"the OVA has {member.name[:80]!r}, which is no plain file")
                    if member.name.lower().endswith((".ovf", ".mf", ".cert")):
                        if member.size > _OVF_BYTES:
                            raise refused("Format", f"{member.name[:80]!r} in the OVA has {member.size} bytes")
                        continue
                    if disk is not None:
                        raise refused("Format", "the OVA has more than one disk; import each by itself")
                    if member.size > most:
                        raise refused("Size", f"the disk in the OVA has {member.size} bytes, the most is {most}")
                    disk = file.with_name("disk-of-ova")
                    take_out(archive, member, disk, note)
    except tarfile.TarError as e:
        raise refused("Corrupt", f"the OVA is no tarball, or cut off: {e}") from e
    if disk is None:
        raise refused("Format", "the OVA has no disk")
    return disk
