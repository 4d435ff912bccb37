"""Small files that are whole whenever the process dies, and on request also when the host does."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, text: bytes, *, durable: bool) -> None:
    """Have the file at `path` hold `text`: whoever reads it finds all of the old one or all of the new one.

    `durable`: after a power cut too. One writer of a path at a time; only its user may read it.
    """
    aside = path.with_suffix(".aside")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, len(text))  # else ext4 flushes it when it is renamed over the old one
        os.write(descriptor, text)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.rename(path)


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
