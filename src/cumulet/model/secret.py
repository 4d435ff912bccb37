"""Secrets of the cloud itself, which rest in the database sealed with the cloud's keys; and all others that do."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model import account, attachment, image, profile, snapshot, volume
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, metadata, text

secret = sa.Table("secret", metadata, text("name", 64, key=True), body("sealed"))
SEALED = (
    (account.access_key, "secret"),
    (secret, "sealed"),
    (image.image_file, "sealed"),
    (attachment.attachment, "chap"),
    (volume.volume, "sealed"),
    (snapshot.snapshot, "sealed"),
)
"""Each column that holds what is sealed and lasts."""


def of(tx: Tx, name: str, length: int = 32) -> bytes:
    """The secret of this name: so many random bytes, made when it is first asked for."""
    row = _find(tx, name)
    if row is None:
        made = tx.keys.seal(secrets.token_bytes(length))
        try:
            with tx.attempt():
                tx.insert(secret, {"name": name, "sealed": made})
        except IntegrityError:  # another process was quicker
            pass
        row = _find(tx, name)
    assert row is not None
    return tx.keys.unseal(row.sealed)


def seal_again(tx: Tx) -> int:
    """Seal everything with the newest key; gives how much there is. What guests were given is made anew."""
    profile.renew_all(tx)
    return sum(_seal_again(tx, table, column) for table, column in SEALED)


def _find(tx: Tx, name: str) -> Row | None:
    return tx.first(sa.select(secret).where(secret.c.name == name))


def _seal_again(tx: Tx, table: sa.Table, name: str) -> int:
    column, key = table.c[name], [*table.primary_key]
    rows = tx.all(sa.select(*key, column).where(column != ""))
    for row in rows:
        mine = sa.and_(*(one == row._mapping[one.name] for one in key), column == row._mapping[name])
        tx.change(table.update().where(mine).values({name: tx.keys.seal(tx.keys.unseal(row._mapping[name]))}))
    return len(rows)
