"""The checksums of S3's objects: of a whole object, of its parts, and of all from those of its parts.

Source: "Checking object integrity in Amazon S3" of the Amazon S3 User Guide.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crt


class Hasher(Protocol):
    def update(self, piece: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class Crc:
    """A cyclic redundancy check, as a hash."""

    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self.value = 0
        self._function = function
        self._size = size

    def update(self, piece: bytes) -> None:
        self.value = self._function(piece, self.value)

    def digest(self) -> bytes:
        return self.value.to_bytes(self._size, "big")


class _XxHash:
    def __init__(self, hasher: crt.XXHash) -> None:
        self._hasher = hasher

    def update(self, piece: bytes) -> None:
        self._hasher.update(piece)

    def digest(self) -> bytes:
        return bytes(self._hasher.finalize())


@dataclass(frozen=True)
class Algorithm:
    """One of S3's algorithms; `combine` joins the values of two neighbours, given the length of the second."""

    name: str
    size: int
    make: Callable[[], Hasher]
    combine: Callable[[int, int, int], int] | None = None

    @property
    def header(self) -> str:
        return f"x-amz-checksum-{self.name.lower()}"

    @property
    def member(self) -> str:
        return f"Checksum{self.name}"

    @property
    def types(self) -> tuple[str, ...]:
        """Which types an upload in parts may have, the default first."""
        if self.name == "CRC64NVME":
            return ("FULL_OBJECT",)
        return ("COMPOSITE", "FULL_OBJECT") if self.combine else ("COMPOSITE",)


_ALL = [
    Algorithm("CRC32", 4, lambda: Crc(crt.crc32, 4), crt.combine_crc32),
    Algorithm("CRC32C", 4, lambda: Crc(crt.crc32c, 4), crt.combine_crc32c),
    Algorithm("CRC64NVME", 8, lambda: Crc(crt.crc64nvme, 8), crt.combine_crc64nvme),
    Algorithm("SHA1", 20, hashlib.sha1),
    Algorithm("SHA256", 32, hashlib.sha256),
    Algorithm("SHA512", 64, hashlib.sha512),
    Algorithm("MD5", 16, hashlib.md5),
    Algorithm("XXHASH64", 8, lambda: _XxHash(crt.XXHash.new_xxhash64())),
    Algorithm("XXHASH3", 8, lambda: _XxHash(crt.XXHash.new_xxhash3_64())),
    Algorithm("XXHASH128", 16, lambda: _XxHash(crt.XXHash.new_xxhash3_128())),
]
ALGORITHMS = {one.name: one for one in _ALL}
BY_HEADER = {one.header: one for one in _ALL}
DEFAULT = ALGORITHMS["CRC64NVME"]
"""Of objects whose client gives none."""


def encode(digest: bytes) -> str:
    """As a header has it."""
    return base64.b64encode(digest).decode()


def decode(algorithm: Algorithm, text: str) -> bytes:
    """What `encode` gave; raises `ValueError` for anything that is no value of this algorithm."""
    found = base64.b64decode(text, validate=True)
    if len(found) != algorithm.size:
        raise ValueError(f"a {algorithm.name} has {algorithm.size} bytes")
    return found


def composite(algorithm: Algorithm, parts: Iterable[bytes]) -> str:
    """The checksum of the parts' checksums, with their number behind it."""
    hasher, count = algorithm.make(), 0
    for part in parts:
        hasher.update(part)
        count += 1
    return f"{encode(hasher.digest())}-{count}"


def joined(algorithm: Algorithm, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The checksum of the whole, from each part's checksum and length."""
    assert algorithm.combine is not None
    value = 0
    for digest, length in parts:
        value = algorithm.combine(value, int.from_bytes(digest, "big"), length)
    return value.to_bytes(algorithm.size, "big")
