"""Which instance has which instance profile, and the credentials that its guest is told."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.lib import ids, session
from cumulet.model import entity, interface, work
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, id_column, metadata, moment, text

LIFETIME = 6 * 3600
MARGIN = 3600.0
"""How long before their end credentials are made anew, in seconds; AWS promises five minutes."""

association = sa.Table(
    "profile_association",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    sa.Column("instance", sa.String(40), nullable=False, unique=True),
    id_column("profile", index=True),
    text("arn", 700),
    body("credentials"),
    moment("expires", index=True),
    moment("created"),
)
"""`credentials` is a `Credentials` as JSON, sealed with the cloud's key; empty while there is no role for EC2."""


class Credentials(msgspec.Struct, frozen=True):
    role: str
    key: str
    secret: str
    token: str
    issued: int
    expires: int


def associate(tx: Tx, account: str, instance: str, profile: Row) -> str:
    """Give an instance a profile; gives the association's id. Raises sqlalchemy.exc.IntegrityError if it has one."""
    id = ids.new("profile_association")
    row = {"id": id, "account": account, "instance": instance, "profile": profile.id, "arn": entity.arn_of(profile)}
    tx.insert(association, {**row, "created": tx.now})
    return id


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(_OF_ACCOUNT, of=account)


_OF_ACCOUNT = sa.select(association).where(association.c.account == sa.bindparam("of")).order_by(association.c.created)


def of_instances(tx: Tx, instances: list[str]) -> list[Row]:
    return tx.all(_OF_INSTANCES, of=instances)


_OF_INSTANCES = sa.select(association).where(association.c.instance.in_(sa.bindparam("of", expanding=True)))


def find(tx: Tx, account: str, id: str) -> Row | None:
    return tx.first(sa.select(association).where(association.c.account == account, association.c.id == id))


_OF_INSTANCE = sa.select(association).where(association.c.instance == sa.bindparam("of"))


def of_instance(tx: Tx, instance: str) -> Row | None:
    return tx.first(_OF_INSTANCE, of=instance)


def credentials(tx: Tx, row: Row) -> Credentials | None:
    """What the guest may use; None while there is nothing that it may."""
    if not row.credentials:
        return None
    return msgspec.json.decode(tx.keys.unseal(row.credentials), type=Credentials)


def is_stale(row: Row, now: float) -> bool:
    """Whether its credentials are to be made anew."""
    return row.expires is None or row.expires < now + MARGIN


def renew(tx: Tx, row: Row) -> None:
    """Make new credentials of the profile's role, if that lets EC2 assume it."""
    role = next(iter(entity.members(tx, row.profile)), None)
    values: dict[str, Any] = {"credentials": "", "expires": None}
    if role is not None and role.attributes.get("for_ec2"):
        named = {"kind": "role", "entity": role.id, "name": row.instance, "instance": row.instance}
        made, token = session.begin(tx.keys, row.account, tx.now, LIFETIME, **named)
        told = Credentials(role.name, made.key, made.secret, token, made.issued, made.expires)
        values = {"credentials": tx.keys.seal(msgspec.json.encode(told)), "expires": float(made.expires)}
    tx.change(association.update().where(association.c.id == row.id).values(**values))


def remove(tx: Tx, instance: str) -> None:
    """The instance has no profile."""
    tx.change(association.delete().where(association.c.instance == instance))


def tell(tx: Tx, instance: str) -> None:
    """The instance's guest is told what it is to be told now."""
    for nic in interface.of_instance(tx, instance):
        work.wake(tx, "interface", nic.id)


def changed(tx: Tx, profiles: list[str]) -> None:
    """The role of these profiles is another, or may be assumed by others: their instances get other credentials."""
    mine = association.c.profile.in_(profiles)
    for row in tx.all(sa.select(association).where(mine)):
        tell(tx, row.instance)
    tx.change(association.update().where(mine).values(credentials="", expires=None))


def renew_all(tx: Tx) -> None:
    """The sessions that guests act by are over: all get other credentials."""
    changed(tx, [*tx.connection.scalars(sa.select(association.c.profile).distinct())])


def wake_expiring(tx: Tx) -> None:
    """Have credentials made anew that end soon."""
    for row in tx.all(sa.select(association.c.instance).where(association.c.expires < tx.now + MARGIN)):
        tell(tx, row.instance)
