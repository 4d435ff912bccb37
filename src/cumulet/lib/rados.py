"""Objects of Ceph's in a namespace of a pool: written whole, under conditions, and read by ranges (`lib.librados`).

An object of Ceph's is a name, bytes, and here a state: a short text beside them, by which writers know of each other.
Nothing waits without a limit: what Ceph has not done in 45 s is a `Refused`, `ETIMEDOUT`, and may be done later.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from ctypes import byref, c_char, c_char_p, c_long, c_uint64, c_void_p
from types import TracebackType
from typing import Any, Protocol

from cumulet.lib.librados import Pool, Refused, library
from cumulet.lib.threads import aside

_STATE = b"cumulet.state"
_LONGEST_STATE = 256
_EXCLUSIVE, _EQUAL = 1, 1
_FULL_TRY = 64
"""Say that there is no room instead of waiting for some; what is removed is removed all the same."""


class Pending(Protocol):
    """Something that Ceph was asked to do."""

    def wait(self) -> object:
        """It is done, on all the disks that it belongs on; raises `Refused`. Once."""


class Space:
    """A namespace of a pool. Any number of threads may use it, in any number of processes."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool = pool
        self._namespace = namespace

    def put(self, name: str, content: bytes | bytearray, state: bytes = b"", *, new: bool = False) -> Pending:
        """These bytes, all of them or none; `new`: `EEXIST` where there is such an object already."""
        with _Operation(self._pool, self._namespace) as operation:
            if new:
                operation.add("create", _EXCLUSIVE, None)
            operation.add("write_full", _pointer(content), len(content))
            if state:
                operation.add("setxattr", _STATE, state, len(state))
            return operation.start(name, f"writing {self._of(name)}")

    def change(self, name: str, was: bytes, state: bytes) -> None:
        """Give it another state; `ECANCELED` where it has not the one that it is said to have."""
        with _Operation(self._pool, self._namespace) as operation:
            operation.add("assert_exists")
            operation.add("cmpxattr", _STATE, _EQUAL, was, len(was))
            operation.add("setxattr", _STATE, state, len(state))
            operation.start(name, f"changing {self._of(name)}").wait()

    def remove(self, names: Iterable[str]) -> None:
        """All of them at once; those that are not there are as they should be."""
        begun: list[Pending] = []
        for name in names:
            with _Operation(self._pool, self._namespace) as operation:
                operation.add("remove")
                begun.append(operation.start(name, f"removing {self._of(name)}"))
        for one in begun:
            succeeded(one, unless=errno.ENOENT)

    def state(self, name: str) -> bytes | None:
        """None: there is no such object."""
        buffer = ctypes.create_string_buffer(_LONGEST_STATE)
        done = library().rados_getxattr(self._io(), name.encode(), _STATE, buffer, _LONGEST_STATE)
        if done == -errno.ENODATA:
            return b""
        if done == -errno.ENOENT:
            return None
        return buffer.raw[: self._pool.checked(done, f"looking at {self._of(name)}")]

    def states(self, names: Iterable[str]) -> dict[str, bytes]:
        """The states of many, asked for at once; without those that are not there or have none."""
        asked = []
        for name in names:
            completion, buffer = self._looking(name), ctypes.create_string_buffer(_LONGEST_STATE)
            completion.begun(
                library().rados_aio_getxattr(
                    self._io(), name.encode(), completion.handle, _STATE, buffer, _LONGEST_STATE
                )
            )
            asked.append((name, completion, buffer))
        lengths = _came_to([(name, one) for name, one, _ in asked], errno.ENOENT, errno.ENODATA)
        return {name: buffer.raw[: lengths[name]] for name, _, buffer in asked if name in lengths}

    def read(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes from there, fewer only at its end."""
        buffer = ctypes.create_string_buffer(length)
        done = library().rados_read(self._io(), name.encode(), buffer, length, offset)
        return buffer.raw[: self._pool.checked(done, f"reading {self._of(name)}")]

    def names(self) -> Iterator[str]:
        """Of all the objects that are there from the beginning of this to its end, in no order."""
        context, entry, act = c_void_p(), c_char_p(), f"listing {self._of('all')}"
        self._pool.checked(library().rados_nobjects_list_open(self._io(), byref(context)), act)
        try:
            while (done := library().rados_nobjects_list_next(context, byref(entry), None, None)) == 0:
                yield (entry.value or b"").decode()
        finally:
            library().rados_nobjects_list_close(context)
        if done != -errno.ENOENT:
            self._pool.checked(done, act)

    def modified(self, names: Iterable[str]) -> dict[str, float]:
        """When they were last written to or changed, by the writers' clocks; without those that are not there."""
        asked = [(name, self._looking(name), c_uint64(), c_long()) for name in names]
        for name, completion, size, moment in asked:
            completion.begun(
                library().rados_aio_stat(self._io(), name.encode(), completion.handle, byref(size), byref(moment))
            )
        there = _came_to([(name, one) for name, one, *_ in asked], errno.ENOENT)
        return {name: float(moment.value) for name, _, _, moment in asked if name in there}

    def _looking(self, name: str) -> _Completion:
        return _Completion(self._pool, f"looking at {self._of(name)}")

    def _io(self) -> c_void_p:
        return self._pool.io(self._namespace)

    def _of(self, name: str) -> str:
        return f"{name} in {self._pool.name}/{self._namespace}"


class _Completion:
    """By which the end of an operation is waited for."""

    def __init__(self, pool: Pool, act: str) -> None:
        self.handle = c_void_p()
        self._pool = pool
        self._act = act
        self._error = 0
        self._pool.checked(library().rados_aio_create_completion2(None, None, byref(self.handle)), act)

    def begun(self, done: int) -> None:
        """What the function said that was to begin it."""
        self._error = done

    def wait(self) -> int:
        """What it came to."""
        done = self._error
        if not done:
            with aside():
                library().rados_aio_wait_for_complete(self.handle)
            done = library().rados_aio_get_return_value(self.handle)
        library().rados_aio_release(self.handle)
        return self._pool.checked(done, self._act)


def _came_to(asked: Iterable[tuple[str, _Completion]], *unless: int) -> dict[str, int]:
    """What each came to, without those that Ceph has refused with these errors; raises `Refused` for another one.

    It waits for all of them first: Ceph writes to where they are to be answered.
    """
    found, refused = {}, None
    for name, completion in asked:
        try:
            found[name] = completion.wait()
        except Refused as e:
            refused = refused if e.errno in unless else e
    if refused is not None:
        raise refused
    return found


class _Operation:
    """Changes of one object, of which all happen or none."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool = pool
        self._io = pool.io(namespace)
        self._handle = library().rados_create_write_op()

    def __enter__(self) -> _Operation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        library().rados_release_write_op(self._handle)

    def add(self, what: str, *arguments: Any) -> None:
        getattr(library(), f"rados_write_op_{what}")(self._handle, *arguments)

    def start(self, name: str, act: str) -> Pending:
        completion = _Completion(self._pool, act)
        place = (self._handle, self._io, completion.handle, name.encode(), None, _FULL_TRY)
        completion.begun(library().rados_aio_write_op_operate(*place))
        return completion


def check(pool: Pool) -> None:
    """It takes what this client writes, and gives it back; raises `Failure`."""
    space, name = Space(pool, "cumulet.check"), f"check.{os.getpid()}"
    space.put(name, b"written").wait()
    space.read(name, 0, 1)
    space.remove([name])


def _pointer(content: bytes | bytearray) -> Any:
    """librados copies what is there while an operation is put together."""
    return content if isinstance(content, bytes) else byref((c_char * len(content)).from_buffer(content))


def succeeded(asked: Pending, *, unless: int) -> bool:
    """Whether it is done; False where Ceph has refused it with this error. Raises `Refused` for another one."""
    try:
        asked.wait()
    except Refused as e:
        if e.errno != unless:
            raise
        return False
    return True
