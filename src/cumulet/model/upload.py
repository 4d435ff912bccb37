"""Uploads in parts, and the parts, which stay when an upload has become an object."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model import blob
from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, json, metadata, moment, object_key, text, whole

upload = sa.Table(
    "upload",
    metadata,
    text("id", 64, key=True),
    text("bucket", 63),
    object_key(),
    id_column("account"),
    text("initiator", 64),
    text("owner", 64),
    text("storage_class", 20, default="STANDARD"),
    json("facts"),
    moment("created"),
    sa.Index(None, "bucket", "key", "id"),
)
part = sa.Table(
    "part",
    metadata,
    text("upload", 64, key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    text("blob", 40),
    whole("size"),
    text("etag", 40),
    json("facts"),
    moment("modified"),
)
"""`facts` of an upload: as an object's, and checksum (algorithm, type); of a part: checksums, sealed."""


def new_id(tx: Tx) -> str:
    """Ids in the order of their making, which is the order in which uploads of one key are listed."""
    return f"{int(tx.now * 1_000_000):014x}{ids.token(32)}"


def create(tx: Tx, values: dict[str, Any]) -> None:
    tx.insert(upload, {"created": tx.now, **values})


def find(tx: Tx, bucket_name: str, key: bytes, id: str) -> Row | None:
    """The upload; in a transaction that writes it is locked against another who completes or aborts it.

    Not in one that reads: MariaDB looks at what is there now for a lock, and not at what was there when it began.
    """
    mine = sa.and_(upload.c.id == id, upload.c.bucket == bucket_name, upload.c.key == key)
    return next(iter(tx.held(sa.select(upload).where(mine))), None)


def put_part(tx: Tx, values: dict[str, Any]) -> None:
    """A part; one that has its number makes room for it."""
    mine = sa.and_(part.c.upload == values["upload"], part.c.number == values["number"])
    before = tx.first(sa.select(part.c.blob, part.c.size).where(mine))
    if before is not None:
        tx.change(part.delete().where(mine))
        blob.let_go(tx, [before.blob])
    tx.insert(part, {"modified": tx.now, **values})


def parts(tx: Tx, id: str, after: int = 0, limit: int = 10_001) -> list[Row]:
    """An upload's parts behind the number `after`, by number."""
    query = sa.select(part).where(part.c.upload == id, part.c.number > after)
    return tx.all(query.order_by(part.c.number).limit(limit))


def drop_parts(tx: Tx, id: str, kept: set[int]) -> None:
    """Let go of the parts that are not to be in the object."""
    others = [one for one in parts(tx, id) if one.number not in kept]
    blob.let_go(tx, [one.blob for one in others])
    for one in others:
        tx.change(part.delete().where(part.c.upload == id, part.c.number == one.number))


def finish(tx: Tx, id: str) -> None:
    """It has become an object: only its parts stay."""
    tx.change(upload.delete().where(upload.c.id == id))


def abort(tx: Tx, id: str) -> None:
    """Neither it nor its parts are there any more."""
    drop_parts(tx, id, set())
    finish(tx, id)


def listed(tx: Tx, name: str, start: bytes, id: str, end: bytes | None, limit: int) -> list[Row]:
    """Uploads behind (`start`, `id`) and before `end`, by key and in the order of their making."""
    query = sa.select(upload).where(upload.c.bucket == name)
    if end is not None:
        query = query.where(upload.c.key < end)
    behind = sa.or_(upload.c.key > start, sa.and_(upload.c.key == start, upload.c.id > id))
    return tx.all(query.where(behind).order_by(upload.c.key, upload.c.id).limit(limit))


def abort_all(tx: Tx, bucket_name: str) -> None:
    """The bucket is going: so do its uploads."""
    for one in tx.all(sa.select(upload.c.id).where(upload.c.bucket == bucket_name)):
        abort(tx, one.id)


def older(tx: Tx, bucket_name: str, prefix: bytes, before: float, limit: int) -> list[Row]:
    """Uploads under the prefix that were begun before this time, by key."""
    mine = sa.and_(upload.c.bucket == bucket_name, upload.c.key >= prefix, upload.c.created <= before)
    query = sa.select(upload).where(mine)
    return [one for one in tx.all(query.order_by(upload.c.key, upload.c.id).limit(limit)) if one.key.startswith(prefix)]


def used(tx: Tx, name: str) -> int:
    """The bytes of the parts of a bucket's unfinished uploads."""
    query = sa.select(sa.func.sum(part.c.size)).join(upload, upload.c.id == part.c.upload)
    return int(tx.value(query.where(upload.c.bucket == name)) or 0)


def used_by_bucket(tx: Tx) -> dict[str, int]:
    """The same of all buckets that have any."""
    query = sa.select(upload.c.bucket, sa.func.sum(part.c.size)).join(part, upload.c.id == part.c.upload)
    return {name: int(size or 0) for name, size in tx.connection.execute(query.group_by(upload.c.bucket))}
