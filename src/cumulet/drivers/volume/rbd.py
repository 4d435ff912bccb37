"""Volumes in Ceph: images of RBD in a pool that all hosts share, whose guests open them by themselves.

Names are our ids. A volume and a snapshot are an image each, and so is, once for all hosts, the disk of an image file
that volumes were made of: its base. What stands on another is a clone of a moment of that (`lib.rbd`): nothing waits
for what is made of it. Beside them there are, aside: `new-ID…`, which is being filled, and `gone-ID-NUMBER`, which was
deleted. The pool keeps all that is known; also of what is encrypted (`locked`) that it is so.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import NoReturn

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import SnapshotSpec, Spec, VolumeExportSpec, VolumeSpec, is_export
from cumulet.drivers.volume import locked
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.filling import ASIDE, PLAIN, Cipher, Filling, Source
from cumulet.drivers.volume.images import disk_of
from cumulet.drivers.volume.opened import Opened
from cumulet.drivers.volume.removing import DELETED, Removing, set_aside
from cumulet.drivers.volume.storage_daemon import Image
from cumulet.lib import crash, files
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure, Impossible, Later
from cumulet.lib.log import Log
from cumulet.lib.rbd import Pool
from cumulet.lib.works import Works

log = Log("volumes")
_GIB = 1024**3
_BASE = "base"
"""The moment of a snapshot, or of the disk of an image file, that all stands on that is made of it."""
_OURS = re.compile(rf"({ASIDE})?((?:vol|snap|imf)-[0-9a-f]{{17}})(\..*)?")
_LOOK_SECONDS = 1.0
"""From look to look at what is being filled."""


def pool_of(config: Config) -> Pool:
    """The pool that the settings name."""
    keyring = Path(config.rbd_keyring) if config.rbd_keyring else None
    return Pool(config.rbd_pool, config.rbd_user, Path(config.rbd_conf), keyring)


def identity(pool: Pool, remembered: Path) -> str:
    """By which hosts know that they have the same pool; this one keeps it in the file `remembered`.

    Raises `Failure` where it is another one than before, or is not reached.
    """
    found = f"ceph {pool.identity()}"
    known = remembered.read_text() if remembered.exists() else ""
    if known and known != found:
        raise Failure(
            f"the setting rbd_pool is {pool.name}, which is not the pool that this host had before ({known}, this is "
            f"{found}): name that one, or remove {remembered} if it is to have another"
        )
    if not known:
        files.write(remembered, found.encode(), durable=True)
    return found


class RbdVolumes:
    """The driver of `VolumeSpec`, `SnapshotSpec` and `VolumeExportSpec`; `host` is the name of this one,
    which remembers in `opened_directory` which of its volumes guests of other hosts may have open.

    A volume is at least as large as what it is made from, grows, and never shrinks. The first one of an image file
    waits until the pool has that: ordering it ends in `Later`, with how far it is. Bases are seen too, by the ids of
    their image files, so that they go when those have gone; a volume that is ordered by such an id is the base.
    """

    def __init__(self, pool: Pool, images_directory: Path, exports: Exports, host: str, opened_directory: Path) -> None:
        self.pool = pool
        self.images_directory = images_directory
        self._exports = exports
        self._host = host
        self._opened = Opened(opened_directory, pool)
        self._filling: Works[Filling] = Works()
        self._lock = threading.Lock()
        """Of the works: several volumes may wait for one base."""
        self._removing: Works[Removing] = Works()

    def ensure(self, spec: Spec) -> None:
        """Make it be there, or begin to; a snapshot that was complete and is lost is `Impossible`."""
        if isinstance(spec, SnapshotSpec):
            self._snapshot(spec)
        elif isinstance(spec, VolumeExportSpec):
            self._export(spec)
        else:
            assert isinstance(spec, VolumeSpec)
            self._volume(spec)

    def remove(self, id: str) -> None:
        """It is there no more, whoever has it open; its bytes go in the background, and what it alone stood on."""
        if is_export(id):
            self._exports.drop(id)
            self._opened.end(id)
            return
        with self._lock:
            filling = self._filling.forget(id)
        if filling is not None:
            filling.end()
        there = self.pool.volumes()
        for name in there:
            if _id(name) == id:
                set_aside(self.pool, name, id, there)
                crash.point("volume.set_aside")
        self._go_on_removing(self.pool.volumes())

    def observe(self) -> list[Seen]:
        """The volumes, snapshots and bases in the pool, and the exports. What was deleted is gone on with."""
        there = self.pool.volumes()
        self._go_on_removing(there)
        return [*(Seen(id=id) for id in sorted(_ids(there))), *self._exports.seen(), *self._opened.seen()]

    def look(self, id: str) -> Seen | None:
        """One volume, snapshot, base or export."""
        if is_export(id):
            return self._opened.look(id) or self._exports.look(id)
        return Seen(id=id) if self.pool.size(id) is not None else None

    def _export(self, spec: VolumeExportSpec) -> None:
        if self.pool.size(spec.volume) is None:
            raise Failure(f"exporting {spec.volume}: it is not in the pool {self.pool.name}")
        if spec.direct:
            self._opened.put(spec.id, spec.volume)
        else:
            is_locked = self.pool.is_locked(spec.volume)
            locked.check(spec.volume, spec.key, is_locked=is_locked)
            self._exports.put(spec, Image(self.pool, spec.volume), "luks" if is_locked else "raw")

    def _volume(self, spec: VolumeSpec) -> None:
        size = self.pool.size(spec.id)
        if size is None:
            self._begin(spec)
        wanted = locked.whole(spec.size_gib * _GIB, spec.key)
        if size is None or size < wanted:
            self.pool.extend(spec.id, wanted)

    def _begin(self, spec: VolumeSpec) -> None:
        wanted, cipher, aside = spec.size_gib * _GIB, Cipher(spec.key), ASIDE + spec.id
        if spec.source:
            self._fill(spec.id, wanted, self._exports.source(spec), aside, cipher)
        plain = self._plain(spec) if spec.key else None
        if plain is not None:
            self._fill(spec.id, wanted, plain, aside, cipher)
        base = spec.snapshot or (self._base(spec) if not spec.key else None)
        if base is not None:
            self._clone(base, spec.id)
        elif spec.key:
            self._create_locked(spec.id, locked.whole(wanted, spec.key), spec.key)
        else:
            self.pool.create(spec.id, wanted)
        crash.point("volume.made")

    def _plain(self, spec: VolumeSpec | SnapshotSpec) -> Source | None:
        """What an encrypted thing is made from, if that is not encrypted; raises `Impossible` if it is lost."""
        kept = spec.snapshot if isinstance(spec, VolumeSpec) else spec.source
        file = spec.image_file if isinstance(spec, VolumeSpec) and kept is None else None
        of = kept or file
        if of is not None and self.pool.size(of) is not None:
            return None if self.pool.is_locked(of) else Source(str(self.pool.device(of)))
        if kept is not None:
            raise self._lost(kept)
        image = disk_of(self.images_directory, spec) if isinstance(spec, VolumeSpec) else None
        return Source(str(image.file), image.format) if image is not None else None

    def _create_locked(self, id: str, size: int, key: str) -> None:
        self.pool.create(ASIDE + id, size)
        locked.begin(self.pool, ASIDE + id, key)
        crash.point("volume.locked")
        self.pool.rename(ASIDE + id, id)

    def _base(self, spec: VolumeSpec) -> str | None:
        """The base of its image, if that has a disk; ends in `Later` until it is there.

        Each host that needs one first fills its own, and the first that is full is it.
        """
        if spec.image_file is None or self.pool.size(spec.image_file) is not None:
            return spec.image_file
        image = disk_of(self.images_directory, spec)
        if image is not None:
            aside = f"{ASIDE}{spec.image_file}.{self._host}"
            self._fill(spec.image_file, image.size, Source(str(image.file), image.format), aside)
        return None

    def _clone(self, of: str, name: str) -> None:
        if self.pool.size(of) is None:
            raise self._lost(of)
        self.pool.keep(of, _BASE)
        crash.point("volume.base.kept")
        self._clone_moment(of, _BASE, name)

    def _clone_moment(self, of: str, moment: str, name: str) -> None:
        """A clone is encrypted as that is: it is aside until that is written down."""
        if not self.pool.is_locked(of):
            self.pool.clone(of, moment, name)
            return
        self.pool.clone(of, moment, ASIDE + name)
        crash.point("volume.clone.aside")
        self.pool.lock(ASIDE + name)
        self.pool.rename(ASIDE + name, name)

    def _lost(self, snapshot: str) -> Impossible:
        lost = f"the snapshot {snapshot} has been lost: it is not in the pool {self.pool.name}"
        return Impossible("Server.InternalError", lost)

    def _snapshot(self, spec: SnapshotSpec) -> None:
        there = self.pool.size(spec.id) is not None
        if not there and spec.volume is not None:
            if self.pool.size(spec.volume) is None:
                raise Failure(f"taking snapshot {spec.id}: {spec.volume} is not in the pool {self.pool.name}")
            self.pool.keep(spec.volume, spec.id)
            crash.point("volume.snapshot.moment")
            self._clone_moment(spec.volume, spec.id, spec.id)
            crash.point("volume.snapshot.cloned")
        elif not there:
            plain = self._plain(spec) if spec.key and spec.source is not None else None
            if plain is not None:
                self._fill(spec.id, 0, plain, ASIDE + spec.id, Cipher(spec.key))
            self._clone(spec.source or spec.id, spec.id)
        if spec.volume is not None:
            self.pool.let_go(spec.volume, spec.id)

    def _fill(self, id: str, size: int, source: Source, aside: str, cipher: Cipher = PLAIN) -> NoReturn:
        """Have it filled, if nobody was first; `Later` until it is."""

        def end() -> None:
            there = self.pool.volumes()
            if aside in there:  # another host was first
                set_aside(self.pool, aside, id, there)

        with self._lock:
            self._filling.go_on(id, lambda: Filling(self.pool, id, size, source, end, aside, cipher))
            filling = self._filling.get(id)
        percent = filling.percent if filling is not None else 0.0
        raise Later(_LOOK_SECONDS, f"{id} is being copied to the pool {self.pool.name}: {percent:.0f} %")

    def _go_on_removing(self, there: list[str]) -> None:
        if any(name.startswith(DELETED) for name in there):
            with self._lock:
                self._removing.go_on(self.pool.name, lambda: Removing(self.pool))


def _id(name: str) -> str | None:
    """The id of what is in the pool by this name; None: it is not ours, or was deleted."""
    found = _OURS.fullmatch(name)
    return found[2] if found else None


def _ids(names: list[str]) -> set[str]:
    """What there is; of what is being filled, the bases, of which no host knows but those that fill them."""
    found = {name: id for name in names if (id := _id(name)) is not None}
    return {id for name, id in found.items() if name == id or id.startswith("imf-")}
