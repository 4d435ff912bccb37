"""Buckets, their settings, and how much is in them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, json, metadata, moment, text, whole

bucket = sa.Table(
    "bucket",
    metadata,
    text("name", 63, key=True),
    id_column("account", index=True),
    text("owner", 64),
    text("versioning", 10),
    flag("object_lock"),
    json("settings"),
    whole("objects"),
    whole("bytes"),
    whole("events"),
    moment("created"),
)
"""`owner`: the account's canonical id; `versioning`: empty, Enabled or Suspended; `settings`: by name (`acl`, `policy`,
`cors`, …) what was put, as the service's model has it; `objects` and `bytes`: versions and parts, as quotas count;
`events`: the number of its last event of which somebody was told."""

_NAME: sa.BindParameter[str] = sa.bindparam("of_name")
_FIND = sa.select(bucket).where(bucket.c.name == _NAME)
_HOLD = _FIND.with_for_update()


def find(tx: Tx, name: str) -> Row | None:
    return tx.first(_FIND, of_name=name)


def hold(tx: Tx, name: str) -> Row | None:
    """The same; who changes what is in it comes one after the other, until the end of each transaction."""
    return tx.first(_HOLD, of_name=name)


def create(tx: Tx, values: dict[str, Any]) -> None:
    """A new bucket; raises sqlalchemy.exc.IntegrityError if the name is taken."""
    fresh = {"versioning": "", "object_lock": False, "objects": 0, "bytes": 0, "events": 0, "created": tx.now}
    tx.insert(bucket, {**fresh, **values})


def of_account(tx: Tx, account: str) -> list[Row]:
    """An account's buckets by name."""
    return tx.all(sa.select(bucket).where(bucket.c.account == account).order_by(bucket.c.name))


def with_setting(tx: Tx, name: str) -> list[Row]:
    """All buckets that have this setting."""
    return [row for row in tx.all(sa.select(bucket).order_by(bucket.c.name)) if name in row.settings]


def put(tx: Tx, name: str, **settings: Any) -> None:
    """Set these settings, or take away those that are None."""
    row = hold(tx, name)
    if row is not None:
        kept = {key: value for key, value in {**row.settings, **settings}.items() if value is not None}
        tx.change(bucket.update().where(bucket.c.name == name).values(settings=kept))


def change(tx: Tx, name: str, **values: Any) -> None:
    tx.change(bucket.update().where(bucket.c.name == name).values(**values))


_COUNT = (
    bucket.update()
    .where(bucket.c.name == _NAME)
    .values(objects=bucket.c.objects + sa.bindparam("more_objects"), bytes=bucket.c.bytes + sa.bindparam("more_bytes"))
)


def count(tx: Tx, name: str, objects: int, size: int) -> None:
    """So many more objects and bytes are in it; fewer if negative."""
    if objects or size:
        tx.change(_COUNT, of_name=name, more_objects=objects, more_bytes=size)


def used(tx: Tx, account: str) -> tuple[int, int, int]:
    """How many buckets, objects and bytes an account has."""
    rows = tx.all(sa.select(bucket.c.objects, bucket.c.bytes).where(bucket.c.account == account))
    return len(rows), sum(row.objects for row in rows), sum(row.bytes for row in rows)


def delete(tx: Tx, name: str) -> None:
    tx.change(bucket.delete().where(bucket.c.name == name))


def all(tx: Tx) -> list[Row]:
    return tx.all(sa.select(bucket).order_by(bucket.c.name))
