"""What a lost host may still have of things that are elsewhere now: it is taken away when the host is back.

`epoch` is the number of that order: higher than those that the host was given for the thing, and lower than any that it
is given if the thing comes there once more.
"""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model import work
from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, metadata, text, whole

left_behind = sa.Table(
    "left_behind",
    metadata,
    text("role", 20, key=True),
    text("host", 64, key=True),
    id_column(key=True),
    whole("epoch"),
)


def add(tx: Tx, role: str, host: str, id: str, epoch: int) -> None:
    tx.change(left_behind.delete().where(_this(role, host, id)))
    tx.insert(left_behind, {"role": role, "host": host, "id": id, "epoch": epoch})
    work.wake(tx, "sweep", f"{role}.{host}")


def on(tx: Tx, role: str, host: str) -> list[Row]:
    """What this role of a host may have."""
    return tx.all(_ON, of_role=role, of_host=host)


_ON = sa.select(left_behind).where(
    left_behind.c.role == sa.bindparam("of_role"), left_behind.c.host == sa.bindparam("of_host")
)


def forget(tx: Tx, row: Row) -> None:
    """The host does not have it any more."""
    tx.change(left_behind.delete().where(_this(row.role, row.host, row.id), left_behind.c.epoch == row.epoch))


def forget_host(tx: Tx, host: str) -> None:
    """The host is gone for good."""
    tx.change(left_behind.delete().where(left_behind.c.host == host))


def _this(role: str, host: str, id: str) -> sa.ColumnElement[bool]:
    return sa.and_(left_behind.c.role == role, left_behind.c.host == host, left_behind.c.id == id)
