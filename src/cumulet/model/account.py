"""Accounts, which own, and access keys, which sign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model import entity
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, flag, id_column, json, metadata, moment, text, whole

account = sa.Table(
    "account",
    metadata,
    id_column(key=True),
    text("canonical_id", 64),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    flag("administrator"),
    sa.Column("alias", sa.String(63), nullable=True, unique=True),
    json("password_policy"),
    json("quotas"),
    flag("encrypts_volumes"),
    whole("revision"),
    moment("created"),
)
"""An `administrator` acts for the cloud's operator: it may name the host that an instance runs on.

With `encrypts_volumes` all its new volumes are encrypted. `revision` is one more with each change of who may do what,
so that what is remembered of it is known to be old.
"""
access_key = sa.Table(
    "access_key",
    metadata,
    id_column(key=True),
    body("secret"),
    id_column("account", index=True),
    text("entity", 40, index=True),
    flag("active", True),
    moment("created"),
    moment("used"),
    text("used_service", 32),
    text("used_region", 64),
)
"""`secret` is sealed with the cloud's key; `entity` is the user's id, and empty for the root."""

_OF_ACCOUNT = (
    account.c.canonical_id,
    account.c.name.label("account_name"),
    account.c.administrator,
    account.c.revision,
)
_OF_ENTITY = (entity.entity.c.name.label("entity_name"), entity.entity.c.path, entity.entity.c.kind)


def create(tx: Tx, name: str, *, administrator: bool = False) -> Row:
    """A new account with its first key; raises sqlalchemy.exc.IntegrityError if the name is taken."""
    id = ids.account_id()
    named_so = {"id": id, "canonical_id": ids.canonical_id(), "name": name}
    tx.insert(account, {**named_so, "administrator": administrator, "created": tx.now})
    add_key(tx, id)
    found = tx.first(sa.select(account).where(account.c.id == id))
    assert found is not None
    return found


def add_key(tx: Tx, account_id: str, entity_id: str = "") -> tuple[str, str]:
    """A new key of the root, or of a user: its id and its secret."""
    key, secret = ids.access_key()
    row = {"id": key, "secret": tx.keys.seal(secret.encode()), "account": account_id, "entity": entity_id}
    tx.insert(access_key, {**row, "created": tx.now})
    return key, secret


def secret(tx: Tx, row: Row) -> str:
    """The secret of a key; raises `Failure` if it was not sealed with this cloud's keys."""
    return tx.keys.unseal(row.secret).decode()


def encrypts_volumes(tx: Tx, id: str) -> bool:
    """Whether all its new volumes are encrypted."""
    return bool(tx.value(_ENCRYPTS, of=id))


_ENCRYPTS = sa.select(account.c.encrypts_volumes).where(account.c.id == sa.bindparam("of"))


def named(tx: Tx, name: str) -> Row | None:
    return tx.first(sa.select(account).where(account.c.name == name))


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(account).where(account.c.id == id))


def hold(tx: Tx, id: str) -> Row | None:
    """Requests that count what an account has come one after the other, until the end of each transaction."""
    return tx.first(_HOLD, of=id)


_HOLD = sa.select(account).where(account.c.id == sa.bindparam("of")).with_for_update()


def revise(tx: Tx, id: str, **values: Any) -> None:
    """Who may do what is changing; such changes come one after the other. `values` are the account's columns."""
    tx.change(account.update().where(account.c.id == id).values(revision=account.c.revision + 1, **values))


def all(tx: Tx) -> list[Row]:
    return tx.all(sa.select(account).order_by(account.c.created))


_BY_KEY = (
    sa.select(access_key, *_OF_ACCOUNT, *_OF_ENTITY)
    .join(account, account.c.id == access_key.c.account)
    .join(entity.entity, entity.entity.c.id == access_key.c.entity, isouter=True)
    .where(access_key.c.id == sa.bindparam("key"))
)
_BY_ENTITY = (
    sa.select(account.c.id.label("account"), *_OF_ACCOUNT, *_OF_ENTITY)
    .join(
        entity.entity,
        sa.and_(entity.entity.c.account == account.c.id, entity.entity.c.id == sa.bindparam("entity")),
        isouter=True,
    )
    .where(account.c.id == sa.bindparam("account"))
)


def key(tx: Tx, id: str) -> Row | None:
    """The access key with this id, with its account (`canonical_id`, `account_name`, `administrator`, `revision`) and
    its user (`entity_name`, `path`, `kind`; None for the root)."""
    return tx.first(_BY_KEY, key=id)


def of_session(tx: Tx, account_id: str, entity_id: str) -> Row | None:
    """The account and the user or role of a session, as `key` has them; `kind` is None where there is none."""
    return tx.first(_BY_ENTITY, account=account_id, entity=entity_id)


def keys(tx: Tx, account_id: str, entity_id: str = "") -> list[Row]:
    """The keys of the account's root, or of a user."""
    mine = sa.and_(access_key.c.account == account_id, access_key.c.entity == entity_id)
    return tx.all(sa.select(access_key).where(mine).order_by(access_key.c.created, access_key.c.id))


def all_keys(tx: Tx, account_id: str) -> list[Row]:
    """The keys of the account's root and of all its users."""
    return tx.all(sa.select(access_key).where(access_key.c.account == account_id).order_by(access_key.c.created))


def used(id: str, now: float, service: str, region: str) -> sa.Update:
    """What writes down that a key was used."""
    seen = {"used": now, "used_service": service, "used_region": region}
    return access_key.update().where(access_key.c.id == id).values(**seen)


def of_canonical(tx: Tx, canonical: Iterable[str]) -> dict[str, Row]:
    """Accounts by their canonical ids, as far as there are any."""
    query = sa.select(account).where(account.c.canonical_id.in_(list(canonical)))
    return {row.canonical_id: row for row in tx.all(query)}
