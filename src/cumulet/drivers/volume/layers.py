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
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import NamedTuple

from cumulet.drivers.places import backing, layer_file, snapshot_file, volume_file, volume_link, volume_top
from cumulet.drivers.volume import qcow2
from cumulet.drivers.volume.shared import DirectoryLock
from cumulet.lib import crash, files
from cumulet.lib.errors import Failure, Impossible

Make = Callable[[Path, int, tuple[str, str], str], None]
"""Makes an empty file of so many virtual bytes on top of another, encrypted by a key if there is one."""


class Pair(NamedTuple):
    """A layer without a name of its own, and the only one that stands on it."""

    lower: Path
    upper: Path


class Layers:
    """Those below `directory`; `make` writes a new one so that it is whole or not there."""

    def __init__(self, directory: Path, make: Make) -> None:
        self.directory = directory
        self.lock = DirectoryLock(directory)
        """Held while a layer is put on top of another, and while those are removed on which nothing stands."""
        self._make = make
        self._complete: set[str] = set()
        """Snapshots whose layers no guest writes to any more, as far as this process was told."""

    def take(self, snapshot: str, volume: str | None, source: str | None = None, key: str = "") -> None:
        """Have the snapshot there, of `volume` as it is now or as a copy of `source`; else it must be there already."""
        link, frozen = snapshot_file(self.directory, snapshot), layer_file(self.directory, snapshot)
        with self.lock:
            if volume is not None:
                self._freeze(snapshot, volume, key)
            elif not link.exists() and not frozen.exists():
                frozen = self._same(snapshot, source)
            if not link.is_symlink():
                _point(link, frozen)
            if volume is None and source is None:
                self._complete.add(snapshot)

    def _freeze(self, snapshot: str, volume: str, key: str) -> None:
        link, frozen = snapshot_file(self.directory, snapshot), layer_file(self.directory, snapshot)
        name = volume_top(self.directory, volume)
        if not name.exists():
            raise Failure(f"taking snapshot {snapshot}: its volume {name} is not there")
        frozen.parent.mkdir(exist_ok=True)
        if not frozen.exists():
            os.link(name, frozen)
        if not link.is_symlink():  # before anybody writes elsewhere: a layer whose snapshot has no name is deleted
            _point(link, frozen)
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
            self._complete.discard(id)
            self._prune()

    def any(self) -> bool:
        """Whether a snapshot was ever taken here."""
        return (self.directory / "layers").exists()

    def pair(self, but: Container[Pair]) -> Pair | None:
        """Two layers that can become one, which are not among `but`."""
        with self.lock:
            kept = {name.stat().st_ino for name in self.directory.glob("snap-*.qcow2") if name.exists()}
            tops = {top.stat().st_ino for top in self._tops()}
            for lower, upper in self._alone_on_another():
                pair = Pair(lower, upper)
                written = upper.stat().st_ino in tops
                if pair not in but and lower.stat().st_ino not in kept and not written and self._is_at_rest(pair):
                    return pair
        return None

    def _alone_on_another(self) -> Iterator[tuple[Path, Path]]:
        """Each layer on which one thing stands, and what that is."""
        on_top: dict[Path, dict[int, Path]] = {}
        for file in (*self._tops(), *(self.directory / "layers").glob("snap-*.qcow2")):
            below = backing(file)
            if below is not None and below.parent.name == "layers" and below.exists():
                on_top.setdefault(below.resolve(), {})[file.stat().st_ino] = file
        for below, files_on_top in on_top.items():
            first, *more = files_on_top.values()
            if not more:
                yield below, first

    def _is_at_rest(self, pair: Pair) -> bool:
        """Whether no guest writes to the upper one, and it can be filled without a key."""
        name = pair.upper.stem
        complete = name in self._complete or not snapshot_file(self.directory, name).is_symlink()
        same = qcow2.virtual_size(pair.lower) == qcow2.virtual_size(pair.upper)
        return complete and same and not any(map(qcow2.is_encrypted, pair))

    def merged(self, pair: Pair, filled: Path) -> bool:
        """Have what is in the file `filled` as the upper one, and no lower one; false if one of them is gone."""
        with self.lock:
            below = backing(pair.upper) if pair.upper.exists() else None
            if below is None or below.resolve() != pair.lower or not pair.lower.exists():
                return False
            filled.replace(pair.upper)
            files.sync_directory(pair.upper.parent)
            crash.point("volume.merging.merged")
            self._prune()
            return True

    def _prune(self) -> None:
        """Remove the layers on which nothing stands; where one of them is what a volume began as, its name stays."""
        layers = self.directory / "layers"
        if not layers.exists():
            return
        needed = self._needed()
        for link in self.directory.glob("*.top"):
            first = volume_file(self.directory, link.stem)
            if first.exists() and not first.is_symlink() and first.stat().st_ino not in needed:
                _point(first, link)
        for layer in layers.glob("*.qcow2"):
            if layer.stat().st_ino not in needed:
                layer.unlink()

    def _tops(self) -> list[Path]:
        """What is written to, of each volume."""
        found = {name: volume_top(self.directory, name.stem) for name in self.directory.glob("vol-*.qcow2")}
        return [top if top.exists() else name for name, top in found.items() if name.exists()]

    def _needed(self) -> set[int]:
        """The inodes of those on which something stands."""
        found: set[int] = set()
        for name in (*self.directory.glob("snap-*.qcow2"), *self._tops()):
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
