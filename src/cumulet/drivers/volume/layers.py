"""Layers of volumes that snapshots were taken of: qcow2 files on top of each other, in a directory of their own.

A volume is a file; from its first snapshot on, a symbolic link beside it leads to its top layer. A snapshot is a link
to a layer that nobody writes to. Taking one gives the file that the volume was written to a second name
(`layers/SNAPSHOT.qcow2`), makes an empty layer on top of that, and turns the volume's link to it in one rename. A
crash in between leaves the volume as it was or as it should be; and a guest that still writes below finds all of it
below the new layer when it starts again. A layer goes when no volume and no snapshot stands on it.

A name never leads to another file than before, and stays while the file is needed: QEMU opens a file by its name once
more when it is to be written to no longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cumulet.drivers.places import backing, layer_file, snapshot_file, volume_file, volume_link, volume_top
from cumulet.drivers.volume import qcow2
from cumulet.drivers.volume.shared import DirectoryLock
from cumulet.lib import files
from cumulet.lib.errors import Failure, Impossible

Make = Callable[[Path, int, tuple[str, str], str], None]
"""Makes an empty file of so many virtual bytes on top of another, encrypted by a key if there is one."""


class Layers:
    """Those below `directory`; `make` writes a new one so that it is whole or not there."""

    def __init__(self, directory: Path, make: Make) -> None:
        self.directory = directory
        self.lock = DirectoryLock(directory)
        """Held while a layer is put on top of another, and while those are removed on which nothing stands."""
        self._make = make

    def take(self, snapshot: str, volume: str | None, source: str | None = None, key: str = "") -> None:
        """Have the snapshot there, of `volume` as it is now or as a copy of `source`; else it must be there already."""
        link, frozen = snapshot_file(self.directory, snapshot), layer_file(self.directory, snapshot)
        with self.lock:
            if volume is not None:
                self._freeze(snapshot, volume, frozen, key)
            elif not link.exists() and not frozen.exists():
                frozen = self._same(snapshot, source)
            if not link.is_symlink():
                _point(link, frozen)

    def _freeze(self, snapshot: str, volume: str, frozen: Path, key: str) -> None:
        name = volume_top(self.directory, volume)
        if not name.exists():
            raise Failure(f"taking snapshot {snapshot}: its volume {name} is not there")
        frozen.parent.mkdir(exist_ok=True)
        if not frozen.exists():
            os.link(name, frozen)
        if frozen.samefile(name):
            top = layer_file(self.directory, f"{volume}.{snapshot}")
            self._make(top, qcow2.virtual_size(frozen), (str(frozen.absolute()), "qcow2"), key)
            _point(volume_link(self.directory, volume), top)

    def _same(self, snapshot: str, source: str | None) -> Path:
        """The layer of the snapshot that this one is to be a copy of; raises `Impossible` where there is none."""
        link = snapshot_file(self.directory, source or snapshot)
        if source is None or not link.exists():
            raise Impossible("Server.InternalError", f"the snapshot {link.stem} has been lost: no {link}")
        return layer_file(self.directory, link.resolve().stem)

    def base(self, snapshot: str) -> tuple[str, int]:
        """The layer that a volume made from the snapshot stands on, and its size in bytes; `Impossible` if lost."""
        link = snapshot_file(self.directory, snapshot)
        if not self.directory.is_dir():
            raise Failure(f"the directory of volumes {self.directory} is not there")
        if not link.exists():
            raise Impossible("Server.InternalError", f"the snapshot {snapshot} has been lost: no {link}")
        return str(link.resolve()), qcow2.virtual_size(link)

    def remove(self, id: str) -> None:
        """Remove the names of a volume or a snapshot, and the layers on which nothing stands then."""
        with self.lock:
            volume_file(self.directory, id).unlink(missing_ok=True)
            volume_link(self.directory, id).unlink(missing_ok=True)
            layers = self.directory / "layers"
            if layers.exists():
                needed = self._needed()
                for layer in layers.glob("*.qcow2"):
                    if layer.stat().st_ino not in needed:
                        layer.unlink()

    def _needed(self) -> set[int]:
        """The inodes of those on which something stands."""
        found: set[int] = set()
        for name in (*self.directory.glob("*.qcow2"), *self.directory.glob("*.top")):
            layer: Path | None = name
            while layer is not None and layer.exists() and (number := layer.stat().st_ino) not in found:
                found.add(number)
                layer = backing(layer)
        return found


def _point(name: Path, target: Path) -> None:
    """Turn a name to another file, in one step."""
    aside = name.with_name(f".{name.name}.link")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target.relative_to(name.parent))
    aside.replace(name)
    files.sync_directory(name.parent)
