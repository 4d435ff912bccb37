"""Volumes as qcow2 files in a directory, on top of the image files of another one."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from cumulet.drivers.contract import Seen
from cumulet.drivers.places import layer_file, volume_file, volume_top
from cumulet.drivers.specs import SnapshotSpec, Spec, VolumeExportSpec, VolumeSpec, is_export
from cumulet.drivers.volume import encrypted, qcow2
from cumulet.drivers.volume.copies import Copies, Target
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.filling import Source
from cumulet.drivers.volume.images import disk_of
from cumulet.drivers.volume.layers import Layers
from cumulet.drivers.volume.merging import Merging
from cumulet.drivers.volume.shared import is_shared
from cumulet.lib import files
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Later

_GIB = 1024**3
_COPY_SECONDS = 1.0
"""From look to look at a copy that is made."""


class DirectoryVolumes:
    """The driver of `VolumeSpec`, `SnapshotSpec` and `VolumeExportSpec`.

    A volume is at least as large as what it is made from, grows, and never shrinks. One with a key is encrypted; so are
    its snapshots, and what is made from these.
    """

    def __init__(self, directory: Path, images_directory: Path, exports: Exports) -> None:
        self.directory = directory
        self.images_directory = images_directory
        self._layers = Layers(directory, self._make)
        self._exports = exports
        self._copies = Copies()
        self._merging = Merging(self._layers)

    def ensure(self, spec: Spec) -> None:
        """Make the file be there, with at least `size_gib`; growing a volume that a guest uses is a `Failure`.

        A snapshot that was complete and is lost is `Impossible`. A copy of one stands on the same layer: it takes no
        room, and outlives what it was copied from.
        """
        if isinstance(spec, SnapshotSpec):
            self._take(spec)
            return
        if isinstance(spec, VolumeExportSpec):
            self._export(spec)
            return
        assert isinstance(spec, VolumeSpec)
        file = volume_file(self.directory, spec.id)
        wanted = spec.size_gib * _GIB
        if not file.exists() and spec.source:
            self._copies.go_on(spec.id, self._exports.source(spec), Target(file, _aside(file), spec.key, wanted))
        elif not file.exists():
            self._begin(spec, file, wanted)
        elif qcow2.virtual_size(top := volume_top(self.directory, spec.id)) < wanted:
            _grow(top, wanted, spec.key)

    def remove(self, id: str) -> None:
        """Remove the file, one that was being made, and what only it stood on; or end the export."""
        if is_export(id):
            self._exports.drop(id)
            return
        self._copies.give_up(id)
        _aside(volume_file(self.directory, id)).unlink(missing_ok=True)
        self._layers.remove(id)
        self._merge()

    def observe(self) -> list[Seen]:
        """The volumes and snapshots in the directory, and the exports."""
        found = [*self.directory.glob("vol-*.qcow2"), *self.directory.glob("snap-*.qcow2")]
        return [*(Seen(id=id) for id in sorted(file.stem for file in found)), *self._exports.seen()]

    def look(self, id: str) -> Seen | None:
        """One volume, snapshot or export."""
        if is_export(id):
            return self._exports.look(id)
        return Seen(id=id) if volume_file(self.directory, id).exists() else None

    def _export(self, spec: VolumeExportSpec) -> None:
        with self._layers.lock:
            top = volume_top(self.directory, spec.volume)
            if not top.exists():
                raise Failure(f"exporting {spec.volume}: there is no {top}")
            _check_key(top, spec.key)
            self._exports.put(spec, top.absolute(), "qcow2")

    def _begin(self, spec: VolumeSpec, file: Path, wanted: int) -> None:
        """On top of what it is made from; or as a copy of that, so that no byte of it lies there as it is."""
        with self._layers.lock:
            backing, at_least = self._underneath(spec)
            if backing is None or not spec.key or qcow2.is_encrypted(Path(backing[0])):
                self._make(file, max(wanted, at_least), backing, spec.key)
                return
        self._encrypt(spec.id, Source(*backing), Target(file, _aside(file), spec.key, wanted))

    def _take(self, spec: SnapshotSpec) -> None:
        """A snapshot of a volume or of another snapshot; an encrypted one of what is not encrypted is a copy."""
        link, layer = volume_file(self.directory, spec.id), layer_file(self.directory, spec.id)
        if spec.source is not None and spec.key and not link.exists() and not layer.exists():
            below = Path(self._layers.base(spec.source)[0])
            if not qcow2.is_encrypted(below):
                self._encrypt(spec.id, Source(str(below), "qcow2"), Target(layer, _aside(link), spec.key))
        self._layers.take(spec.id, spec.volume, spec.source, spec.key)
        self._merge()

    def _merge(self) -> None:
        """Have layers merged where that can be; not in a directory that hosts share: see docs/decisions/0041."""
        with self._layers.lock:
            if not self._layers.any() or self._merging.is_alive() or is_shared(self.directory):
                return
            self._merging = Merging(self._layers)
            self._merging.start()

    def _encrypt(self, id: str, source: Source, target: Target) -> NoReturn:
        self._copies.go_on(id, source, target)
        raise Later(_COPY_SECONDS, "it is being encrypted: what it is made from is not")

    def _underneath(self, spec: VolumeSpec) -> tuple[tuple[str, str] | None, int]:
        """The file underneath with its format, and its virtual size; nothing where there is none."""
        if spec.snapshot is not None:
            base, size = self._layers.base(spec.snapshot)
            return (base, "qcow2"), size
        image = disk_of(self.images_directory, spec)
        return ((str(image.file), image.format), image.size) if image else (None, 0)

    def _make(self, file: Path, size: int, backing: tuple[str, str] | None, key: str = "") -> None:
        if backing is not None:
            _check_key(Path(backing[0]), key)
        aside = _aside(file)
        with self._room(file, qcow2.length(size, key)):
            self.directory.mkdir(parents=True, exist_ok=True)
            qcow2.write(aside, size, backing, key)
            aside.replace(file)
            files.sync_directory(file.parent)

    @contextlib.contextmanager
    def _room(self, file: Path, needed: int) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise Failure(f"making {file}: {e.strerror}") from e
            _aside(file).unlink(missing_ok=True)
            free = shutil.disk_usage(self.directory).free
            raise Failure(f"making {file}: the disk is full: it needs {needed} bytes, {free} are free") from e


def _grow(top: Path, size: int, key: str) -> None:
    if not qcow2.is_encrypted(top):
        run(["qemu-img", "resize", "-q", "-f", "qcow2", top, str(size)])
        return
    _check_key(top, key)
    with encrypted.told(key) as told:
        words = ["qemu-img", "resize", "-q", *told.words, encrypted.name(top.absolute()), str(size)]
        run(words, descriptors=told.descriptors)


def _check_key(file: Path, key: str) -> None:
    """Raises `Failure` where a file is encrypted and no key was told, or the other way round."""
    if qcow2.is_encrypted(file) != bool(key):
        raise Failure(f"{file} is encrypted, and its key was not told" if not key else f"{file} is not encrypted")


def _aside(file: Path) -> Path:
    return file.with_name(f".{file.name}.new")
