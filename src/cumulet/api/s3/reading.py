"""The body of an object on its way out: its blobs one after the other, decrypted, from any offset."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from cumulet.api.s3 import errors
from cumulet.api.s3.call import House
from cumulet.api.s3.encryption import open_blob
from cumulet.lib.blobs import BlobReader, Missing
from cumulet.lib.log import Log
from cumulet.lib.object_cipher import Stream as Cipher
from cumulet.model import Tx, upload
from cumulet.model.database import Row

log = Log("objects")
PIECE = 1 << 20
SENT = 4 << 20
"""Of a file at most so much goes to a socket at once."""


@dataclass(frozen=True)
class Segment:
    """A blob of an object's body."""

    blob: str
    size: int
    sealed: str
    number: int = 0


def segments_of(tx: Tx, row: Row) -> list[Segment]:
    """The blobs of a version's body, in order."""
    if row.upload:
        return [
            Segment(one.blob, one.size, one.facts.get("sealed", ""), one.number) for one in upload.parts(tx, row.upload)
        ]
    if not row.blob:
        return []
    return [Segment(row.blob, row.size, row.facts.get("sealed", ""))]


class BodyStream:
    """`length` bytes of the body from `start` on. The first blob is open from the beginning."""

    def __init__(self, house: House, segments: list[Segment], customer: bytes, start: int, length: int) -> None:
        self.length = length
        self._house = house
        self._customer = customer
        self._left = length
        self._waiting = list(segments)
        self._reader: BlobReader | None = None
        self._cipher: Cipher | None = None
        self._offset = 0
        self._in_segment = 0
        while self._waiting and start >= self._waiting[0].size:
            start -= self._waiting.pop(0).size
        if length:
            self._open(start)

    def read(self) -> bytes:
        if self._left <= 0:
            return b""
        if not self._in_segment:
            self._open(0)
        assert self._reader is not None
        piece = self._reader.read(self._offset, min(PIECE, self._left, self._in_segment))
        if not piece:
            raise Missing("a blob is shorter than it should be")
        self._count(len(piece))
        return self._cipher.update(piece) if self._cipher else piece

    @property
    def can_send(self) -> bool:
        """Whether there is `send_to` for it: its bytes rest in files as they are to be sent."""
        return self._cipher is None and self._reader is not None and self._reader.file() is not None

    def send_to(self, socket: int) -> int | None:
        """Send so many of the next bytes as the socket takes now; gives how many, 0 for none, None at the end."""
        if self._left <= 0:
            return None
        if not self._in_segment:
            self._open(0)
        assert self._reader is not None
        file = self._reader.file()
        assert file is not None
        try:
            sent = os.sendfile(socket, file, self._offset, min(SENT, self._left, self._in_segment))
        except BlockingIOError:
            return 0
        if not sent:
            raise Missing("a blob is shorter than it should be")
        self._count(sent)
        return sent

    def _count(self, taken: int) -> None:
        self._offset += taken
        self._in_segment -= taken
        self._left -= taken

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self, offset: int) -> None:
        self.close()
        segment = self._waiting.pop(0)
        try:
            self._reader = self._house.blobs.open(segment.blob)
        except Missing:
            log.error("an object's bytes are not there", blob=segment.blob)
            lost = "We encountered an internal error: the object's bytes cannot be read at the moment."
            raise errors.S3Refusal("InternalError", lost, 500) from None
        self._cipher = open_blob(self._house, segment.sealed, segment.blob, self._customer, offset)
        self._offset, self._in_segment = offset, segment.size - offset


def read_all(house: House, segments: list[Segment], customer: bytes, start: int, length: int) -> bytes:
    """The same in one piece, for what is small."""
    with contextlib.closing(BodyStream(house, segments, customer, start, length)) as stream:
        return b"".join(iter(stream.read, b""))
