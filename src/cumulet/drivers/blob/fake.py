"""Blobs in memory, with a limit: for tests of what happens when a store is full or has lost something."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cumulet.lib.blobs import BlobReader, BlobSeen, BlobWriter, Health, Missing, NoSpace, measured


class FakeBlobs:
    """`room`: how many bytes fit; `blobs`: what is there, which a test may spoil."""

    linger = 0.0

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.blobs: dict[str, bytearray] = {}
        self._modified: dict[str, float] = {}

    def create(self, id: str) -> BlobWriter:
        self.blobs[id] = bytearray()
        self._modified[id] = time.time()
        return _Writer(self, id)

    def open(self, id: str) -> BlobReader:
        if id not in self.blobs:
            raise Missing(id)
        return _Reader(self.blobs[id])

    def remove(self, *ids: str) -> None:
        for id in ids:
            self.blobs.pop(id, None)

    def observe(self) -> Iterator[BlobSeen]:
        yield from [BlobSeen(id, self._modified[id]) for id in list(self.blobs)]

    def check(self, id: str, size: int, crc: int) -> Health:
        if id in self.blobs and measured(_Reader(self.blobs[id])) == (size, crc):
            return "good"
        self.blobs.pop(id, None)
        return "lost"


class _Writer:
    def __init__(self, store: FakeBlobs, id: str) -> None:
        self._store = store
        self._id = id
        self._done = False

    def write(self, piece: bytes) -> None:
        if sum(map(len, self._store.blobs.values())) + len(piece) > self._store.room:
            self.abort()
            raise NoSpace(self._id)
        self._store.blobs[self._id] += piece

    def commit(self) -> None:
        self._done = True

    def abort(self) -> None:
        if not self._done:
            self._store.remove(self._id)


class _Reader:
    def __init__(self, found: bytearray) -> None:
        self._found = found

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._found[offset : offset + length])

    def file(self) -> int | None:
        return None

    def close(self) -> None:
        pass
