"""Objects: every version of every key. Keys are bytes of UTF-8, which is the order in which S3 lists them.

Of a key's versions the one with the lowest `rank` is the newest, so that one index has keys from a to z and versions
from new to old. What lists see (newest, and not a delete marker) has an index of its own: the rest costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cumulet.model import blob, bucket
from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, json, metadata, moment, object_key, text, whole
from cumulet.model.upload import part

NULL = "null"
"""The version id of what was put while there was no versioning."""
LAST = 2**63 - 1


version = sa.Table(
    "object_version",
    metadata,
    text("bucket", 63, key=True),
    object_key(key=True),
    sa.Column("rank", sa.BigInteger, primary_key=True, autoincrement=False),
    text("version", 32),
    flag("latest"),
    flag("listed"),
    flag("marker"),
    whole("size"),
    text("etag", 80),
    text("owner", 64),
    text("storage_class", 20, default="STANDARD"),
    text("blob", 40),
    text("upload", 64),
    json("facts"),
    moment("modified"),
    sa.Index(None, "bucket", "listed", "key"),
    sa.Index(None, "bucket", "key", "version", unique=True),
)
"""`blob`: its bytes; or `upload`: whose parts they are. `facts`: headers, meta, tags, acl, checksum, sse, sealed, lock,
redirect, as far as it has them."""

_BUCKET: sa.BindParameter[str] = sa.bindparam("of_bucket")
_KEY: sa.BindParameter[bytes] = sa.bindparam("of_key")
_THESE = sa.and_(version.c.bucket == _BUCKET, version.c.key == _KEY)
_NEWEST = sa.select(version).where(_THESE).order_by(version.c.rank).limit(1)
_VERSION = sa.select(version).where(_THESE, version.c.version == sa.bindparam("of_version"))


def newest(tx: Tx, bucket_name: str, key: bytes) -> Row | None:
    """The newest version, delete marker or not."""
    return tx.first(_NEWEST, of_bucket=bucket_name, of_key=key)


def find(tx: Tx, bucket_name: str, key: bytes, id: str) -> Row | None:
    """One version by its id."""
    return tx.first(_VERSION, of_bucket=bucket_name, of_key=key, of_version=id)


def add(tx: Tx, values: dict[str, Any]) -> None:
    """A new newest version; with the id `NULL` it takes the place of the one that has it. The bucket is held."""
    name, key = values["bucket"], values["key"]
    before = newest(tx, name, key)
    rank = LAST - int(tx.now * 1_000_000)
    if before is not None:
        rank = min(rank, before.rank - 1)
        if values["version"] == NULL:
            replaced = before if before.version == NULL else find(tx, name, key, NULL)
            if replaced is not None:
                _remove(tx, replaced)
        if before.version != NULL or values["version"] != NULL:
            tx.change(_BEHIND, of_bucket=name, of_key=key)
    marker = values.get("marker", False)
    row: dict[str, Any] = {"size": 0, "etag": "", "blob": "", "upload": "", "facts": {}, "storage_class": "STANDARD"}
    row |= {"modified": tx.now, **values, "rank": rank, "latest": True, "listed": not marker, "marker": marker}
    tx.insert(version, row)
    bucket.count(tx, name, 1, row["size"])


_BEHIND = version.update().where(_THESE, version.c.latest).values(latest=False, listed=False)


def delete(tx: Tx, row: Row) -> None:
    """Remove one version for good; the one behind it is the newest then. The bucket is held."""
    _remove(tx, row)
    if row.latest:
        behind = newest(tx, row.bucket, row.key)
        if behind is not None:
            tx.change(_one(behind).values(latest=True, listed=not behind.marker))


def _remove(tx: Tx, row: Row) -> None:
    tx.change(_DELETE, of_bucket=row.bucket, of_key=row.key, of_rank=row.rank)
    bucket.count(tx, row.bucket, -1, -row.size)
    if row.blob:
        blob.let_go(tx, [row.blob])
    if row.upload:
        let_go_of_parts(tx, row.upload)


_DELETE = version.delete().where(_THESE, version.c.rank == sa.bindparam("of_rank"))
READ_SECONDS = 3600.0


def let_go_of_parts(tx: Tx, upload: str) -> None:
    """Nothing names the parts of an upload any more; they stay a while, for who reads one after the other."""
    parts = tx.all(sa.select(part.c.blob).where(part.c.upload == upload))
    blob.let_go(tx, [one.blob for one in parts], READ_SECONDS)
    tx.change(part.delete().where(part.c.upload == upload))


def change(tx: Tx, row: Row, **facts: Any) -> None:
    """Set these facts of a version, or take away those that are None."""
    kept = {key: value for key, value in {**row.facts, **facts}.items() if value is not None}
    tx.change(_one(row).values(facts=kept))


def relabel(tx: Tx, row: Row, storage_class: str) -> None:
    """Give a version another storage class, which is a label here."""
    tx.change(_one(row).values(storage_class=storage_class))


def _is(row: Row) -> sa.ColumnElement[bool]:
    return sa.and_(version.c.bucket == row.bucket, version.c.key == row.key, version.c.rank == row.rank)


def _one(row: Row) -> sa.Update:
    return version.update().where(_is(row))


def is_empty(tx: Tx, bucket_name: str) -> bool:
    """Whether a bucket has no versions and no delete markers."""
    return tx.first(sa.select(version.c.rank).where(version.c.bucket == bucket_name).limit(1)) is None


def _between(query: sa.Select[Any], name: str, end: bytes | None) -> sa.Select[Any]:
    query = query.where(version.c.bucket == name)
    return query if end is None else query.where(version.c.key < end)


def listed(tx: Tx, name: str, start: bytes, beyond: bool, end: bytes | None, limit: int) -> list[Row]:
    """What a list sees from `start` on (`beyond`: behind it) and before `end`, by key."""
    query = _between(sa.select(version), name, end).where(version.c.listed == sa.true())
    query = query.where(version.c.key > start if beyond else version.c.key >= start)
    return tx.all(query.order_by(version.c.key).limit(limit))


def versions(tx: Tx, name: str, start: bytes, rank: int, end: bytes | None, limit: int) -> list[Row]:
    """All versions behind (`start`, `rank`) and before `end`, by key and from new to old."""
    query = _between(sa.select(version), name, end)
    of_key = tx.all(query.where(version.c.key == start, version.c.rank > rank).order_by(version.c.rank).limit(limit))
    if len(of_key) == limit:
        return of_key
    others = query.where(version.c.key > start).order_by(version.c.key, version.c.rank)
    return of_key + tx.all(others.limit(limit - len(of_key)))


def of_upload(tx: Tx, bucket_name: str, key: bytes, upload: str) -> Row | None:
    """The version that an upload has become."""
    return tx.first(_OF_UPLOAD, of_bucket=bucket_name, of_key=key, of_upload=upload)


_OF_UPLOAD = sa.select(version).where(_THESE, version.c.upload == sa.bindparam("of_upload"))


def blobs_of(tx: Tx, ids: Iterable[str]) -> list[Row]:
    """The versions whose bytes are in these blobs (parts apart): for reports."""
    return tx.all(sa.select(version).where(version.c.blob.in_(list(ids))))
