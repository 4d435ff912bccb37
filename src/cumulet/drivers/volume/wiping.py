"""Deleted volumes that are overwritten with zeroes before anybody else gets their room, in the background.

What is to be wiped has a name of its own and says in a tag how far it is, so that it is gone on with after a restart.
"""

from __future__ import annotations

from typing import NamedTuple

from cumulet.lib import crash
from cumulet.lib.errors import CumuletError
from cumulet.lib.log import Log
from cumulet.lib.lvm import Group, Logical
from cumulet.lib.works import Work

log = Log("wiping")
DELETED = "wipe-"
_DONE = "wiped."
_STEP = 1 << 30
_SECONDS = 3600.0
"""For one step, on a disk that is busy."""


class Left(NamedTuple):
    """What is still to be wiped: so many volumes, so many bytes."""

    volumes: int
    bytes: int


def left(group: Group) -> Left:
    """What is still to be wiped in a group."""
    found = [one for one in group.volumes().values() if one.name.startswith(DELETED)]
    return Left(len(found), sum(one.size - done(one) for one in found))


def done(volume: Logical) -> int:
    """Bytes of it that have been overwritten."""
    return max((int(tag.removeprefix(_DONE)) for tag in _told(volume)), default=0)


def _told(volume: Logical) -> list[str]:
    return [tag for tag in volume.tags if tag.startswith(_DONE)]


def set_aside(group: Group, name: str) -> None:
    """It is no volume any more, but one to be wiped."""
    there = group.volumes()
    free = (f"{DELETED}{name}-{number}" for number in range(1, len(there) + 2))
    group.rename(name, next(one for one in free if one not in there))


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
