"""A directory of volumes that several hosts may have mounted: who may change its layers now, and which one it is."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path

from cumulet.lib import files, ids
from cumulet.lib.errors import Failure

_MARK = ".store"


class DirectoryLock:
    """Held by one thread at a time, of whatever host where several share it; whoever holds it may take it again."""

    def __init__(self, directory: Path) -> None:
        self._mark = directory / _MARK
        self._mine = threading.RLock()
        self._depth = 0
        self._file: int | None = None

    def __enter__(self) -> None:
        self._mine.acquire()
        try:
            if self._depth == 0:
                self._file = _locked(self._mark)
        except BaseException:
            self._mine.release()
            raise
        self._depth += 1

    def __exit__(self, *raised: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._file is not None:
            os.close(self._file)  # which unlocks it
        self._mine.release()


def is_shared(directory: Path) -> bool:
    """Whether it is one that hosts share, or may."""
    return (directory / _MARK).exists()


def _locked(mark: Path) -> int | None:
    """The file, open and locked for other processes on all hosts (fcntl(2)); None in a directory of one host's own."""
    try:
        file = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError as e:
        os.close(file)
        raise Failure(f"locking {mark}: {e.strerror}") from e
    return file


def identity(directory: Path, remembered: Path) -> str:
    """The name by which hosts know that they have mounted the same directory; the first one to ask gives it.

    This host keeps it in the file `remembered`. Raises `Failure` where another one is mounted than before, or none.
    """
    mark = directory / _MARK
    known = remembered.read_text() if remembered.exists() else ""
    if not known:
        _mark(mark)
    found = mark.read_text() if mark.exists() else ""
    if known and found != known:
        raise Failure(
            f"the setting volume_dir is {directory}, which is not the directory that this host had before: mount "
            f"that one, or remove {remembered} if it is to have another"
        )
    if not known:
        files.write(remembered, found.encode(), durable=True)
    return found


def _mark(mark: Path) -> None:
    """Whole or not there, and the first one's, however many hosts do so at once."""
    if mark.exists():
        return
    name = ids.token(16)
    aside = mark.with_name(f"{_MARK}.{name}")
    try:
        aside.write_text(name)
        with suppress(FileExistsError):
            os.link(aside, mark)
    except OSError as e:
        raise Failure(f"the setting volume_dir is {mark.parent}, which this host cannot write to: {e.strerror}") from e
    finally:
        aside.unlink(missing_ok=True)
