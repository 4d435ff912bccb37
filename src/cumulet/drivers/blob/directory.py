"""Blobs as files: in one directory, or N copies of each in distinct ones, of which one may be lost.

DIRECTORY/ab/abcdef…        a blob; its first two letters name the directory below
DIRECTORY/quarantine/…      what was not as it should be
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from cumulet.lib import crash
from cumulet.lib.blobs import BlobReader, BlobSeen, BlobWriter, Health, Missing, NoSpace, measured, pieces_of
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.threads import aside

log = Log("blobs")
QUARANTINE = "quarantine"
SMALL = 256 << 10
"""What is read up to this size is tried without waiting for the disk first."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DirectoryBlobs:
    """`copies` of each blob, in as many of the directories; which ones follows from its id."""

    linger = 0.0

    def __init__(self, directories: Sequence[Path], *, copies: int = 1, durable: bool = True) -> None:
        if not 1 <= copies <= len(directories):
            raise Failure(f"{copies} copies of each object need as many directories, and there are {len(directories)}")
        self._directories = list(directories)
        self._copies = copies
        self._durable = durable
        self._made: set[Path] = set()
        self._lock = threading.Lock()
        for directory in self._directories:
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)

    def create(self, id: str) -> BlobWriter:
        return _Writer(self, [self._path(directory, id) for directory in self._places(id)[: self._copies]])

    def open(self, id: str) -> BlobReader:
        """Also where a disk is away: any directory may have it."""
        for directory in self._places(id):
            try:
                return _Reader(os.open(self._path(directory, id), os.O_RDONLY))
            except FileNotFoundError:
                continue
            except OSError as e:
                log.error("a blob cannot be opened", blob=id, directory=directory, error=e)
        raise Missing(id)

    def remove(self, *ids: str) -> None:
        for id in ids:
            crash.point("blob.remove.before")
            for directory in self._directories:
                self._path(directory, id).unlink(missing_ok=True)
            crash.point("blob.remove.after")

    def observe(self) -> Iterator[BlobSeen]:
        seen: set[str] = set()
        for directory in self._directories:
            for below in _directories_in(directory):
                for entry in os.scandir(below):
                    if entry.name not in seen:
                        seen.add(entry.name)
                        with contextlib.suppress(FileNotFoundError):
                            yield BlobSeen(entry.name, entry.stat().st_mtime)

    def check(self, id: str, size: int, crc: int) -> Health:
        wanted = self._places(id)[: self._copies]
        good = [directory for directory in self._places(id) if self._is_good(directory, id, size, crc)]
        if not good:
            return "lost"
        lacking = [directory for directory in wanted if directory not in good]
        for directory in lacking:
            self._copy(id, good[0], directory)
        return "repaired" if lacking else "good"

    def _is_good(self, directory: Path, id: str, size: int, crc: int) -> bool:
        path = self._path(directory, id)
        try:
            with contextlib.closing(_Reader(os.open(path, os.O_RDONLY))) as reader:
                found = measured(reader)
        except FileNotFoundError:
            return False
        except OSError as e:
            log.error("a copy of a blob cannot be read", blob=id, directory=directory, error=e)
            found = (-1, -1)
        if found == (size, crc):
            return True
        log.error("a copy of a blob is not as it was written", blob=id, directory=directory)
        aside = directory / QUARANTINE
        aside.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process has found the same
            path.rename(aside / id)
        return False

    def _copy(self, id: str, source: Path, target: Path) -> None:
        try:
            writer = _Writer(self, [self._path(target, id)])
        except FileExistsError:  # another process is at it
            return
        try:
            with contextlib.closing(_Reader(os.open(self._path(source, id), os.O_RDONLY))) as reader:
                for piece in pieces_of(reader):
                    writer.write(piece)
            writer.commit()
        finally:
            writer.abort()
        log.info("a copy of a blob was made anew", blob=id, directory=target)

    def _places(self, id: str) -> list[Path]:
        """The directories in the blob's own order (rendezvous hashing)."""
        if len(self._directories) == 1:
            return self._directories
        return sorted(self._directories, key=lambda one: sha256(f"{one}/{id}".encode()).digest())

    @staticmethod
    def _path(directory: Path, id: str) -> Path:
        return directory.joinpath(id[:2], id)

    def prepare(self, below: Path) -> None:
        """The directory of a file is there, through a power cut too."""
        if below in self._made:
            return
        with self._lock:
            below.mkdir(exist_ok=True, mode=0o750)
            if self._durable:
                sync(below.parent)
            self._made.add(below)

    @property
    def durable(self) -> bool:
        return self._durable


class _Writer:
    """One blob that is being written, all its copies at once. Raises `FileExistsError` where one is there already."""

    def __init__(self, store: DirectoryBlobs, paths: list[Path]) -> None:
        self._store = store
        self._paths: list[Path] = []
        self._open: list[int] = []
        try:
            for path in paths:
                store.prepare(path.parent)
                self._open.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                self._paths.append(path)
        except FileExistsError:
            self.abort()
            raise
        except OSError as e:
            self._fail(e)
        crash.point("blob.create.after")

    def write(self, piece: bytes) -> None:
        try:
            for file in self._open:
                view = memoryview(piece)
                while view:
                    view = view[os.write(file, view) :]
        except OSError as e:
            self._fail(e)

    def commit(self) -> None:
        crash.point("blob.commit.before")
        try:
            if self._store.durable:
                with aside():
                    self._flush()
        except OSError as e:
            self._fail(e)
        self._close()
        self._paths = []
        crash.point("blob.commit.after")

    def _flush(self) -> None:
        for file in self._open:
            os.fsync(file)
        for path in self._paths:
            sync(path.parent)

    def abort(self) -> None:
        self._close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths = []

    def _fail(self, error: OSError) -> NoReturn:
        where = error.filename or self._paths[0]
        self.abort()
        if error.errno in _FULL:
            raise NoSpace(str(where)) from error
        raise Failure(f"writing {where}") from error

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())


class _Reader:
    def __init__(self, file: int) -> None:
        self._file = file

    def read(self, offset: int, length: int) -> bytes:
        if length <= SMALL:
            with contextlib.suppress(OSError):  # the disk has to be asked, or the file system does not know of it
                buffer = bytearray(length)
                if os.preadv(self._file, [buffer], offset, os.RWF_NOWAIT) == length:
                    return bytes(buffer)
        with aside():
            return os.pread(self._file, length, offset)

    def file(self) -> int | None:
        return self._file

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def sync(directory: Path) -> None:
    """What is in the directory is there after a power cut."""
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _directories_in(directory: Path) -> Iterator[Path]:
    try:
        names = [entry.name for entry in os.scandir(directory)]
    except OSError as e:
        log.error("a directory of blobs cannot be read", directory=directory, error=e)
        return
    yield from (directory / name for name in sorted(names) if len(name) == 2)
