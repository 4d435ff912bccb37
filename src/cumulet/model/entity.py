"""IAM's entities of an account: users, groups, roles and instance profiles, and which belongs to which."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model import tag
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, id_column, json, metadata, moment, text

entity = sa.Table(
    "entity",
    metadata,
    id_column(key=True),
    id_column("account"),
    text("kind", 16),
    text("name", 128),
    text("lower_name", 128),
    text("path", 512),
    text("boundary", 255),
    body("trust"),
    json("attributes"),
    moment("created"),
    sa.UniqueConstraint("account", "kind", "lower_name"),
)
"""`kind` is AWS's word in an ARN: user, group, role, instance-profile. Names differ in more than case.

`boundary` is the ARN of the permissions boundary; `trust` a role's policy of who may assume it; `attributes` the rest.
"""
member = sa.Table(
    "entity_member",
    metadata,
    id_column("container", key=True),
    id_column("member", key=True, index=True),
)
"""A user in a group, or a role in an instance profile."""


def arn(account: str, kind: str, path: str, name: str) -> str:
    """Of an entity, or of a managed policy (its kind is `policy`), whether it is there or not."""
    return f"arn:aws:iam::{account}:{kind}{path}{name}"


def arn_of(row: Row) -> str:
    return arn(row.account, row.kind, row.path, row.name)


def create(tx: Tx, account: str, kind: str, name: str, path: str, **values: Any) -> Row:
    """A new entity; raises sqlalchemy.exc.IntegrityError if the name is taken."""
    id = ids.entity(kind)
    row = {"id": id, "account": account, "kind": kind, "name": name, "lower_name": name.lower(), "path": path}
    tx.insert(entity, {**row, "created": tx.now, **values})
    found = find(tx, id)
    assert found is not None
    return found


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(entity).where(entity.c.id == id))


def named(tx: Tx, account: str, kind: str, name: str) -> Row | None:
    mine = sa.and_(entity.c.account == account, entity.c.kind == kind, entity.c.lower_name == name.lower())
    return tx.first(sa.select(entity).where(mine))


def of_account(tx: Tx, account: str, kind: str, prefix: str = "/") -> list[Row]:
    """The account's entities of a kind whose path begins so, by name."""
    mine = sa.and_(entity.c.account == account, entity.c.kind == kind)
    query = sa.select(entity).where(mine, entity.c.path.startswith(prefix, autoescape=True))
    return tx.all(query.order_by(entity.c.lower_name))


def count(tx: Tx, account: str, kind: str) -> int:
    mine = sa.and_(entity.c.account == account, entity.c.kind == kind)
    return int(tx.value(sa.select(sa.func.count()).select_from(entity).where(mine)))


def change(tx: Tx, id: str, **values: Any) -> None:
    """Raises sqlalchemy.exc.IntegrityError if a new name is taken."""
    if "name" in values:
        values["lower_name"] = values["name"].lower()
    tx.change(entity.update().where(entity.c.id == id).values(**values))


def remove(tx: Tx, id: str) -> None:
    """The entity and its tags are gone; the caller has seen to it that nothing hangs on it."""
    tag.remove(tx, id)
    tx.change(member.delete().where(sa.or_(member.c.container == id, member.c.member == id)))
    tx.change(entity.delete().where(entity.c.id == id))


def add(tx: Tx, container: str, id: str) -> None:
    """Put it into a group or a profile; what is there stays."""
    there = sa.and_(member.c.container == container, member.c.member == id)
    if tx.first(sa.select(member).where(there)) is None:
        tx.insert(member, {"container": container, "member": id})


def take_out(tx: Tx, container: str, id: str) -> bool:
    """Whether it was in the group or profile."""
    return bool(tx.change(member.delete().where(member.c.container == container, member.c.member == id)))


def members(tx: Tx, container: str) -> list[Row]:
    query = sa.select(entity).join(member, member.c.member == entity.c.id).where(member.c.container == container)
    return tx.all(query.order_by(entity.c.lower_name))


def containers(tx: Tx, id: str) -> list[Row]:
    """The groups that a user is in, or the profiles that a role is in."""
    query = sa.select(entity).join(member, member.c.container == entity.c.id).where(member.c.member == id)
    return tx.all(query.order_by(entity.c.lower_name))


def roles_of(tx: Tx, profiles: list[str]) -> dict[str, Row]:
    """Instance profile id to its role, for those that have one."""
    query = sa.select(member.c.container, entity).join(member, member.c.member == entity.c.id)
    return {row.container: row for row in tx.all(query.where(member.c.container.in_(profiles)))}
