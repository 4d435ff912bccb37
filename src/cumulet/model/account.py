"""Accounts, which own, and access keys, which sign."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text

account = sa.Table(
    "account",
    metadata,
    id_column(key=True),
    text("canonical_id", 64),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    flag("administrator"),
    moment("created"),
)
"""An `administrator` acts for the cloud's operator: it may name the host that an instance runs on."""
access_key = sa.Table(
    "access_key",
    metadata,
    id_column(key=True),
    text("secret", 64),
    id_column("account", index=True),
    text("principal", 128, default="root"),
    flag("active", True),
    moment("created"),
)


def create(tx: Tx, name: str, *, administrator: bool = False) -> Row:
    """A new account with its first key; raises sqlalchemy.exc.IntegrityError if the name is taken."""
    id = ids.account_id()
    named_so = {"id": id, "canonical_id": ids.canonical_id(), "name": name}
    tx.insert(account, {**named_so, "administrator": administrator, "created": tx.now})
    add_key(tx, id)
    found = tx.first(sa.select(account).where(account.c.id == id))
    assert found is not None
    return found


def add_key(tx: Tx, account_id: str, principal: str = "root") -> None:
    key, secret = ids.access_key()
    row = {"id": key, "secret": secret, "account": account_id, "principal": principal, "created": tx.now}
    tx.insert(access_key, row)


def named(tx: Tx, name: str) -> Row | None:
    return tx.first(sa.select(account).where(account.c.name == name))


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(account).where(account.c.id == id))


def hold(tx: Tx, id: str) -> None:
    """Requests that count what an account has come one after the other, until the end of each transaction."""
    tx.first(sa.select(account.c.id).where(account.c.id == id).with_for_update())


def all(tx: Tx) -> list[Row]:
    return tx.all(sa.select(account).order_by(account.c.created))


def key(tx: Tx, id: str) -> Row | None:
    """The active access key with this id, with its account's `canonical_id`, `account_name` and `administrator`."""
    of_account = account.c.canonical_id, account.c.name.label("account_name"), account.c.administrator
    query = sa.select(access_key, *of_account)
    return tx.first(query.join(account, account.c.id == access_key.c.account).where(access_key.c.id == id))


def keys(tx: Tx, account_id: str) -> list[Row]:
    return tx.all(sa.select(access_key).where(access_key.c.account == account_id).order_by(access_key.c.created))
