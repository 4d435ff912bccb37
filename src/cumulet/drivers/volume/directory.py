"""Volumes as qcow2 files in a directory, on top of the image files of another one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import Spec, VolumeSpec, image_files, volume_file
from cumulet.drivers.volume import qcow2
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_GIB = 1024**3
_SIZE = struct.Struct(">4xI16xQ")
"""Of a qcow2 header: version and virtual size."""


class _Facts(msgspec.Struct):
    """What the image driver's description must say about the file underneath."""

    format: str
    virtual_size: int


class DirectoryVolumes:
    """The driver of `VolumeSpec`. A volume is at least as large as its image, grows, and never shrinks."""

    def __init__(self, directory: Path, images_directory: Path) -> None:
        self.directory = directory
        self.images_directory = images_directory

    def ensure(self, spec: Spec) -> None:
        """Make the file be there, with at least `size_gib`; growing a volume that a guest uses is a `Failure`."""
        assert isinstance(spec, VolumeSpec)
        file = volume_file(self.directory, spec.id)
        wanted = spec.size_gib * _GIB
        if not file.exists():
            backing, at_least = self._image(spec)
            self._make(file, max(wanted, at_least), backing)
        elif _virtual_size(file) < wanted:
            run(["qemu-img", "resize", "-q", "-f", "qcow2", file, str(wanted)])

    def remove(self, id: str) -> None:
        """Remove the file, and one that was being made."""
        file = volume_file(self.directory, id)
        for each in (file, _aside(file)):
            each.unlink(missing_ok=True)

    def observe(self) -> list[Seen]:
        """The volumes in the directory."""
        return [Seen(id=file.stem) for file in sorted(self.directory.glob("vol-*.qcow2"))]

    def look(self, id: str) -> Seen | None:
        """One volume."""
        return Seen(id=id) if volume_file(self.directory, id).exists() else None

    def _image(self, spec: VolumeSpec) -> tuple[tuple[str, str] | None, int]:
        """The file underneath with its format, and its virtual size; nothing where the image has no disk."""
        if spec.image_file is None:
            return None, 0
        files = image_files(self.images_directory, spec.image_file)
        try:
            known = msgspec.json.decode(files["facts"].read_bytes(), type=_Facts)
        except FileNotFoundError as e:
            raise Failure(f"making volume {spec.id}: its image file {files['facts'].parent} is missing") from e
        if known.format == "kernel":
            return None, 0
        if not files["disk"].exists():
            raise Failure(f"making volume {spec.id}: its image file {files['disk']} is missing")
        return (str(files["disk"].absolute()), known.format), -(-known.virtual_size // 512) * 512

    def _make(self, file: Path, size: int, backing: tuple[str, str] | None) -> None:
        aside = _aside(file)
        with self._room(file, qcow2.length(size)):
            self.directory.mkdir(parents=True, exist_ok=True)
            aside.unlink(missing_ok=True)
            aside.touch(mode=0o600)
            with aside.open("wb") as opened:
                opened.write(qcow2.empty(size, backing))
                opened.truncate(qcow2.length(size))
                opened.flush()
                os.fsync(opened.fileno())
            aside.replace(file)
            _sync_directory(self.directory)

    @contextlib.contextmanager
    def _room(self, file: Path, needed: int) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise Failure(f"making {file}: {e.strerror}") from e
            free = shutil.disk_usage(self.directory).free
            _aside(file).unlink(missing_ok=True)
            raise Failure(f"making {file}: the disk is full: it needs {needed} bytes, {free} are free") from e


def _aside(file: Path) -> Path:
    return file.with_name(f".{file.name}.new")


def _virtual_size(file: Path) -> int:
    with file.open("rb") as opened:
        _, size = _SIZE.unpack(opened.read(_SIZE.size))
    return int(size)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
