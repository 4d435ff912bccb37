"""Small files that are whole whenever the process dies, and on request also when the host does."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE, of renameat2(2)."""


def write(path: Path, text: bytes, *, durable: bool, often: bool = False) -> None:
    """Have the file at `path` hold `text`: whoever reads it finds all of the old one or all of the new one.

    `durable`: after a power cut too. `often`: what it held stays beside it, to be written over the next time, as
    making and freeing files is what costs; `remove` takes both away. One writer of a path at a time, for whose user
    alone it is.
    """
    aside = _aside(path)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | (0 if often else os.O_TRUNC), 0o600)
    try:
        if not often:
            os.posix_fallocate(descriptor, 0, len(text))  # else ext4 flushes it when it is renamed over the old one
        os.write(descriptor, text)
        os.ftruncate(descriptor, len(text))
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not often or _LIBC.renameat2(_HERE, os.fsencode(aside), _HERE, os.fsencode(path), _EXCHANGE) != 0:
        aside.rename(path)  # it is the first, or the file system cannot exchange them


def read(path: Path) -> bytes:
    """What a file holds that is written often; raises FileNotFoundError.

    One that was opened, and written twice before it was read, is not what it was: it is read again.
    """
    while True:
        with path.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            text = file.read()
        after = path.stat()
        if (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns):
            return text


def remove(path: Path) -> None:
    """Have no such file, nor what was beside it."""
    path.unlink(missing_ok=True)
    _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_suffix(".aside")


def empty(directories: Iterable[Path], aside: Path) -> None:
    """Have nothing in these directories. What was in them goes in a thread of its own, from a directory in `aside`.

    `aside` is of the same file system. A thousand small files can take seconds to go: ext4 may need some milliseconds
    for each.
    """
    gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=aside))
    for number, directory in enumerate(directories):
        directory.rename(gone / str(number))
        directory.mkdir()
    threading.Thread(target=shutil.rmtree, args=(gone, True), name="gone", daemon=True).start()


def append_to(path: Path) -> int:
    """Open a file to append to; if it is not there, make it, for its user alone: its directory's where root makes it.

    So what root's command has begun, the cloud's unprivileged process can go on writing.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0 and os.fstat(descriptor).st_size == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def make_directory(path: Path) -> None:
    """Make a directory, and those above it, for its user alone, who is that of the one above if root makes it."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync_directory(directory: Path) -> None:
    """What was made, renamed or removed in the directory stays so after a power cut too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
