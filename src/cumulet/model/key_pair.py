"""Key pairs: the public half; the private one is shown once and not kept."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, id_column, metadata, moment, text

key_pair = sa.Table(
    "key_pair",
    metadata,
    id_column(key=True),
    id_column("account"),
    text("name"),
    text("type", 10),
    text("fingerprint", 80),
    body("public_key"),
    moment("created"),
    sa.UniqueConstraint("account", "name"),
)


def named(tx: Tx, account: str, name: str) -> Row | None:
    return tx.first(sa.select(key_pair).where(key_pair.c.account == account, key_pair.c.name == name))


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(sa.select(key_pair).where(key_pair.c.account == account).order_by(key_pair.c.name))


def find(tx: Tx, account: str, id: str) -> Row | None:
    return tx.first(sa.select(key_pair).where(key_pair.c.account == account, key_pair.c.id == id))


def add(tx: Tx, values: dict[str, object]) -> bool:
    """Write down a new one; False if the account has one of this name."""
    try:
        with tx.attempt():
            tx.insert(key_pair, {**values, "created": tx.now})
    except IntegrityError:
        return False
    return True


def delete(tx: Tx, id: str) -> None:
    tx.change(key_pair.delete().where(key_pair.c.id == id))
