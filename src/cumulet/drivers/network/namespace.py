"""Network namespaces by name, as `ip netns` has them, and doing something inside one."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from cumulet.lib.command import run
from cumulet.lib.errors import Failure

T = TypeVar("T")

DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_NSFS = 0x6E736673
_libc = ctypes.CDLL(None, use_errno=True)


class _Statfs(ctypes.Structure):
    _fields_ = [("type", ctypes.c_long), ("rest", ctypes.c_byte * 256)]


def names(prefix: str) -> list[str]:
    """The namespaces whose name begins like this; a name that a crash left without a namespace is not one."""
    if not DIRECTORY.is_dir():
        return []
    return sorted(entry.name for entry in DIRECTORY.iterdir() if entry.name.startswith(prefix) and exists(entry.name))


def exists(name: str) -> bool:
    """Whether there is a namespace of this name."""
    found = _Statfs()
    return _libc.statfs(os.fsencode(DIRECTORY / name), ctypes.byref(found)) == 0 and bool(found.type == _NSFS)


def make(name: str) -> None:
    """Make the namespace, if it is not there."""
    if exists(name):
        return
    (DIRECTORY / name).unlink(missing_ok=True)  # the rest of a crash: `ip netns add` makes the file and then mounts
    run(["ip", "netns", "add", name])


def delete(name: str) -> None:
    """Delete the namespace, or what a crash left of it."""
    if exists(name):
        run(["ip", "netns", "delete", name])
    (DIRECTORY / name).unlink(missing_ok=True)


def sweep(prefix: str) -> None:
    """Delete the names that a crash left without a namespace; not to be called while one is being made."""
    if DIRECTORY.is_dir():
        for entry in DIRECTORY.iterdir():
            if entry.name.startswith(prefix) and not exists(entry.name):
                entry.unlink(missing_ok=True)


@contextmanager
def opened(name: str) -> Iterator[int]:
    """An open file of the namespace, by which links are moved there."""
    try:
        file = os.open(DIRECTORY / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise Failure(f"opening the network namespace {name}") from e
    try:
        yield file
    finally:
        os.close(file)


def within(name: str, work: Callable[[], T]) -> T:
    """What `work` gives, called inside the namespace, in a thread of its own that ends with it.

    A thread that entered a namespace and could not get back would be worse than one that ends.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def inside() -> None:
        try:
            _enter(name)
            results.append(work())
        except BaseException as e:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(e)

    thread = threading.Thread(target=inside, name=f"in-{name}", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(name: str) -> None:
    with opened(name) as file:
        if _libc.setns(file, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            hint = "; that takes root" if code == errno.EPERM else ""
            raise Failure(f"entering the network namespace {name}: {os.strerror(code)}{hint}")


def sysctl(path: str, value: int) -> None:
    """Set `net.PATH` (with slashes) in the namespace of this thread, where it is not so already."""
    file = Path("/proc/sys/net") / path
    try:
        if file.read_text().strip() != str(value):
            file.write_text(str(value))
    except OSError as e:
        raise Failure(f"setting {file} to {value}") from e
