"""Volumes that are copied here from other hosts: by qemu-img in the background, into a file aside."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from cumulet.drivers.specs import VolumeSpec, move_export
from cumulet.lib import files
from cumulet.lib.errors import Failure
from cumulet.lib.works import Work, Works


class Copies:
    """Those that are under way in this process; `port` is where other hosts export theirs."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._works: Works[_Copy] = Works()

    def go_on(self, spec: VolumeSpec, file: Path, aside: Path) -> None:
        """Have it copied, `aside` until it is whole.

        Raises, once, what has ended it early, and begins anew the next time.
        """
        self._works.go_on(spec.id, lambda: _Copy(spec, file, aside, self._port))

    def give_up(self, id: str) -> None:
        """Copy it no more."""
        copy = self._works.forget(id)
        if copy is not None:
            copy.end()


class _Copy(Work):
    def __init__(self, spec: VolumeSpec, file: Path, aside: Path, port: int) -> None:
        super().__init__(f"copy {spec.id}")
        self._id, self._file, self._aside = spec.id, file, aside
        self._source = f"nbd://{spec.source}:{port}/{move_export(spec.id)}"
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
        self._aside.unlink(missing_ok=True)
        self._aside.touch(mode=0o600)
        # it ends with this process: two of them would write to one file
        words = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
        command = [*words, self._source, str(self._aside)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as self._process:
            if self._given_up.is_set():
                self._process.kill()
            said, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise Failure(f"copying {self._id} from {self._source}: {said.strip() or 'qemu-img was ended'}")
        with self._aside.open("rb") as copied:
            os.fsync(copied.fileno())
        if not self._given_up.is_set():
            self._aside.replace(self._file)
            files.sync_directory(self._file.parent)
