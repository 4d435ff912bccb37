"""Images whose bytes are objects, or on another host: fetched in threads, so that no order waits for them.

`ensure` begins, or goes on after a break, or says what has become of it; `progress` tells how far it is. What has been
fetched is kept aside, in a folder named by the image file's id, until the image is in the store.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cumulet.drivers.image.bundle import decrypt, untar
from cumulet.drivers.image.converting import prepared
from cumulet.drivers.image.copying import copy
from cumulet.drivers.image.http import fetch
from cumulet.drivers.image.inspect import Limits
from cumulet.drivers.specs import ImageFileSpec, ObjectsSpec
from cumulet.lib.errors import CumuletError, Failure, Impossible
from cumulet.lib.image_link import ImageLink
from cumulet.lib.log import Log
from cumulet.lib.works import Work, Works

log = Log("fetching")
END_SECONDS = 5.0
TakeIn = Callable[[ImageFileSpec, Path], None]
"""Takes in a file of this machine's as the image file of the spec."""


class _Cancelled(Exception):
    """It is not wanted any more."""


class _Work(Work):
    """One image file on its way."""

    def __init__(self, spec: ImageFileSpec, folder: Path, limits: Limits, take_in: TakeIn) -> None:
        super().__init__(f"fetch {spec.id}")
        self.spec = spec
        self.cancelled = threading.Event()
        self._folder = folder
        self._limits = limits
        self._take_in = take_in
        self._stage, self._done, self._of = "pending", 0, 0

    def progress(self) -> dict[str, Any]:
        """The stage, and how much of it is done, in percent."""
        return {"stage": self._stage, "percent": min(100, 100 * self._done // self._of) if self._of else 0}

    def run(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._fetched() if self.spec.link is None else self._copied(self.spec.link)
            self._begin("uploading", 0)
            self._take_in(self.spec, file)
            shutil.rmtree(self._folder, ignore_errors=True)
        except _Cancelled:
            pass
        except Impossible as e:
            shutil.rmtree(self._folder, ignore_errors=True)
            # what another host has given can only have been spoilt on its way
            self.error = e if self.spec.link is None else Failure(f"copying the image {self.spec.id}: {e.message}")
        except CumuletError as e:
            self.error = e
        except OSError as e:
            self.error = Failure(f"{self._stage} the image {self.spec.id}: {e.strerror or e}")
        except Exception as e:  # noqa: BLE001 - an agent outlives any order
            log.exception("fetching failed", id=self.spec.id)
            self.error = Failure(f"{self._stage} the image {self.spec.id}: {type(e).__name__}: {e}")

    def _copied(self, link: ImageLink) -> Path:
        self._begin("copying", sum(link.files.values()))
        return copy(link, self.spec.id, self._folder, self._note)

    def _fetched(self) -> Path:
        objects = self.spec.objects
        assert objects is not None
        files = self._download(objects)
        if not objects.key:
            self._begin("converting", 0)
            file, format = prepared(files[0], self.spec.format, self._limits, self._note)
            self.spec = msgspec.structs.replace(self.spec, format=format)
            return file
        tarball, image = self._folder / "tarball", self._folder / "image"
        self._begin("decrypting", sum(file.stat().st_size for file in files))
        decrypt(files, tarball, objects.key, objects.iv, self._note)
        self._begin("untarring", objects.size)
        untar(tarball, image, objects.sha1, self._limits.virtual_size, self._note)
        return image

    def _download(self, objects: ObjectsSpec) -> list[Path]:
        files = [self._folder / f"object-{number}" for number in range(len(objects.parts))]
        self._begin("downloading", sum(part.size for part in objects.parts))
        for part, file in zip(objects.parts, files, strict=True):
            if file.exists():
                self._note(file.stat().st_size)
            else:
                fetch(part, file, self._limits.virtual_size, self._note)
        return files

    def _begin(self, stage: str, of: int) -> None:
        self._stage, self._done, self._of = stage, 0, of

    def _note(self, count: int) -> None:
        if self.cancelled.is_set():
            raise _Cancelled
        self._done += count


class Fetching:
    """Image files on their way into `directory`; `take_over` moves what another host has given, `take_in` copies."""

    def __init__(self, directory: Path, limits: Limits, take_in: TakeIn, take_over: TakeIn) -> None:
        self._directory = directory
        self._limits = limits
        self._take_in, self._take_over = take_in, take_over
        self._works: Works[_Work] = Works()

    def ensure(self, spec: ImageFileSpec) -> None:
        """Have it fetched; raises, once, what has ended it early, and begins anew the next time."""
        take_in = self._take_in if spec.link is None else self._take_over
        self._works.go_on(spec.id, lambda: _Work(spec, self._folder(spec.id), self._limits, take_in))

    def end(self, id: str) -> None:
        """Nothing of it is on its way, nor left aside; raises `Failure` where that takes longer."""
        work = self._works.get(id)
        if work is not None:
            work.cancelled.set()
            work.join(END_SECONDS)
            if work.is_alive():
                raise Failure(f"the image file {id} is still being taken in; it is removed when that has ended")
            self._works.forget(id)
        shutil.rmtree(self._folder(id), ignore_errors=True)

    def progress(self, id: str) -> dict[str, Any]:
        """`stage` and `percent` of what is on its way; nothing where nothing is."""
        work = self._works.get(id)
        if work is not None and work.is_alive():
            return work.progress()
        if work is not None and work.error is None:
            self._works.forget(id)
        return {}

    def _folder(self, id: str) -> Path:
        return self._directory / f".{id}.fetched"
