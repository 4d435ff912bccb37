"""One flush for all who have committed: SQLite has written each to its log, and they wait for the disk together.

A commit that is flushed by itself holds the one writer's lock for as long as the disk takes, so that there are never
more commits than flushes. Here it is written without, and the flush, which covers all that was written before it
began, comes after the lock has gone. Nobody is told that he has committed before that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Condition

from cumulet.lib.errors import Unsure
from cumulet.lib.threads import aside


class Flushes:
    """Of one file; `act` flushes it."""

    def __init__(self, file: str, act: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._act = act or flush
        self._changed = Condition()
        self._begun = 0
        self._ended = 0
        self._busy = False
        self._failed: dict[int, OSError] = {}

    def wait(self) -> None:
        """Return when all that has been written to the file is on the disk; raises `Unsure` where that failed."""
        with aside(), self._changed:
            mine = self._begun + 1  # one that is under way may have begun before this was written
            while self._ended < mine:
                if self._busy:
                    self._changed.wait()
                else:
                    self._flush()
            failed = self._failed.get(mine)
        if failed is not None:
            raise Unsure(f"flushing {self._file}: {failed.strerror}") from failed

    def _flush(self) -> None:
        """The lock is let go of meanwhile."""
        self._busy = True
        self._begun = number = self._begun + 1
        self._changed.release()
        error: OSError | None = None
        try:
            self._act(self._file)
        except OSError as e:
            error = e
        finally:
            self._changed.acquire()
        if error is not None:
            self._failed[number] = error
        self._busy = False
        self._ended = number
        self._changed.notify_all()


def flush(file: str) -> None:
    """What is in a file is on the disk; one that is not there has been written into another, which was flushed."""
    with suppress(FileNotFoundError):
        opened = os.open(file, os.O_RDONLY)
        try:
            os.fdatasync(opened)
        finally:
            os.close(opened)
