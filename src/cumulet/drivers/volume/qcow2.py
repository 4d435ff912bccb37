"""A writer of new, empty qcow2 files: 1 ms instead of the 30 ms and more of a qemu-img process.

The format is docs/interop/qcow2.txt in QEMU's source: version 3, clusters of 64 KiB, reference counts of 16 bits.
Cluster 0 is the header, 1 the table of reference counts, 2 their only block, from 3 on the L1 table, and then, where
the file is encrypted, the LUKS header.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from cumulet.drivers.volume import luks

CLUSTER = 64 * 1024
MAX_SIZE = 64 * 1024**4
"""Bytes up to which the L1 table and all else need no second block of reference counts, by far."""

_MAGIC = 0x514649FB
_END_OF_EXTENSIONS = 0
_BACKING_FORMAT = 0xE2792ACA
_ENCRYPTION_HEADER = 0x0537BE77
_LUKS = 2
_BYTES_PER_L1_ENTRY = CLUSTER * (CLUSTER // 8)
_L1_OFFSET = 3 * CLUSTER
_HEADER = struct.Struct(">IIQIIQIIQQIIQQQQII")


def empty(size: int, backing: tuple[str, str] | None = None, key: str = "") -> bytes:
    """The first bytes of a qcow2 file of `size` virtual bytes; what follows to `length(size, key)` is zeroes.

    `backing` is the path of the file underneath and its format. With a `key` it is encrypted by a master key of its
    own, which that opens. Raises `ValueError` for a size or a path that the format cannot hold.
    """
    if not 0 < size <= MAX_SIZE or size % 512:
        raise ValueError(f"a qcow2 file of {size} bytes: needs a multiple of 512 up to {MAX_SIZE}")
    counts = b"\0\1" * (length(size, key) // CLUSTER)
    blocks = _header(size, backing, key), struct.pack(">Q", 2 * CLUSTER), counts
    start = b"".join(block.ljust(CLUSTER, b"\0") for block in blocks)
    return start.ljust(length(size), b"\0") + luks.header(key) if key else start


def write(file: Path, size: int, backing: tuple[str, str] | None = None, key: str = "") -> None:
    """Make the file, as `empty` says, anew; it is on the disk when this returns."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    with file.open("wb") as opened:
        opened.write(empty(size, backing, key))
        opened.truncate(length(size, key))
        opened.flush()
        os.fsync(opened.fileno())


def virtual_size(file: Path) -> int:
    """The size of the disk in a qcow2 file, in bytes."""
    with file.open("rb") as opened:
        return int(_HEADER.unpack(opened.read(_HEADER.size))[5])


def is_encrypted(file: Path) -> bool:
    """Whether what is written to a qcow2 file is encrypted; not so for a file of another format."""
    with file.open("rb") as opened:
        start = opened.read(_HEADER.size)
    return len(start) == _HEADER.size and start[:4] == struct.pack(">I", _MAGIC) and _HEADER.unpack(start)[6] == _LUKS


def length(size: int, key: str = "") -> int:
    """How long the file of `empty(size)`, or of one with a key, is."""
    return _L1_OFFSET + _rounded(_l1_entries(size) * 8) + (_rounded(luks.LENGTH) if key else 0)


def _header(size: int, backing: tuple[str, str] | None, key: str) -> bytes:
    path, format = (part.encode() for part in backing) if backing else (b"", b"")
    extensions = struct.pack(">II", _BACKING_FORMAT, len(format)) + _padded(format) if backing else b""
    if key:
        extensions += struct.pack(">IIQQ", _ENCRYPTION_HEADER, 16, length(size), luks.LENGTH)
    extensions += struct.pack(">II", _END_OF_EXTENSIONS, 0)
    if len(path) > 1023:
        raise ValueError(f"a backing file's path of {len(path)} bytes: the format has room for 1023")
    fields = (
        _MAGIC,
        3,
        _HEADER.size + len(extensions) if backing else 0,  # where the backing file's path is
        len(path),
        CLUSTER.bit_length() - 1,
        size,
        _LUKS if key else 0,  # how it is encrypted
        _l1_entries(size),
        _L1_OFFSET,
        CLUSTER,  # where the table of reference counts is
        1,  # and its clusters
        0,
        0,  # no snapshots
        0,
        0,
        0,  # no incompatible, compatible, automatically cleared features
        4,  # reference counts of 1 << 4 bits
        _HEADER.size,
    )
    return _HEADER.pack(*fields) + extensions + path


def _l1_entries(size: int) -> int:
    return -(-size // _BYTES_PER_L1_ENTRY)


def _rounded(length: int) -> int:
    return -(-length // CLUSTER) * CLUSTER


def _padded(field: bytes) -> bytes:
    return field + b"\0" * (-len(field) % 8)
