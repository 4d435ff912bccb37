"""Tags: up to 50 keys with values on any resource of an account."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, metadata, text

tag = sa.Table(
    "tag",
    metadata,
    id_column("resource", key=True),
    text("key", 128, key=True),
    text("value", 256),
    id_column("account", index=True),
    text("kind", 32),
)


def put(tx: Tx, account: str, resource: str, kind: str, tags: dict[str, str]) -> None:
    """Set these tags; others stay. `kind` is AWS's resource type, such as security-group."""
    tx.change(tag.delete().where(tag.c.resource == resource, tag.c.key.in_(list(tags))))
    base = {"account": account, "resource": resource, "kind": kind}
    tx.insert(tag, *({**base, "key": key, "value": value} for key, value in tags.items()))


def put_new(tx: Tx, account: str, resources: Iterable[str], kind: str, tags: dict[str, str]) -> None:
    """Give these tags to resources that have none yet."""
    base = {"account": account, "kind": kind}
    rows = ({**base, "resource": id, "key": key, "value": value} for id in resources for key, value in tags.items())
    tx.insert(tag, *rows)


def of(tx: Tx, resource: str) -> dict[str, str]:
    return {row.key: row.value for row in tx.all(_OF, of=resource)}


_OF = sa.select(tag.c.key, tag.c.value).where(tag.c.resource == sa.bindparam("of")).order_by(tag.c.key)


def of_account(tx: Tx, account: str, kinds: Iterable[str] = ()) -> dict[str, list[dict[str, str]]]:
    """Resource id to its tags in AWS's form, for all of an account's (or those of these resource types)."""
    query = sa.select(tag).where(tag.c.account == account).order_by(tag.c.resource, tag.c.key)
    if wanted := list(kinds):
        query = query.where(tag.c.kind.in_(wanted))
    found: dict[str, list[dict[str, str]]] = {}
    for row in tx.all(query):
        found.setdefault(row.resource, []).append({"Key": row.key, "Value": row.value})
    return found


def of_resources(tx: Tx, resources: list[str]) -> dict[str, list[dict[str, str]]]:
    """Resource id to its tags in AWS's form, for these resources."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in tx.all(_OF_RESOURCES, of=resources):
        found.setdefault(row.resource, []).append({"Key": row.key, "Value": row.value})
    return found


_OF_RESOURCES = (
    sa.select(tag).where(tag.c.resource.in_(sa.bindparam("of", expanding=True))).order_by(tag.c.resource, tag.c.key)
)


def count(tx: Tx, resource: str) -> int:
    return int(tx.value(sa.select(sa.func.count()).select_from(tag).where(tag.c.resource == resource)))


def take_away(tx: Tx, resource: str, key: str, value: str | None = None) -> None:
    """The resource loses this tag; if `value` is given, only when it has this value."""
    mine = tag.delete().where(tag.c.resource == resource, tag.c.key == key)
    tx.change(mine if value is None else mine.where(tag.c.value == value))


def rows(tx: Tx, account: str) -> list[Row]:
    return tx.all(sa.select(tag).where(tag.c.account == account).order_by(tag.c.resource, tag.c.key))


def remove(tx: Tx, resource: str) -> None:
    """The resource is gone: so are its tags."""
    tx.change(tag.delete().where(tag.c.resource == resource))
