"""What the image driver keeps, as what a volume is made from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from cumulet.drivers.places import image_files
from cumulet.drivers.specs import VolumeSpec
from cumulet.lib.errors import Failure


class ImageDisk(NamedTuple):
    """The disk of an image: its file, the file's format, and its virtual size in bytes."""

    file: Path
    format: str
    size: int


class _Facts(msgspec.Struct):
    """What the image driver's description must say about the file underneath."""

    format: str
    virtual_size: int


def disk_of(directory: Path, spec: VolumeSpec) -> ImageDisk | None:
    """The disk that the volume is made from; None where it has no image, or that has no disk. Raises `Failure`."""
    if spec.image_file is None:
        return None
    files = image_files(directory, spec.image_file)
    try:
        known = msgspec.json.decode(files["facts"].read_bytes(), type=_Facts)
    except FileNotFoundError as e:
        raise Failure(f"making volume {spec.id}: its image file {files['facts'].parent} is missing") from e
    for name in ("kernel", "initrd") if known.format == "kernel" else ("disk",):
        if not files[name].exists():
            raise Failure(f"making volume {spec.id}: its image file {files[name]} is missing")
    if known.format == "kernel":
        return None
    return ImageDisk(files["disk"].absolute(), known.format, -(-known.virtual_size // 512) * 512)
