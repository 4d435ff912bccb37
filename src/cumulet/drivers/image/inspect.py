"""What an image file is, found out before anything trusts it: qemu-img in a sandbox of limits, and reasons to refuse.

A disk image is a program for its reader: a qcow2 header can name any file of the host as its backing or data file.
So headers are read here first, and qemu-img only ever opens a file that names no other one.
"""

from __future__ import annotations

import json
import signal
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible

_TIB = 1024**4
_QCOW2 = struct.Struct(">4sIQIIQI")
"""magic, version, offset and length of the backing file's path, cluster bits, size, encryption"""
_DATA_FILE = 1 << 2
_CORRUPT = 1 << 1
_MARKS = (
    ("qcow2", 0, b"QFI\xfb\0\0\0\2"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\3"),
    ("qcow", 0, b"QFI\xfb"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vhdx", 0, b"vhdxfile"),
    ("vpc", 0, b"conectix"),
    ("vdi", 64, b"\x7f\x10\xda\xbe"),
    ("qed", 0, b"QED\0"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("gzip", 0, b"\x1f\x8b"),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("bzip2", 0, b"BZh"),
    ("zip", 0, b"PK\3\4"),
)
"""Formats by the bytes at an offset. QEMU is not asked to guess: guessing opens what some formats name."""
_PACKED = ("gzip", "xz", "zstd", "bzip2", "zip")
_EFI_SYSTEM = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
_BIOS_BOOT = bytes.fromhex("4861682149646f6e744e656564454649")
_PROTECTIVE = 0xEE
"""The kind of the one entry that an MBR has before a GUID partition table; it may go past the disk's end."""
_FIRST_SECTORS = 68
_INITRDS = (
    b"0707",
    b"\x1f\x8b",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"\x02\x21\x4c\x18",
    b"BZh",
    b"\x5d\x00",
    b"\x89LZO",
)
"""How an initrd begins: cpio, gzip, xz, zstd, lz4, bzip2, lzma, lzo."""


CONVERT_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Limits:
    """What inspecting one image may take, and what an image may be."""

    memory_mib: int = 1024
    cpu_seconds: int = 30
    seconds: float = 120.0
    virtual_size: int = 2 * _TIB


@dataclass(frozen=True)
class Found:
    """What a disk image is."""

    format: str
    virtual_size: int
    boot: str
    """bios or uefi: a guess by the partition table."""


def inspect_disk(file: Path, declared: str | None, limits: Limits) -> Found:
    """What the disk image in `file` is; raises `Impossible` with the reason where it must not be used."""
    format = _format(file, declared)
    if format == "qcow2":
        _check_header(file)
    size = described(file, format, limits)["virtual-size"]
    if format == "qcow2":
        _check_consistency(file, limits)
    sectors = _first_sectors(file, format, limits)
    end = _end_of_partitions(sectors)
    if end > size:
        raise refused(
            "Corrupt", f"the image is cut off: it has {size} bytes, its partitions need {end}; fetch all of it again"
        )
    return Found(format, size, _boot(sectors))


def inspect_kernel(kernel: Path) -> None:
    """Raises `Impossible` unless it is a Linux kernel for x86.

    The mark is that of Documentation/arch/x86/boot.rst in Linux's source.
    """
    with kernel.open("rb") as opened:
        if opened.read(0x206)[0x202:] != b"HdrS":
            raise refused("Format", "it is no Linux kernel for x86 (bzImage)")


def inspect_initrd(initrd: Path) -> None:
    """Raises `Impossible` unless it is an initial RAM disk."""
    with initrd.open("rb") as opened:
        if not opened.read(8).startswith(_INITRDS):
            raise refused(
                "Format", "it is no initial RAM disk: neither a cpio archive, nor one compressed as Linux knows"
            )


def refused(code: str, reason: str) -> Impossible:
    """An image that must not be used, by this reason."""
    return Impossible(f"Client.InvalidImage.{code}", reason)


def format_of(file: Path) -> str:
    """The format of a disk or an archive by its own bytes; raw where nothing else is seen. Raises `Impossible`."""
    with file.open("rb") as opened:
        start = opened.read(512)
        opened.seek(max(0, file.stat().st_size - 512))
        end = opened.read(512)
    if len(start) < 512:
        raise refused("Format", f"the image has {len(start)} bytes; the smallest disk has 512")
    found = next((name for name, offset, mark in _MARKS if start[offset : offset + len(mark)] == mark), "raw")
    return "vpc" if found == "raw" and end.startswith(b"conectix") else found  # a fixed one has its mark at the end


def _format(file: Path, declared: str | None) -> str:
    """The image's format by its own bytes, which must be the one that was declared."""
    format = format_of(file)
    with file.open("rb") as opened:
        start = opened.read(512)
    if format == "luks":
        raise refused("Encrypted", "the image is encrypted (LUKS)")
    if format not in ("qcow2", "raw"):
        advice = "unpack it first" if format in _PACKED else "convert it with: qemu-img convert -O qcow2"
        raise refused("Format", f"the image has the format {format}; qcow2 and raw are accepted: {advice}")
    if declared and declared != format:
        raise refused("Format", f"the image has the format {format}, not {declared} as was said")
    if format == "raw" and declared is None and start[510:] != b"\x55\xaa":
        raise refused("Format", "the image is neither qcow2 nor a disk with a boot record; say raw if it is one")
    return format


def _check_header(file: Path) -> None:
    """Refuse by its header what no other program should open."""
    with file.open("rb") as opened:
        start = opened.read(512)
    _, version, backing, _, _, _, encryption = _QCOW2.unpack(start[: _QCOW2.size])
    features = struct.unpack(">Q", start[72:80])[0] if version >= 3 else 0
    if backing:
        raise refused("BackingFile", "the image has a backing file; flatten it with: qemu-img convert")
    if features & _DATA_FILE:
        raise refused("DataFile", "the image keeps its contents in another file; convert it with: qemu-img convert")
    if encryption:
        raise refused("Encrypted", "the image is encrypted")
    if features & _CORRUPT:
        raise refused("Corrupt", "the image is marked as corrupt; try: qemu-img check -r all")


def described(file: Path, format: str, limits: Limits) -> dict[str, Any]:
    """What `qemu-img info` says of a disk that it can read and whose size is accepted; raises `Impossible`."""
    done = sandboxed(["qemu-img", "info", "--output=json", "-f", format, str(file)], limits)
    if done.returncode != 0:
        raise refused("Corrupt", f"qemu-img cannot read the image: {done.stderr.strip()[:500]}")
    known: dict[str, Any] = json.loads(done.stdout)
    size = known["virtual-size"]
    if not 512 <= size <= limits.virtual_size:
        text = f"the image's virtual size is {size} bytes; from 512 to {limits.virtual_size} are accepted"
        raise refused("Size", text)
    return known


def _check_consistency(file: Path, limits: Limits) -> None:
    done = sandboxed(["qemu-img", "check", "-q", "-f", "qcow2", str(file)], limits)
    if done.returncode not in (0, 3):  # 3: clusters are lost, which harms nobody
        said = (done.stderr or done.stdout).strip()
        if "end of the file" in said:
            length = file.stat().st_size
            raise refused("Corrupt", f"the image is cut off: it has {length} bytes; fetch all of it again")
        raise refused("Corrupt", f"the image is corrupt: {said[:500]}")


def _first_sectors(file: Path, format: str, limits: Limits) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "sectors"
        arguments = ["qemu-img", "dd", "-f", format, "-O", "raw", "bs=512", f"count={_FIRST_SECTORS}"]
        done = sandboxed([*arguments, f"if={file}", f"of={copy}"], limits)
        if done.returncode != 0:
            raise refused("Corrupt", f"the image's first sectors cannot be read: {done.stderr.strip()}")
        return copy.read_bytes()


def _end_of_partitions(sectors: bytes) -> int:
    """Where the last partition ends, in bytes; 0 where there is no partition table.

    UEFI 2.10, section 5: the entries of an MBR are 16 bytes at 446, those of a GUID partition table 128 bytes.
    """
    if sectors[510:512] != b"\x55\xaa":
        return 0
    ends = [0]
    for start in range(446, 510, 16):
        status, kind = sectors[start], sectors[start + 4]
        first, count = struct.unpack("<II", sectors[start + 8 : start + 16])
        if kind not in (0, _PROTECTIVE) and status in (0, 0x80):
            ends.append(first + count)
    if sectors[512:520] == b"EFI PART":
        table = sectors[1024:]
        entries = [table[start : start + 48] for start in range(0, len(table), 128)]
        ends += [struct.unpack("<Q", entry[40:48])[0] + 1 for entry in entries if any(entry[:16])]
    return max(ends) * 512


def _boot(sectors: bytes) -> str:
    """uefi where a GUID partition table has an EFI system partition and none for a BIOS's boot loader."""
    if sectors[512:520] != b"EFI PART":
        return "bios"
    table = sectors[1024:]
    kinds = {table[start : start + 16] for start in range(0, len(table), 128)}
    return "uefi" if _EFI_SYSTEM in kinds and _BIOS_BOOT not in kinds else "bios"


def convert(words: list[str], limits: Limits) -> CompletedProcess[str]:
    """`qemu-img convert` with these words, which may take hours."""
    longer = Limits(limits.memory_mib, CONVERT_SECONDS, CONVERT_SECONDS, limits.virtual_size)
    return sandboxed(["qemu-img", "convert", *words], longer)


def sandboxed(command: list[str], limits: Limits) -> CompletedProcess[str]:
    """Run a command with limits on memory, processor and time, and without a network."""
    memory = limits.memory_mib * 1024 * 1024
    bounds = ["prlimit", f"--as={memory}", f"--cpu={limits.cpu_seconds}", "--core=0", "--nofile=64", "--"]
    # each thread of qemu-img would reserve an arena of its own from the limited memory, and abort where none is left
    arena = ["env", "MALLOC_ARENA_MAX=1"]
    done = run([*bounds, "unshare", "--net", "--", *arena, *command], timeout=limits.seconds, check=False)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise refused("Limits", f"inspecting the image took more than {limits.cpu_seconds} s of processor time")
    if done.returncode < 0 or "annot allocate memory" in done.stderr:
        raise refused("Limits", f"inspecting the image took more than {limits.memory_mib} MiB of memory or crashed")
    if done.returncode in (126, 127):
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}")
    return done
