"""Deleted volumes, and what a new group has free, are overwritten with zeroes before anybody gets their room, in the
background.

What is to be wiped has a name of its own and says in a tag how far it is, so that it is gone on with after a restart.
"""

from __future__ import annotations

from cumulet.lib import crash
from cumulet.lib.errors import CumuletError
from cumulet.lib.log import Log
from cumulet.lib.lvm import Group, Logical
from cumulet.lib.works import Work

log = Log("wiping")
DELETED = "wipe-"
ZEROED = "cumulet.zeroed"
"""The tag of a group whose free room has zeroes, but for what is to be wiped still."""
_PIECE = 64 << 30
_DONE = "wiped."
_STEP = 1 << 30
_SECONDS = 3600.0
"""For one step, on a disk that is busy."""


def take_in(group: Group) -> None:
    """Have all that is free in a group of thick volumes wiped, once: whoever had the disk before has left something.

    What is to be wiped is no room for volumes until it is.
    """
    if group.pool or ZEROED in group.tags():
        return
    while free := group.room().free:
        name = _free_name(group, "free")
        group.create(name, min(free, _PIECE))
        crash.point("volume.group.piece")
    group.add_tag(ZEROED)


def left(group: Group) -> int:
    """Bytes of a group that are still to be wiped."""
    return sum(one.size - done(one) for one in group.volumes().values() if one.name.startswith(DELETED))


def done(volume: Logical) -> int:
    """Bytes of it that have been overwritten."""
    return max((int(tag.removeprefix(_DONE)) for tag in _told(volume)), default=0)


def _told(volume: Logical) -> list[str]:
    return [tag for tag in volume.tags if tag.startswith(_DONE)]


def set_aside(group: Group, name: str) -> None:
    """It is no volume any more, but one to be wiped."""
    group.rename(name, _free_name(group, name))


def _free_name(group: Group, of: str) -> str:
    there = group.volumes()
    names = (f"{DELETED}{of}-{number}" for number in range(1, len(there) + 2))
    return next(one for one in names if one not in there)


class Wiping(Work):
    """Wipes all that is to be, one after the other."""

    def __init__(self, group: Group) -> None:
        super().__init__(f"wipe {group.name}")
        self._group = group

    def run(self) -> None:
        try:
            while left := [one for one in self._group.volumes().values() if one.name.startswith(DELETED)]:
                self._wipe(left[0])
        except CumuletError as e:
            self.error = e
            log.warning("wiping has stopped, and goes on within a minute", group=self._group.name, error=e)

    def _wipe(self, volume: Logical) -> None:
        log.info("wiping", volume=volume.name, bytes=volume.size)
        at, told, device = done(volume), _told(volume), self._group.device(volume.name)
        while at < volume.size:
            length = min(_STEP, volume.size - at)
            words = ["blkdiscard", "--zeroout", "--offset", str(at), "--length", str(length), device]
            self._group.run(["ionice", "--class", "3", *words], timeout=_SECONDS)
            at += length
            self._group.tag(volume.name, f"{_DONE}{at}", told)
            told = [f"{_DONE}{at}"]
            crash.point("volume.wiping.step")
        self._group.remove(volume.name)
        log.info("wiped", volume=volume.name, bytes=volume.size)
