"""How guests can boot on this host: from their disk by a BIOS, from a kernel, and by UEFI where its firmware is there.

QEMU's firmware packages describe themselves in JSON files, by which libvirt chooses too
(https://libvirt.org/kbase/secureboot.html; QEMU's docs/interop/firmware.json).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

DIRECTORIES = (Path("/usr/share/qemu/firmware"), Path("/etc/qemu/firmware"))


class _Target(msgspec.Struct):
    architecture: str = ""


class _Firmware(msgspec.Struct, rename="kebab"):
    interface_types: list[str] = []
    targets: list[_Target] = []
    features: list[str] = []


def boots(directories: Iterable[Path] = DIRECTORIES) -> list[str]:
    """The ways of `InstanceSpec.boot` that a guest of this host can be started in."""
    files = [file for directory in directories for file in directory.glob("*.json")]
    return ["bios", "kernel", *(["uefi"] if any(map(_is_plain_uefi, files)) else [])]


def _is_plain_uefi(file: Path) -> bool:
    """Without secure boot: that is how guests are started here."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Firmware)
    except (OSError, msgspec.DecodeError):
        return False
    is_ours = any(target.architecture == "x86_64" for target in found.targets)
    return is_ours and "uefi" in found.interface_types and "secure-boot" not in found.features
