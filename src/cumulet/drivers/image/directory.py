"""Image files in a directory: each in a folder of its own, inspected before it is there, with its facts as JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from cumulet.drivers.contract import Seen
from cumulet.drivers.image.exporting import Exporting
from cumulet.drivers.image.fetching import Fetching
from cumulet.drivers.image.giving import Giving
from cumulet.drivers.image.inspect import Limits, inspect_disk, inspect_initrd, inspect_kernel
from cumulet.drivers.places import image_files
from cumulet.drivers.specs import ExportSpec, ImageFileSpec, Spec
from cumulet.lib.errors import Failure, Impossible
from cumulet.lib.image_link import ImageLink

_CHUNK = 1024 * 1024
_ZEROES = memoryview(bytes(_CHUNK))
Bring = Callable[[Path, Path, Any], int]
"""Has a file be at another place, feeds a digest with it, and gives its length."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about an image file."""

    format: str
    """qcow2, raw, kernel, aki or ari."""
    virtual_size: int
    """Bytes of the disk that a guest sees; 0 of a kernel or an initrd."""
    size: int
    """Bytes of the files."""
    sha256: str
    """Of the disk, or of kernel and initrd one after the other."""
    boot: str
    """bios, uefi (a guess) or kernel."""
    architecture: str = "x86_64"


class DirectoryImages:
    """The driver of `ImageFileSpec`. What must not be used is `Impossible` with a code `Client.InvalidImage.…`."""

    def __init__(self, directory: Path, limits: Limits | None = None, giving: Giving | None = None) -> None:
        self.directory = directory
        self._giving = giving
        self.limits = limits or Limits()
        self._fetching = Fetching(directory, self.limits, self._take_in, self._take_over)
        self._exporting = Exporting(directory, self.limits)

    def ensure(self, spec: Spec) -> None:
        """Take `source` in: copied aside, inspected there, and then renamed. Does nothing where the image is in.

        What is elsewhere is fetched meanwhile: it is in once `look` says so.
        """
        if isinstance(spec, ExportSpec):
            self._exporting.ensure(spec)
            return
        assert isinstance(spec, ImageFileSpec)
        if self.look(spec.id):
            return
        if spec.objects is not None or spec.link is not None:
            self._fetching.ensure(spec)
        else:
            self._take_in(spec, Path(spec.source))

    def _take_over(self, spec: ImageFileSpec, source: Path) -> None:
        """The same with files below this directory that nobody else needs: they are moved."""
        self._take_in(spec, source, _move)

    def _take_in(self, spec: ImageFileSpec, source: Path, bring: Bring | None = None) -> None:
        aside = self._aside(spec.id)
        shutil.rmtree(aside, ignore_errors=True)
        try:
            with self._room(spec, source):
                aside.mkdir(parents=True)
                into = image_files(self.directory, aside.name)
                facts = self._taking(spec, source)(spec, source, into, bring or _copy)
                _check_same(spec, facts)
                (aside / "facts").write_bytes(msgspec.json.encode(facts))
                _sync(aside / "facts")
                shutil.rmtree(self.directory / spec.id, ignore_errors=True)  # one that has lost its files
                aside.rename(self.directory / spec.id)
                _sync(self.directory)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def remove(self, id: str) -> None:
        """Remove the image's folder. Guests that run from it go on; they cannot be started again."""
        self._fetching.end(id)
        self._exporting.end(id)
        for folder in (self._aside(id), self.directory / id):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)

    def observe(self) -> list[Seen]:
        """The images that are whole."""
        ids = (facts.parent.name for facts in sorted(self.directory.glob("[!.]*/facts")))
        return [seen for id in ids if (seen := self.look(id))]

    def look(self, id: str) -> Seen | None:
        """One image."""
        files = image_files(self.directory, id)
        return Seen(id=id) if files["facts"].exists() and _is_whole(files) else None

    def facts(self, id: str) -> dict[str, Any]:
        """What is known about an image, as the fields of `Facts`; raises `Failure` where it is not there."""
        try:
            known = msgspec.json.decode(image_files(self.directory, id)["facts"].read_bytes(), type=Facts)
        except FileNotFoundError as e:
            raise Failure(f"image file {id} is not in {self.directory}") from e
        return msgspec.structs.asdict(known)

    def link(self, id: str) -> ImageLink:
        """By which another host gets it; raises `Failure`."""
        if self._giving is None or self.look(id) is None:
            raise Failure(f"image file {id} is not in {self.directory}")
        return self._giving.link(id)

    def progress(self, id: str) -> dict[str, Any]:
        """How far an image is whose objects are fetched: `stage` and `percent`, or nothing where none are."""
        return self._fetching.progress(id)

    def room(self) -> dict[str, int]:
        """Of the file system that the images are in: `size`, and `free` for whoever is not root, in bytes."""
        self.directory.mkdir(parents=True, exist_ok=True)
        found = shutil.disk_usage(self.directory)
        return {"size": found.total, "free": found.free}

    def _aside(self, id: str) -> Path:
        return self.directory / f".{id}.new"

    def _taking(
        self, spec: ImageFileSpec, source: Path
    ) -> Callable[[ImageFileSpec, Path, dict[str, Path], Bring], Facts]:
        if spec.format in ("aki", "ari"):
            return self._take_part
        return self._take_kernel if spec.format == "kernel" or source.is_dir() else self._take_disk

    def _take_disk(self, spec: ImageFileSpec, source: Path, into: dict[str, Path], bring: Bring) -> Facts:
        digest = hashlib.sha256()
        size = bring(source, into["disk"], digest)
        found = inspect_disk(into["disk"], spec.format, self.limits)
        return Facts(
            format=found.format,
            virtual_size=found.virtual_size,
            size=size,
            sha256=digest.hexdigest(),
            boot=found.boot,
        )

    def _take_kernel(self, spec: ImageFileSpec, source: Path, into: dict[str, Path], bring: Bring) -> Facts:
        if spec.format not in ("kernel", None) or not source.is_dir():
            raise Impossible("Client.InvalidImage.Format", "only a directory with kernel and initrd has format kernel")
        digest = hashlib.sha256()
        size = sum(bring(source / name, into[name], digest) for name in ("kernel", "initrd"))
        inspect_kernel(into["kernel"])
        inspect_initrd(into["initrd"])
        return Facts(format="kernel", virtual_size=0, size=size, sha256=digest.hexdigest(), boot="kernel")

    def _take_part(self, spec: ImageFileSpec, source: Path, into: dict[str, Path], bring: Bring) -> Facts:
        """A kernel or an initrd by itself."""
        digest = hashlib.sha256()
        name, inspect = ("kernel", inspect_kernel) if spec.format == "aki" else ("initrd", inspect_initrd)
        size = bring(source, into[name], digest)
        inspect(into[name])
        kind = spec.format or ""
        return Facts(format=kind, virtual_size=0, size=size, sha256=digest.hexdigest(), boot="kernel")

    @contextlib.contextmanager
    def _room(self, spec: ImageFileSpec, source: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as e:
            raise Failure(f"taking in image {spec.id}: {e.filename} is missing") from e
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise Failure(f"taking in image {spec.id} from {spec.source}: {e.strerror}") from e
            shutil.rmtree(self._aside(spec.id), ignore_errors=True)
            free, needed = shutil.disk_usage(self.directory).free, _size(source)
            text = f"the disk is full: it needs up to {needed} bytes, {free} are free"
            raise Failure(f"taking in image {spec.id} to {self.directory}: {text}") from e


def _is_whole(files: dict[str, Path]) -> bool:
    if files["disk"].exists():
        return True
    there = {name for name in ("kernel", "initrd") if files[name].exists()}
    format = msgspec.json.decode(files["facts"].read_bytes(), type=Facts).format
    return {"aki": {"kernel"}, "ari": {"initrd"}}.get(format, {"kernel", "initrd"}) <= there


def _check_same(spec: ImageFileSpec, facts: Facts) -> None:
    if spec.sha256 not in (None, facts.sha256):
        text = f"{spec.source} is not what was taken in before: its sha256 is {facts.sha256}, it was {spec.sha256}"
        raise Impossible("Client.InvalidImage.Changed", text)


def _copy(source: Path, target: Path, digest: Any) -> int:
    """Copy a file with holes where it has zeroes, feed `digest`, and give its length."""
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            if chunk == _ZEROES[: len(chunk)]:
                writing.seek(len(chunk), os.SEEK_CUR)
            else:
                writing.write(chunk)
        length = writing.tell()
        writing.truncate(length)
        writing.flush()
        os.fsync(writing.fileno())
    return length


def _move(source: Path, target: Path, digest: Any) -> int:
    with source.open("r+b") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        os.fsync(file.fileno())
        length = file.tell()
    source.rename(target)
    return length


def _size(source: Path) -> int:
    files = [source] if source.is_file() else [file for file in source.glob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
