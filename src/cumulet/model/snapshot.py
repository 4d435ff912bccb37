"""Snapshots: what was on a volume at one moment, kept on the volume's host."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, metadata, moment, text, whole

snapshot = sa.Table(
    "snapshot",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("volume", index=True),
    text("host", 64, default=None),
    text("desired", 10, default="present"),
    text("state", 12, default="pending"),
    whole("size_gib"),
    text("description"),
    text("reason"),
    moment("created"),
)
"""`state` is pending; prepared, when its host has made a new top layer, which the guest that writes must change to;
switched, when no guest writes below that any more; completed, or error."""
UNFINISHED = ("pending", "prepared", "switched")


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(snapshot).where(snapshot.c.id == sa.bindparam("of"))


def of_account(tx: Tx, account: str) -> list[Row]:
    query = sa.select(snapshot).where(snapshot.c.account == account)
    return tx.all(query.order_by(snapshot.c.created, snapshot.c.id))


def unfinished(tx: Tx, volume: str) -> list[str]:
    """The snapshots of a volume that are being made."""
    query = sa.select(snapshot.c.id).where(snapshot.c.volume == volume, snapshot.c.state.in_(UNFINISHED))
    return list(tx.connection.scalars(query))


def prepared(tx: Tx, volumes: list[str]) -> list[str]:
    """The snapshots that wait for the guest with these volumes."""
    return list(tx.connection.scalars(_PREPARED, {"these": volumes})) if volumes else []


_PREPARED = sa.select(snapshot.c.id).where(
    snapshot.c.volume.in_(sa.bindparam("these", expanding=True)), snapshot.c.state == "prepared"
)


def move(tx: Tx, id: str, expected: str, state: str, **values: Any) -> bool:
    """Bring the snapshot from one state to the next; False if it was not in the first."""
    mine = sa.and_(snapshot.c.id == id, snapshot.c.state == expected)
    return tx.change(snapshot.update().where(mine).values(state=state, **values)) == 1


def change(tx: Tx, id: str, **values: Any) -> None:
    tx.change(snapshot.update().where(snapshot.c.id == id).values(**values))


def remove(tx: Tx, id: str) -> None:
    tx.change(snapshot.delete().where(snapshot.c.id == id))
