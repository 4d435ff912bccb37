"""Policies: an account's managed ones with their versions, what they are attached to, and those that lie inline."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model import tag
from cumulet.model.database import Row, Tx
from cumulet.model.entity import entity
from cumulet.model.schema import body, id_column, metadata, moment, text, whole

policy = sa.Table(
    "policy",
    metadata,
    text("arn", 255, key=True),
    id_column(),
    id_column("account"),
    text("name", 128),
    text("lower_name", 128),
    text("path", 512),
    text("description", 1000),
    whole("version", 1),
    whole("newest", 1),
    moment("created"),
    moment("changed"),
    sa.UniqueConstraint("account", "lower_name"),
)
"""`version` is the one in force, `newest` the highest number that was given."""
version = sa.Table(
    "policy_version",
    metadata,
    text("arn", 255, key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    body("document"),
    moment("created"),
)
attachment = sa.Table(
    "policy_attachment",
    metadata,
    id_column("entity", key=True),
    sa.Column("arn", sa.String(255), primary_key=True, index=True),
    id_column("account", index=True),
)
inline = sa.Table(
    "policy_inline",
    metadata,
    id_column("entity", key=True),
    text("name", 128, key=True),
    body("document"),
)


def create(tx: Tx, account: str, name: str, path: str, description: str, document: str) -> Row:
    """A new managed policy with its version 1; raises sqlalchemy.exc.IntegrityError if the name is taken."""
    arn = f"arn:aws:iam::{account}:policy{path}{name}"
    row = {"arn": arn, "id": ids.entity("policy"), "account": account, "name": name, "lower_name": name.lower()}
    times = {"created": tx.now, "changed": tx.now}
    tx.insert(policy, {**row, **times, "path": path, "description": description})
    tx.insert(version, {"arn": arn, "number": 1, "document": document, "created": tx.now})
    found = find(tx, arn)
    assert found is not None
    return found


def find(tx: Tx, arn: str) -> Row | None:
    return tx.first(sa.select(policy).where(policy.c.arn == arn))


def of_account(tx: Tx, account: str, prefix: str = "/") -> list[Row]:
    query = sa.select(policy).where(policy.c.account == account, policy.c.path.startswith(prefix, autoescape=True))
    return tx.all(query.order_by(policy.c.lower_name))


def count(tx: Tx, account: str) -> int:
    return int(tx.value(sa.select(sa.func.count()).select_from(policy).where(policy.c.account == account)))


def remove(tx: Tx, row: Row) -> None:
    tag.remove(tx, row.id)
    tx.change(version.delete().where(version.c.arn == row.arn))
    tx.change(policy.delete().where(policy.c.arn == row.arn))


def versions(tx: Tx, arn: str) -> list[Row]:
    """Newest first."""
    return tx.all(sa.select(version).where(version.c.arn == arn).order_by(version.c.number.desc()))


def add_version(tx: Tx, row: Row, document: str, *, in_force: bool) -> Row:
    number = row.newest + 1
    tx.insert(version, {"arn": row.arn, "number": number, "document": document, "created": tx.now})
    values = {"newest": number, "changed": tx.now} | ({"version": number} if in_force else {})
    tx.change(policy.update().where(policy.c.arn == row.arn).values(**values))
    found = find_version(tx, row.arn, number)
    assert found is not None
    return found


def find_version(tx: Tx, arn: str, number: int) -> Row | None:
    return tx.first(sa.select(version).where(version.c.arn == arn, version.c.number == number))


def remove_version(tx: Tx, arn: str, number: int) -> None:
    tx.change(version.delete().where(version.c.arn == arn, version.c.number == number))


def set_version(tx: Tx, arn: str, number: int) -> None:
    tx.change(policy.update().where(policy.c.arn == arn).values(version=number, changed=tx.now))


def attach(tx: Tx, account: str, entity_id: str, arn: str) -> None:
    """What is attached stays."""
    if arn not in attached(tx, [entity_id]):
        tx.insert(attachment, {"entity": entity_id, "arn": arn, "account": account})


def detach(tx: Tx, entity_id: str, arn: str) -> bool:
    """Whether it was attached."""
    return bool(tx.change(attachment.delete().where(attachment.c.entity == entity_id, attachment.c.arn == arn)))


def attached(tx: Tx, entities: list[str]) -> list[str]:
    """The ARNs of the policies that are attached to any of these."""
    query = sa.select(attachment.c.arn).where(attachment.c.entity.in_(entities)).distinct()
    return [row.arn for row in tx.all(query.order_by(attachment.c.arn))]


def attached_to(tx: Tx, account: str, arn: str) -> list[Row]:
    """The account's entities that a policy is attached to."""
    query = sa.select(entity).join(attachment, attachment.c.entity == entity.c.id)
    return tx.all(query.where(attachment.c.arn == arn, attachment.c.account == account).order_by(entity.c.lower_name))


def bounded_by(tx: Tx, account: str, arn: str) -> list[Row]:
    """The account's entities that a policy is the boundary of."""
    return tx.all(sa.select(entity).where(entity.c.account == account, entity.c.boundary == arn))


def attachment_counts(tx: Tx, account: str) -> dict[str, int]:
    """ARN to how many of the account's entities it is attached to."""
    query = sa.select(attachment.c.arn, sa.func.count().label("times")).where(attachment.c.account == account)
    return {row.arn: row.times for row in tx.all(query.group_by(attachment.c.arn))}


def boundary_counts(tx: Tx, account: str) -> dict[str, int]:
    query = sa.select(entity.c.boundary, sa.func.count().label("times")).where(entity.c.account == account)
    return {row.boundary: row.times for row in tx.all(query.group_by(entity.c.boundary)) if row.boundary}


def documents(tx: Tx, arns: list[str]) -> dict[str, str]:
    """ARN to the document in force, of those that there are."""
    query = sa.select(policy.c.arn, version.c.document).join(
        version, sa.and_(version.c.arn == policy.c.arn, version.c.number == policy.c.version)
    )
    return {row.arn: row.document for row in tx.all(query.where(policy.c.arn.in_(arns)))}


def put_inline(tx: Tx, entity_id: str, name: str, document: str) -> None:
    take_inline(tx, entity_id, name)
    tx.insert(inline, {"entity": entity_id, "name": name, "document": document})


def take_inline(tx: Tx, entity_id: str, name: str) -> bool:
    """Whether it was there."""
    return bool(tx.change(inline.delete().where(inline.c.entity == entity_id, inline.c.name == name)))


def inlines(tx: Tx, entities: list[str]) -> list[Row]:
    """The inline policies of any of these: `entity`, `name`, `document`."""
    query = sa.select(inline).where(inline.c.entity.in_(entities))
    return tx.all(query.order_by(inline.c.entity, inline.c.name))


def find_inline(tx: Tx, entity_id: str, name: str) -> Any:
    """Its document; None if there is none."""
    return tx.value(sa.select(inline.c.document).where(inline.c.entity == entity_id, inline.c.name == name))
