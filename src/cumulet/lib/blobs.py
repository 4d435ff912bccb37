"""What a store of blobs promises: bytes under an id, written once, whole or not there.

A blob is written aside; after `commit` it is there after a power cut too; without it, it is what `observe` shows and no
table knows, and is swept. Ids are made by the caller: letters and digits, at least four.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from awscrt.checksums import crc64nvme

PIECE = 1 << 20


class NoSpace(Exception):
    """The store is full; nothing of the blob is there."""


class Missing(Exception):
    """The blob cannot be read: no copy of it is there."""


class BlobWriter(Protocol):
    def write(self, piece: bytes) -> None:
        """Append; raises `NoSpace`."""

    def commit(self) -> None:
        """All of it is there from now on, through a power cut too. Raises `NoSpace`."""

    def abort(self) -> None:
        """Nothing of it is there any more; does nothing after `commit`."""


class BlobReader(Protocol):
    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from there, fewer only at the end. The bytes are there until `close`, removed or not, but where
        the store has `linger`: then it raises `Missing` when they are removed."""

    def file(self) -> int | None:
        """A descriptor of a file that has the same bytes at the same places; None where there is no file."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BlobSeen:
    """A blob that is there."""

    id: str
    modified: float


Health = Literal["good", "repaired", "lost"]


class Blobs(Protocol):
    linger: float
    """Seconds that a blob is to be left there when nothing names it any more, for those who read it."""

    def create(self, id: str) -> BlobWriter: ...

    def open(self, id: str) -> BlobReader:
        """Raises `Missing`."""

    def remove(self, *ids: str) -> None:
        """Make these blobs not be. Removing what is not there succeeds."""

    def observe(self) -> Iterator[BlobSeen]:
        """All the blobs that are there, being written or not."""

    def check(self, id: str, size: int, crc: int) -> Health:
        """Compare every copy with what should be there (`crc`: CRC-64/NVME); bad ones are put into quarantine and made
        anew from a good one. `lost`: there is no good one."""


def pieces_of(reader: BlobReader) -> Iterator[bytes]:
    """All of its bytes, a MiB at a time."""
    offset = 0
    while piece := reader.read(offset, PIECE):
        yield piece
        offset += len(piece)


def measured(reader: BlobReader) -> tuple[int, int]:
    """How many bytes it has, and their CRC-64/NVME."""
    size = crc = 0
    for piece in pieces_of(reader):
        size, crc = size + len(piece), crc64nvme(piece, crc)
    return size, crc
