"""Volumes that are filled: by qemu-img in the background, under a name aside until all is there."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Container
from pathlib import Path
from typing import NamedTuple, Protocol

from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import CumuletError, Failure
from cumulet.lib.works import Work

ASIDE = "new-"
_PERCENT = re.compile(r"\((\d+\.\d+)/100%\)")


class Source(NamedTuple):
    """What is copied: a file, a device or a URL, in this format; `words` are what qemu-img needs besides to open it."""

    where: str
    format: str = "raw"
    words: tuple[str, ...] = ()


class Store(Protocol):
    """Where volumes are that have names and can have others: a group of LVM, a pool of Ceph."""

    @property
    def zeroed(self) -> bool: ...
    def volumes(self) -> Container[str]: ...
    def create(self, name: str, size: int) -> None: ...
    def extend(self, name: str, size: int) -> None: ...
    def rename(self, name: str, to: str) -> object: ...
    def device(self, name: str) -> Path | str: ...


class Filling(Work):
    """Makes the volume `name` of at least `size` bytes, and of what is in `source`; `then` is called at the end.

    Until then it is there as `aside`.
    """

    def __init__(
        self, store: Store, name: str, size: int, source: Source, then: Callable[[], None], aside: str = ""
    ) -> None:
        super().__init__(f"fill {name}")
        self._store, self._volume, self._size, self._source = store, name, size, source
        self._aside = aside or ASIDE + name
        self._then = then
        self.percent = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._given_up = threading.Event()

    def run(self) -> None:
        try:
            self._fill()
        except (OSError, CumuletError) as e:
            self.error = e if isinstance(e, CumuletError) else Failure(f"filling {self._volume}: {e}")

    def end(self) -> None:
        """Fill it no more."""
        self._given_up.set()
        if self._process is not None:
            self._process.kill()
        self.join()

    def _fill(self) -> None:
        aside = self._aside
        size, begun = max(self._size, virtual_size(self._source)), aside in self._store.volumes()
        if begun:
            self._store.extend(aside, size)
        else:
            self._store.create(aside, size)
        crash.point("volume.filling.made")
        # it ends with this process: two of them would write to one volume
        words = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-img", "convert", "-p", "-n"]
        words += [*self._source.words, "-f", self._source.format, "-T", "none", "-O", "raw", "-t", "none"]
        words += ["--target-is-zero"] if self._store.zeroed and not begun else []
        command = [*words, self._source.where, str(self._store.device(aside))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as self._process:
            if self._given_up.is_set():
                self._process.kill()
            said = self._listen(self._process)
        if self._given_up.is_set():
            return
        if self._process.returncode != 0:
            text = said or "qemu-img was ended"
            raise Failure(f"filling {self._volume} from {self._source.where}: {text}")
        self._store.rename(aside, self._volume)
        crash.point("volume.filling.there")
        self._then()

    def _listen(self, process: subprocess.Popen[str]) -> str:
        """What it says to its end, but how far it is, which is known by `percent`."""
        said = []
        for line in process.stdout or ():  # what it begins a line anew with is a line's end here
            found = _PERCENT.search(line)
            if found is not None:
                self.percent = float(found[1])
            else:
                said.append(line)
        return "".join(said).strip()


def virtual_size(source: Source) -> int:
    """Bytes of the disk that is to be copied; raises `Failure`."""
    how = ["--force-share", "--output", "json", *source.words, "-f", source.format]
    words = ["qemu-img", "info", *how, source.where]
    return int(json.loads(run(words).stdout)["virtual-size"])
