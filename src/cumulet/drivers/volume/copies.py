"""Volumes that are copied: here from other hosts, or encrypted from what is not; by qemu-img in the background.

What is copied is aside until it is whole.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any, NamedTuple

from cumulet.drivers.volume import encrypted, qcow2
from cumulet.drivers.volume.filling import Source, virtual_size
from cumulet.lib import files
from cumulet.lib.errors import Failure
from cumulet.lib.works import Work, Works


class Target(NamedTuple):
    """The file that is to be, `aside` until it is whole; with a key it is encrypted, and of at least `size` bytes."""

    file: Path
    aside: Path
    key: str = ""
    size: int = 0


class Copies:
    """Those that are under way in this process."""

    def __init__(self) -> None:
        self._works: Works[_Copy] = Works()

    def go_on(self, id: str, source: Source, target: Target) -> None:
        """Have the source copied to a file, for what has this id.

        Raises, once, what has ended it early, and begins anew the next time.
        """
        self._works.go_on(id, lambda: _Copy(id, source, target))

    def give_up(self, id: str) -> None:
        """Copy it no more."""
        copy = self._works.forget(id)
        if copy is not None:
            copy.end()


class _Copy(Work):
    def __init__(self, id: str, source: Source, target: Target) -> None:
        super().__init__(f"copy {id}")
        self._id, self._source = id, source
        self._file, self._aside, self._key, self._size = target
        self._process: subprocess.Popen[str] | None = None
        self._given_up = threading.Event()

    def run(self) -> None:
        try:
            self._copy()
        except (OSError, Failure) as e:
            self.error = e if isinstance(e, Failure) else Failure(f"copying {self._id}: {e}")

    def end(self) -> None:
        self._given_up.set()
        if self._process is not None:
            self._process.kill()
        self.join()

    def _copy(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._key:
            qcow2.write(self._aside, max(self._size, virtual_size(self._source)), key=self._key)
            self._fill(encrypted.name(self._aside), "-n", "--target-is-zero")
        else:
            self._aside.unlink(missing_ok=True)
            self._aside.touch(mode=0o600)
            self._fill(str(self._aside))
        with self._aside.open("rb") as copied:
            os.fsync(copied.fileno())
        if not self._given_up.is_set():
            self._aside.replace(self._file)
            files.sync_directory(self._file.parent)

    def _fill(self, target: str, *how: str) -> None:
        # it ends with this process: two of them would write to one file
        words = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-img", "convert"]
        words += [*self._source.words, "-f", self._source.format]
        with encrypted.told(self._key) as told:
            command = [*words, "-O", "qcow2", *how, *told.words, self._source.where, target]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            with subprocess.Popen(command, pass_fds=told.descriptors, **pipes) as self._process:
                if self._given_up.is_set():
                    self._process.kill()
                said, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise Failure(f"copying {self._id} from {self._source.where}: {said.strip() or 'qemu-img was ended'}")
