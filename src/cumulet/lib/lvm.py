"""LVM's commands (lvm(8)) on one volume group, and of it only what carries our tag: all else is somebody else's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

from cumulet.lib.command import run as run_command
from cumulet.lib.errors import Failure

TAG = "cumulet"
LOCKED = "cumulet.luks"
"""The tag of a volume that is encrypted."""
_SECONDS = 60.0
_FIELDS = "lv_name,lv_size,origin,lv_tags,lv_active"
_SECTOR = 512
_BOOKKEEPING = 100
"""One part in so many more than suffices for a snapshot to know what it has kept; LVM takes no more than it can use."""
Run = Callable[..., "CompletedProcess[str]"]
"""As `lib.command.run`."""


class Logical(NamedTuple):
    """A logical volume: its size in bytes, what it is a snapshot of, its tags, and whether its device is there."""

    name: str
    size: int
    origin: str
    tags: list[str]
    active: bool = True

    @property
    def locked(self) -> bool:
        """Whether it is encrypted."""
        return LOCKED in self.tags


class Room(NamedTuple):
    """Bytes that there are for volumes, and that are free; of a thin pool, what has not been written to."""

    size: int
    free: int


class Group:
    """A volume group. With a thin `pool` new volumes take their room from that, as they are written to."""

    def __init__(self, name: str, pool: str = "", *, devices: Path = Path("/dev"), run: Run = run_command) -> None:
        self.name = name
        self.pool = pool
        self.run = run
        self.devices = devices / name

    @property
    def zeroed(self) -> bool:
        """Whether what is new in it reads as zeroes."""
        return bool(self.pool)

    def volumes(self) -> dict[str, Logical]:
        """Those of ours, by name; raises `Failure` where there is no such group."""
        found = (_logical(row) for row in self._report("lvs", "lv", _FIELDS, self.name))
        return {one.name: one for one in found if TAG in one.tags}

    def room(self) -> Room:
        """That of the group, or of its thin pool; raises `Failure` where there is none, with what would be right."""
        if self.pool:
            return self._room_of_pool()
        try:
            found = self._report("vgs", "vg", "vg_size,vg_free", self.name)[0]
        except Failure as e:
            raise self._without(e, f"there is no volume group {self.name}", f"`vgcreate {self.name} DISK`") from e
        return Room(int(found["vg_size"]), int(found["vg_free"]))

    def _room_of_pool(self) -> Room:
        of, make = (
            f"{self.name}/{self.pool}",
            f"`lvcreate --type thin-pool --extents 95%VG --name {self.pool} {self.name}`",
        )
        try:
            found = self._report("lvs", "lv", "lv_size,data_percent,segtype,zero", of)[0]
        except Failure as e:
            raise self._without(e, f"there is no thin pool {of}", make) from e
        if found["segtype"] != "thin-pool":
            raise Failure(f"{of} is no thin pool, but {found['segtype']}: {make} makes one of another name")
        if found["zero"] != "zero":
            raise Failure(f"the thin pool {of} gives out what was deleted: `lvchange --zero y {of}`")
        size = int(found["lv_size"])
        return Room(size, int(size * (1 - float(found["data_percent"] or 0) / 100)))

    def _without(self, e: Failure, what: str, make: str) -> Failure:
        return Failure(f"{what}: {make} makes it") if "ailed to find" in str(e) or "not found" in str(e) else e

    def tags(self) -> list[str]:
        """Those of the group itself."""
        return self._report("vgs", "vg", "vg_tags", self.name)[0]["vg_tags"].split(",")

    def add_tag(self, tag: str) -> None:
        """Tag the group itself."""
        self._run("vgchange", "--addtag", tag, self.name)

    def activate(self, names: Sequence[str]) -> None:
        """Have their devices be there."""
        if names:
            self._run("lvchange", "--activate", "y", *(f"{self.name}/{name}" for name in names))

    def create(self, name: str, size: int, *tags: str) -> None:
        """An empty one. Thick: it has whatever was on the disk; thin: zeroes."""
        room = ["--virtualsize", f"{size}b", "--thinpool", self.pool] if self.pool else ["--size", f"{size}b"]
        plain = [] if self.pool else ["--wipesignatures", "n", "--zero", "n"]
        self._run("lvcreate", "--yes", *_tagged(tags), "--name", name, *room, *plain, self.name)

    def snapshot(self, name: str, of: Logical, permission: str = "rw") -> None:
        """What one holds now, encrypted if that is.

        Of a thick one it is for a while only: it has room for all to be overwritten, once.
        """
        whole = of.size + of.size // _BOOKKEEPING // _SECTOR * _SECTOR
        room = ["--setactivationskip", "n"] if self.pool else ["--size", f"{whole}b"]
        words = ["--snapshot", "--permission", permission, "--name", name, *room]
        tags = [LOCKED] if of.locked else []
        self._run("lvcreate", "--yes", *_tagged(tags), *words, f"{self.name}/{of.name}")

    def split(self, name: str) -> None:
        """A thick snapshot is one no more, but a volume of what was overwritten meanwhile."""
        self._run("lvconvert", "--yes", "--splitsnapshot", f"{self.name}/{name}")

    def extend(self, name: str, size: int) -> None:
        """Have it as large as that at least, in use or not."""
        if self.volumes()[name].size < size:
            self._run("lvextend", "--size", f"{size}b", f"{self.name}/{name}")

    def rename(self, name: str, to: str) -> None:
        self._run("lvrename", self.name, name, to)

    def tag(self, name: str, add: str, remove: Sequence[str]) -> None:
        """Put a tag on it, and take others away."""
        gone = [word for tag in remove for word in ("--deltag", tag)]
        self._run("lvchange", *gone, "--addtag", add, f"{self.name}/{name}")

    def lock(self, name: str) -> None:
        """Write down that it is encrypted."""
        self.tag(name, LOCKED, [])

    def remove(self, name: str) -> None:
        """It is gone; what is on the disk there is not, unless it was thin."""
        self._run("lvremove", "--yes", f"{self.name}/{name}")

    def device(self, name: str) -> Path:
        """Where it is read and written."""
        return self.devices / name

    def node(self, name: str) -> dict[str, Any]:
        """The same, as QEMU's block options."""
        device = self.device(name)
        return {"driver": "host_device" if device.is_block_device() else "file", "filename": str(device)}

    def secret(self) -> str:
        """What QEMU must be told for that: nothing."""
        return ""

    def _report(self, command: str, kind: str, fields: str, of: str) -> list[dict[str, str]]:
        form = ["--reportformat", "json", "--units", "b", "--nosuffix", "--options", fields]
        found: list[dict[str, str]] = json.loads(self._run(command, *form, of))["report"][0][kind]
        return found

    def _run(self, command: str, *words: str) -> str:
        try:
            return str(self.run([command, *words], timeout=_SECONDS).stdout)
        except Failure as e:
            if "is not installed" in str(e):
                text = f"volumes in the group {self.name}: {command} is not installed: apt-get install lvm2"
                raise Failure(text) from e
            raise


def _logical(row: dict[str, str]) -> Logical:
    active = row["lv_active"].startswith("active")
    return Logical(row["lv_name"], int(row["lv_size"]), row["origin"], row["lv_tags"].split(","), active)


def _tagged(tags: Sequence[str]) -> list[str]:
    return [word for tag in (TAG, *tags) for word in ("--addtag", tag)]
