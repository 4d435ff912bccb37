"""Where drivers keep things as files: every name is derived from an id."""

from __future__ import annotations

import struct
from pathlib import Path


def volume_file(directory: Path, volume: str) -> Path:
    """The file that a volume of the directory driver begins as; what it is named never leads to another one."""
    return directory / f"{volume}.qcow2"


def volume_link(directory: Path, volume: str) -> Path:
    """What leads to the top layer of a volume that a snapshot was taken of."""
    return directory / f"{volume}.top"


def volume_top(directory: Path, volume: str) -> Path:
    """The file that a volume is written to: its top layer, or the one that it began as."""
    link = volume_link(directory, volume)
    return link.resolve() if link.is_symlink() else volume_file(directory, volume)


def snapshot_file(directory: Path, snapshot: str) -> Path:
    """Where the directory driver keeps a snapshot: a link to a layer."""
    return directory / f"{snapshot}.qcow2"


def layer_file(directory: Path, layer: str) -> Path:
    """Where the directory driver keeps what volumes and snapshots stand on."""
    return directory / "layers" / f"{layer}.qcow2"


def image_files(directory: Path, image_file: str) -> dict[str, Path]:
    """Where the image driver keeps an image file: `disk`, or `kernel`, `initrd` or both; and `facts`, as JSON."""
    root = directory / image_file
    return {name: root / name for name in ("disk", "kernel", "initrd", "facts")}


def backing(file: Path) -> Path | None:
    """The file underneath a qcow2 file; None where there is none, or where this is a file of another format."""
    with file.open("rb") as opened:
        magic, offset, size = _QCOW2.unpack(opened.read(_QCOW2.size).ljust(_QCOW2.size, b"\0"))
        if magic != b"QFI\xfb" or not offset:
            return None
        opened.seek(offset)
        return Path(opened.read(size).decode())


_QCOW2 = struct.Struct(">4s4xQI")
"""How its header begins: the magic number, and where the name of the file underneath is, and how long it is."""
