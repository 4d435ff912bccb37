"""How often a bucket has been asked, how much went in and out, and how long that took: sums since a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model.bucket import bucket
from cumulet.model.database import Row, Tx
from cumulet.model.schema import metadata, moment, text, whole

COUNTED = (
    "requests",
    "gets",
    "puts",
    "deletes",
    "heads",
    "posts",
    "lists",
    "client_errors",
    "server_errors",
    "bytes_in",
    "bytes_out",
    "first_byte_ms",
    "total_ms",
)
bucket_count = sa.Table(
    "bucket_count",
    metadata,
    text("bucket", 63, key=True),
    text("configuration", 64, key=True),
    *(whole(name) for name in COUNTED),
    moment("since"),
)
"""`configuration`: the id of the metrics configuration whose filter chose the requests; empty for all requests.
`client_errors` and `server_errors`: answers 4xx and 5xx; `first_byte_ms`, `total_ms`: sums, in milliseconds."""

_BUCKET: sa.BindParameter[str] = sa.bindparam("of_bucket")
_CONFIGURATION: sa.BindParameter[str] = sa.bindparam("of_configuration")
_ADD = (
    bucket_count.update()
    .where(bucket_count.c.bucket == _BUCKET, bucket_count.c.configuration == _CONFIGURATION)
    .values({name: bucket_count.c[name] + sa.bindparam(f"more_{name}") for name in COUNTED})
)


def add(tx: Tx, name: str, configuration: str, more: Mapping[str, int]) -> None:
    """So much more; of a bucket that has gone nothing is kept."""
    if tx.first(sa.select(bucket.c.name).where(bucket.c.name == name)) is None:
        return
    if _added(tx, name, configuration, more):
        return
    fresh = {"bucket": name, "configuration": configuration, "since": tx.now, **dict.fromkeys(COUNTED, 0), **more}
    try:
        with tx.attempt():
            tx.insert(bucket_count, fresh)
    except IntegrityError:  # another process was first
        _added(tx, name, configuration, more)


def _added(tx: Tx, name: str, configuration: str, more: Mapping[str, int]) -> bool:
    values = {f"more_{one}": more.get(one, 0) for one in COUNTED}
    return bool(tx.change(_ADD, of_bucket=name, of_configuration=configuration, **values))


def of_all(tx: Tx, name: str = "") -> list[Row]:
    """Those of this bucket, or of all, by bucket and configuration."""
    query = sa.select(bucket_count).order_by(bucket_count.c.bucket, bucket_count.c.configuration)
    return tx.all(query.where(bucket_count.c.bucket == name) if name else query)


def forget(tx: Tx, name: str, configuration: str | None = None) -> None:
    """Of the bucket, or of a configuration of it."""
    chosen: list[Any] = [bucket_count.c.bucket == name]
    if configuration is not None:
        chosen.append(bucket_count.c.configuration == configuration)
    tx.change(bucket_count.delete().where(*chosen))
