"""Volumes as logical volumes of a group, thick or in a thin pool: `nova-volumes` in the cloud of 2012.

Names are our ids. Beside them there are, aside: `new-ID`, which is being filled; `cow-ID`, what a snapshot of a thick
volume is until it has been copied; and `wipe-ID-NUMBER`, which was deleted. LVM keeps all that is known.

Thin: a snapshot or a clone is there at once, and what is deleted goes back to the pool, which gives out zeroes. Thick:
LVM's snapshots slow their volumes down and die when full, so they are copied, and what is deleted is overwritten.

One that is encrypted (`locked`) says so by a tag, as its snapshots do, which are of its key, header and all.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import SnapshotSpec, Spec, VolumeExportSpec, VolumeSpec, is_export
from cumulet.drivers.volume import locked
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.filling import ASIDE, Cipher, Filling, Source
from cumulet.drivers.volume.images import disk_of
from cumulet.drivers.volume.wiping import DELETED, Wiping, set_aside
from cumulet.lib import crash
from cumulet.lib.errors import CumuletError, Failure, Impossible, Later
from cumulet.lib.log import Log
from cumulet.lib.lvm import LOCKED, Group, Logical
from cumulet.lib.works import Works

log = Log("volumes")
_GIB = 1024**3
_MOMENT = "cow-"
_FROM = "from."
"""Begins the tag of a volume aside: the snapshot that it is filled from."""
_LOOK_SECONDS = 1.0
"""From look to look at what is being filled."""


def room_gib(group: Group) -> int:
    """GiB that volumes have or can have. Thick, what snapshots have and what is still to be wiped is not among it."""
    if group.pool:
        return group.room().size >> 30
    volumes = [one for name, one in group.volumes().items() if name.removeprefix(ASIDE).startswith("vol-")]
    headers = locked.LENGTH * sum(one.locked for one in volumes)
    return (group.room().free + sum(one.size for one in volumes) - headers) >> 30


class LvmVolumes:
    """The driver of `VolumeSpec`, `SnapshotSpec` and `VolumeExportSpec`.

    A volume that is filled is there when it is full: until then ordering it ends in `Later`, with how far it is. It is
    at least as large as what it is made from, grows, and never shrinks.
    """

    def __init__(self, group: Group, images_directory: Path, exports: Exports) -> None:
        self.group = group
        self.images_directory = images_directory
        self._exports = exports
        self._filling: Works[Filling] = Works()
        self._wiping: Works[Wiping] = Works()
        self._lock = threading.Lock()
        self._wipe_lock = threading.Lock()

    def ensure(self, spec: Spec) -> None:
        """Make it be there, or begin to; a snapshot that was complete and is lost is `Impossible`.

        A thick snapshot that is ordered without its volume's name ends in `Later` until it has been copied.
        """
        there = self.group.volumes()
        self.group.activate([name for name, one in there.items() if not one.active])
        if isinstance(spec, SnapshotSpec):
            self._snapshot(spec, there)
        elif isinstance(spec, VolumeExportSpec):
            self._export(spec, there)
        else:
            assert isinstance(spec, VolumeSpec)
            self._volume(spec, there)

    def remove(self, id: str) -> None:
        """Remove it, and what was being made of it; or end the export. `Later` while something is copied of it."""
        if is_export(id):
            self._exports.drop(id)
            return
        with self._lock:
            filling = self._filling.forget(id)
            if filling is not None:
                filling.end()
            there = self.group.volumes()
            used = [one.name for one in there.values() if one.origin == id and not self.group.pool]
            used += [name for name, one in there.items() if name.startswith(ASIDE) and _FROM + id in one.tags]
            if used and id in there:
                raise Later(_LOOK_SECONDS, f"{_ids_of(used)} is still being copied of it")
            if _MOMENT + id in there:
                self._split(there[_MOMENT + id])
            for name in (ASIDE + id, _MOMENT + id, id):
                if name in there:
                    self._delete(name)

    def observe(self) -> list[Seen]:
        """The volumes and snapshots in the group, and the exports. What was begun before a restart is gone on with."""
        there = self._go_on()
        return [*(Seen(id=id) for id in sorted(_ids(there))), *self._exports.seen()]

    def look(self, id: str) -> Seen | None:
        """One volume, snapshot or export."""
        if is_export(id):
            return self._exports.look(id)
        return Seen(id=id) if id in _ids(self.group.volumes()) else None

    def _export(self, spec: VolumeExportSpec, there: dict[str, Logical]) -> None:
        if spec.volume not in there:
            raise Failure(f"exporting {spec.volume}: it is not in the group {self.group.name}")
        of = there[spec.volume]
        locked.check(of.name, spec.key, is_locked=of.locked)
        if of.size < (size := locked.whole(spec.size_gib * _GIB, spec.key)) and spec.size_gib:
            self._grow(of.name, size, there)
        self._exports.put(spec, self.group.device(of.name), "luks" if of.locked else "raw")

    def _volume(self, spec: VolumeSpec, there: dict[str, Logical]) -> None:
        wanted = max(spec.size_gib, spec.grows_to) * _GIB
        whole, cipher = locked.whole(wanted, spec.key), Cipher(spec.key)
        image = disk_of(self.images_directory, spec) if spec.id not in there else None
        if spec.id in there:
            locked.check(spec.id, spec.key, is_locked=there[spec.id].locked)
            if there[spec.id].size < whole:
                self._grow(spec.id, whole, there)
        elif spec.source:
            self._fill(spec.id, wanted, self._exports.source(spec), cipher)
        elif spec.snapshot is not None:
            self._clone(spec, wanted, there)
        elif image is not None:
            self._fill(spec.id, wanted, Source(str(image.file), image.format), cipher)
        elif spec.key:
            self._create_locked(spec.id, whole, spec.key, there)
        else:
            self.group.create(spec.id, wanted)

    def _create_locked(self, id: str, size: int, key: str, there: dict[str, Logical]) -> None:
        if ASIDE + id not in there:
            self.group.create(ASIDE + id, size)
        locked.begin(self.group, ASIDE + id, key)
        crash.point("volume.locked")
        self.group.rename(ASIDE + id, id)

    def _grow(self, id: str, wanted: int, there: dict[str, Logical]) -> None:
        moments = [one.name for one in there.values() if one.origin == id and not self.group.pool]
        if moments:
            raise Later(_LOOK_SECONDS, f"{_ids_of(moments)} is still being copied of {id}, which can grow then")
        self.group.extend(id, wanted)

    def _clone(self, spec: VolumeSpec, wanted: int, there: dict[str, Logical]) -> None:
        of, whole = self._full(str(spec.snapshot), there), locked.whole(wanted, spec.key)
        if of is None:
            lost = f"the snapshot {spec.snapshot} has been lost: it is not in the group {self.group.name}"
            raise Impossible("Server.InternalError", lost)
        source = Source(str(self.group.device(of.name)))
        if spec.key and not of.locked:
            self._fill(spec.id, wanted, source, Cipher(spec.key))
        elif self.group.pool:
            self.group.snapshot(spec.id, of)
            crash.point("volume.clone.made")
            self.group.extend(spec.id, whole)
        else:
            self._fill(spec.id, whole, source, Cipher(as_source=of.locked))

    def _full(self, snapshot: str, there: dict[str, Logical]) -> Logical | None:
        """A snapshot that can be copied, if it is there; `Later` while it is being made."""
        if snapshot not in there and snapshot in _ids(there):
            self._say_filling(snapshot)
        return there.get(snapshot)

    def _snapshot(self, spec: SnapshotSpec, there: dict[str, Logical]) -> None:
        if spec.id not in _ids(there):
            if spec.volume is not None:
                self._take(spec.id, spec.volume, there)
            else:
                self._copy(spec, there)
        there = self._go_on(spec.id, spec.key)
        if spec.volume is None and spec.id not in there:
            self._say_filling(spec.id)

    def _take(self, id: str, volume: str, there: dict[str, Logical]) -> None:
        if volume not in there:
            raise Failure(f"taking snapshot {id}: {volume} is not in the group {self.group.name}")
        if self.group.pool:
            self.group.snapshot(id, there[volume], "r")
        else:
            self.group.snapshot(_MOMENT + id, there[volume])

    def _copy(self, spec: SnapshotSpec, there: dict[str, Logical]) -> None:
        source = spec.source or spec.id
        of = self._full(source, there)
        if of is None:
            raise Impossible("Server.InternalError", f"the snapshot {source} has been lost")
        if self.group.pool and bool(spec.key) == of.locked:
            self.group.snapshot(spec.id, of, "r")
        else:
            tags = [LOCKED] if spec.key else []
            size = of.size if of.locked else locked.whole(of.size, spec.key)
            self.group.create(ASIDE + spec.id, size, _FROM + source, *tags)

    def _go_on(self, wanted: str = "", key: str = "") -> dict[str, Logical]:
        """Have snapshots of thick volumes copied that are not yet, and deleted volumes wiped; gives what is there.

        Raises, once, what has ended the copying of the one that is `wanted`, which has this key. Without it no copy is
        encrypted of what is not: that waits until it is ordered again.
        """
        with self._lock:
            there = self.group.volumes()
            for name, one in there.items():
                try:
                    self._go_on_with(name, one, there, key if wanted and name.endswith(wanted) else "")
                except CumuletError as e:
                    if wanted and name.endswith(wanted):
                        raise
                    log.warning("not copied yet, tried again within a minute", volume=name, error=e)
        if any(name.startswith(DELETED) for name in there):
            self._wipe()
        return there

    def _go_on_with(self, name: str, one: Logical, there: dict[str, Logical], key: str) -> None:
        id = name.removeprefix(_MOMENT).removeprefix(ASIDE)
        if not id.startswith(("vol-", "snap-")):
            return
        of = next((tag.removeprefix(_FROM) for tag in one.tags if tag.startswith(_FROM)), "")
        filling = self._filling.get(id)
        if name == _MOMENT + id and id not in there and one.origin:
            source = Source(str(self.group.device(name)))
            self._go_on_filling(id, 0, source, Cipher(as_source=one.locked))  # its own size is what it keeps
        elif name == _MOMENT + id and id in there and (filling is None or not filling.is_alive()):
            self._drop_moment(id)
        elif name == ASIDE + id and of in there:
            same = there[of].locked == one.locked
            if same or key:
                size = one.size if same else one.size - locked.LENGTH
                cipher = Cipher(as_source=one.locked) if same else Cipher(key)
                self._go_on_filling(id, size, Source(str(self.group.device(of))), cipher)

    def _fill(self, id: str, size: int, source: Source, cipher: Cipher) -> None:
        """Have it filled; `Later` until it is."""
        self._go_on_filling(id, size, source, cipher)
        self._say_filling(id)

    def _say_filling(self, id: str) -> None:
        filling = self._filling.get(id)
        raise Later(_LOOK_SECONDS, f"{id} is being filled: {filling.percent if filling is not None else 0:.0f} %")

    def _go_on_filling(self, id: str, size: int, source: Source, cipher: Cipher) -> None:
        then = partial(self._drop_moment, id)
        self._filling.go_on(id, lambda: Filling(self.group, id, size, source, then, cipher=cipher))

    def _drop_moment(self, id: str) -> None:
        """A snapshot that has been copied: what its thick volume kept for it is deleted."""
        moment = self.group.volumes().get(_MOMENT + id)
        if moment is not None:
            self._split(moment)
            self._delete(moment.name)

    def _split(self, moment: Logical) -> None:
        if moment.origin:
            self.group.split(moment.name)
            crash.point("volume.snapshot.split")

    def _delete(self, name: str) -> None:
        if self.group.pool:
            self.group.remove(name)
            return
        set_aside(self.group, name)
        crash.point("volume.set_aside")
        self._wipe()

    def _wipe(self) -> None:
        with self._wipe_lock, suppress(CumuletError):  # it has been logged
            self._wiping.go_on(self.group.name, lambda: Wiping(self.group))


def _ids_of(names: list[str]) -> str:
    return ", ".join(sorted({name.removeprefix(ASIDE).removeprefix(_MOMENT) for name in names}))


def _ids(there: dict[str, Logical]) -> set[str]:
    """The volumes and snapshots that there are; a snapshot is, as soon as its moment is kept."""
    begun = {name.removeprefix(ASIDE) for name, one in there.items() if any(tag.startswith(_FROM) for tag in one.tags)}
    found = {name.removeprefix(_MOMENT) for name in there} | begun
    return {id for id in found if id.startswith(("vol-", "snap-"))}
