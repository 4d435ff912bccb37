"""Namespaces of a pool of Ceph in memory, as far as `cumulet.lib.rados` gives them: what they do, and what they refuse.

A write under way is in the pool when it is waited for, and not before; a process that dies leaves it undone.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from cumulet.lib.librados import Refused
from cumulet.lib.rados import Pending, Space


@dataclass
class Kept:
    """An object."""

    content: bytes
    state: bytes = b""
    modified: float = field(default_factory=time.time)


class FakeCeph:
    """`room`: how many bytes fit; `answers`: what the next acts of each kind end with instead, an errno each or 0."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.answers: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.spaces: dict[str, dict[str, Kept]] = {}
        self.lock = threading.RLock()

    def space(self, namespace: str) -> Space:
        return _FakeSpace(self, namespace)

    def used(self) -> int:
        return sum(len(kept.content) for space in self.spaces.values() for kept in space.values())


class _FakeSpace(Space):
    def __init__(self, ceph: FakeCeph, namespace: str) -> None:
        self._ceph = ceph
        self._kept = ceph.spaces.setdefault(namespace, {})

    def put(self, name: str, content: bytes | bytearray, state: bytes = b"", *, new: bool = False) -> Pending:
        taken = bytes(content)

        def act() -> None:
            self._fails("put")
            before = self._kept.get(name)
            if new and before is not None:
                raise Refused("writing", errno.EEXIST)
            if self._ceph.used() + len(taken) > self._ceph.room:
                raise Refused("writing", errno.ENOSPC)
            self._kept[name] = Kept(taken, state or (before.state if before else b""))

        return _Waiting(self._ceph, act)

    def change(self, name: str, was: bytes, state: bytes) -> None:
        with self._ceph.lock:
            self._fails("change")
            if name not in self._kept:
                raise Refused("changing", errno.ENOENT)
            if self._kept[name].state != was:
                raise Refused("changing", errno.ECANCELED)
            self._kept[name] = Kept(self._kept[name].content, state)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            with self._ceph.lock:
                self._fails("remove")
                self._kept.pop(name, None)

    def state(self, name: str) -> bytes | None:
        with self._ceph.lock:
            self._fails("state")
            return self._kept[name].state if name in self._kept else None

    def states(self, names: Iterable[str]) -> dict[str, bytes]:
        return {name: state for name in names if (state := self.state(name))}

    def read(self, name: str, offset: int, length: int) -> bytes:
        with self._ceph.lock:
            self._fails("read")
            if name not in self._kept:
                raise Refused("reading", errno.ENOENT)
            return self._kept[name].content[offset : offset + length]

    def names(self) -> Iterator[str]:
        yield from list(self._kept)

    def modified(self, names: Iterable[str]) -> dict[str, float]:
        with self._ceph.lock:
            return {name: self._kept[name].modified for name in names if name in self._kept}

    def _fails(self, act: str) -> None:
        self._ceph.asked.append(act)
        left = self._ceph.answers.get(act, [])
        if number := left.pop(0) if left else 0:
            raise Refused(act, number)


class _Waiting:
    def __init__(self, ceph: FakeCeph, act: Callable[[], None]) -> None:
        self._ceph = ceph
        self._act = act

    def wait(self) -> None:
        with self._ceph.lock:
            self._act()
