"""From one store of blobs to another: all that something names is copied, while the first is used, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from awscrt.checksums import crc64nvme

from cumulet.control.object_keeper import all_blobs, is_named
from cumulet.lib.blobs import Blobs, BlobWriter, Missing, pieces_of
from cumulet.model import Database
from cumulet.model.database import Row

Outcome = Literal["there", "copied", "lost"]


def copy_all(database: Database, source: Blobs, target: Blobs) -> Iterator[tuple[str, Outcome]]:
    """Each blob's id, and what became of it; `lost`: the source has no good copy, and the target nothing of it.

    What is `there` was copied whole before: what an earlier copying left half-done is done anew.
    """
    for row in all_blobs(database):
        outcome: Outcome = "there" if _is_there(target, row.id) else _copy(row, source, target)
        if outcome != "lost" or is_named(database, row.id):
            yield row.id, outcome


def _is_there(target: Blobs, id: str) -> bool:
    try:
        target.open(id).close()
    except Missing:
        return False
    return True


def _copy(row: Row, source: Blobs, target: Blobs) -> Outcome:
    if source.check(row.id, row.size, int(row.crc, 16)) == "lost":
        return "lost"
    target.remove(row.id)
    writer = target.create(row.id)
    try:
        if _fill(writer, source, row.id) != int(row.crc, 16):
            return "lost"
        writer.commit()
    except Missing:
        return "lost"
    finally:
        writer.abort()
    return "copied"


def _fill(writer: BlobWriter, source: Blobs, id: str) -> int:
    """Gives the checksum of what was written."""
    reader = source.open(id)
    try:
        crc = 0
        for piece in pieces_of(reader):
            writer.write(piece)
            crc = crc64nvme(piece, crc)
        return crc
    finally:
        reader.close()
