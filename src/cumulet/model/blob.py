"""Blobs: the bytes that the store of objects keeps, as the database knows them.

A blob has a row from the moment that something names it. Who lets go of it gives it a time when it is `due` to be
removed, in the same transaction; the keeper removes the bytes and then the row. So nothing is lost, and nothing leaks.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text, whole

blob = sa.Table(
    "blob",
    metadata,
    id_column(key=True),
    whole("size"),
    text("crc", 16),
    moment("created"),
    moment("due", index=True),
    flag("lost"),
)
"""`crc`: CRC-64/NVME of the bytes as they rest, in 16 hex digits; `due`: None while something names it."""


def add(tx: Tx, id: str, size: int, crc: int) -> None:
    tx.insert(blob, {"id": id, "size": size, "crc": f"{crc:016x}", "created": tx.now, "due": None, "lost": False})


def let_go(tx: Tx, ids: Iterable[str], seconds: float = 0.0) -> None:
    """Nothing names these any more; they stay for `seconds` more, for those who read them."""
    named = [id for id in ids if id]
    for start in range(0, len(named), 500):
        tx.change(_LET_GO, these=named[start : start + 500], until=tx.now + seconds)


_LET_GO = blob.update().where(blob.c.id.in_(sa.bindparam("these", expanding=True))).values(due=sa.bindparam("until"))


def due(tx: Tx, limit: int, since: float = 0.0) -> list[str]:
    """What is to be removed, and has been for so many seconds, the longest due first."""
    query = sa.select(blob.c.id).where(blob.c.due <= tx.now - since).order_by(blob.c.due).limit(limit)
    return [row.id for row in tx.all(query)]


def forget(tx: Tx, ids: list[str]) -> None:
    """Their bytes are gone."""
    tx.change(blob.delete().where(blob.c.id.in_(ids), blob.c.due.is_not(None)))


def known(tx: Tx, ids: list[str]) -> set[str]:
    """Which of these have a row."""
    return {row.id for row in tx.all(sa.select(blob.c.id).where(blob.c.id.in_(ids)))}


def is_named(tx: Tx, id: str) -> bool:
    """Whether something names it still."""
    return tx.first(sa.select(blob.c.id).where(blob.c.id == id, blob.c.due.is_(None))) is not None


def after(tx: Tx, id: str, limit: int) -> list[Row]:
    """The blobs in use behind this one, by id: for walking through all of them."""
    return tx.all(sa.select(blob).where(blob.c.id > id, blob.c.due.is_(None)).order_by(blob.c.id).limit(limit))


def mark(tx: Tx, id: str, *, lost: bool) -> None:
    """Whether every copy of it was found to be bad."""
    tx.change(blob.update().where(blob.c.id == id).values(lost=lost))


def count(tx: Tx) -> int:
    return int(tx.value(sa.select(sa.func.count()).select_from(blob)) or 0)


def count_lost(tx: Tx) -> int:
    return int(tx.value(sa.select(sa.func.count()).where(blob.c.lost)) or 0)
