"""A writer of new, empty qcow2 files: 1 ms instead of the 30 ms and more of a qemu-img process.

The format is docs/interop/qcow2.txt in QEMU's source: version 3, clusters of 64 KiB, reference counts of 16 bits.
Cluster 0 is the header, 1 the table of reference counts, 2 their only block, and from 3 on the L1 table.
"""

from __future__ import annotations

import struct
from pathlib import Path

CLUSTER = 64 * 1024
MAX_SIZE = 64 * 1024**4
"""Bytes up to which the L1 table and all else need no second block of reference counts, by far."""

_MAGIC = 0x514649FB
_END_OF_EXTENSIONS = 0
_BACKING_FORMAT = 0xE2792ACA
_BYTES_PER_L1_ENTRY = CLUSTER * (CLUSTER // 8)
_L1_OFFSET = 3 * CLUSTER
_HEADER = struct.Struct(">IIQIIQIIQQIIQQQQII")


def empty(size: int, backing: tuple[str, str] | None = None) -> bytes:
    """The first bytes of a qcow2 file of `size` virtual bytes; what follows to `length(size)` is zeroes.

    `backing` is the path of the file underneath and its format. Raises `ValueError` for a size or a path that the
    format cannot hold.
    """
    if not 0 < size <= MAX_SIZE or size % 512:
        raise ValueError(f"a qcow2 file of {size} bytes: needs a multiple of 512 up to {MAX_SIZE}")
    blocks = _header(size, backing), struct.pack(">Q", 2 * CLUSTER), b"\0\1" * (length(size) // CLUSTER)
    return b"".join(block.ljust(CLUSTER, b"\0") for block in blocks)


def virtual_size(file: Path) -> int:
    """The size of the disk in a qcow2 file, in bytes."""
    with file.open("rb") as opened:
        return int(_START.unpack(opened.read(_START.size))[3])


def backing(file: Path) -> Path | None:
    """The file underneath a qcow2 file; None where there is none, or where this is a file of another format."""
    with file.open("rb") as opened:
        magic, offset, size, _ = _START.unpack(opened.read(_START.size).ljust(_START.size, b"\0"))
        if magic != _MAGIC or not offset:
            return None
        opened.seek(offset)
        return Path(opened.read(size).decode())


_START = struct.Struct(">I4xQI4xQ")
"""Of a header: the magic number, where the name of the file underneath is, how long it is, and the virtual size."""


def length(size: int) -> int:
    """How long the file of `empty(size)` is."""
    return _L1_OFFSET + _rounded(_l1_entries(size) * 8)


def _header(size: int, backing: tuple[str, str] | None) -> bytes:
    path, format = (part.encode() for part in backing) if backing else (b"", b"")
    extensions = struct.pack(">II", _BACKING_FORMAT, len(format)) + _padded(format) if backing else b""
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
        0,  # not encrypted
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
