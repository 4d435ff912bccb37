"""Volumes that are filled: by qemu-img in the background, under a name aside until all is there."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cumulet.drivers.volume import encrypted, locked
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
    def lock(self, name: str) -> None: ...
    def extend(self, name: str, size: int) -> None: ...
    def rename(self, name: str, to: str) -> object: ...
    def device(self, name: str) -> Path | str: ...
    def node(self, name: str) -> dict[str, Any]: ...
    def secret(self) -> str: ...


class Cipher(NamedTuple):
    """Whether a volume is encrypted: by a `key`, with which it is written, or as its source is, whose bytes it has."""

    key: str = ""
    as_source: bool = False


PLAIN = Cipher()


class Filling(Work):
    """Makes the volume `name` of at least `size` bytes, and of what is in `source`; `then` is called at the end.

    Until then it is there as `aside`. With a key it is larger by a header.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        size: int,
        source: Source,
        then: Callable[[], None],
        aside: str = "",
        cipher: Cipher = PLAIN,
    ) -> None:
        super().__init__(f"fill {name}")
        self._store, self._volume, self._size, self._source = store, name, size, source
        self._aside = aside or ASIDE + name
        self._then, self._cipher = then, cipher
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
        aside, there = self._aside, self._store.volumes()
        if self._volume in there:  # who ordered this had looked before the one before it was done
            self._then()
            return
        size, begun = max(self._size, virtual_size(self._source)), aside in there
        size += locked.LENGTH if self._cipher.key else 0
        if begun:
            self._store.extend(aside, size)
        else:
            self._store.create(aside, size)
        if self._cipher.key:
            locked.begin(self._store, aside, self._cipher.key)
        elif self._cipher.as_source:
            self._store.lock(aside)
        crash.point("volume.filling.made")
        self._convert(aside, is_empty=self._store.zeroed and not begun)
        if self._given_up.is_set():
            return
        self._store.rename(aside, self._volume)
        crash.point("volume.filling.there")
        self._then()

    def _convert(self, aside: str, *, is_empty: bool) -> None:
        # it ends with this process: two of them would write to one volume
        words = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-img", "convert", "-p", "-n"]
        words += [*self._source.words, "-f", self._source.format, "-T", "none", "-t", "none"]
        key = self._cipher.key
        with encrypted.told(key, self._store.secret() if key else "") as told:
            if key:
                words += [*told.words, "-O", "luks", self._source.where, locked.target(self._store, aside)]
            else:
                words += ["--target-is-zero"] if is_empty else []
                words += ["-O", "raw", self._source.where, str(self._store.device(aside))]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            with subprocess.Popen(words, pass_fds=told.descriptors, **pipes) as self._process:
                if self._given_up.is_set():
                    self._process.kill()
                said = self._listen(self._process)
        if self._process.returncode != 0 and not self._given_up.is_set():
            text = said or "qemu-img was ended"
            raise Failure(f"filling {self._volume} from {self._source.where}: {text}")

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
