"""Replicas: snapshots on other hosts than their own, for volumes that are made of them there.

A replica is a row among the snapshots that is nobody's. It is taken of a volume that is nobody's either, which is made
from the snapshot on its own host, moved to the other one, and goes when the replica is complete. Neither has room
promised to it, as no snapshot has. What was made of a replica stands without it.
"""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib import ids
from cumulet.model.database import Row, Tx
from cumulet.model.snapshot import let_go, snapshot
from cumulet.model.volume import HIDDEN, let_hidden_go, volume
from cumulet.model.work import wake

USED_SECONDS = 600.0
"""`used` is right to within this."""


def at(tx: Tx, of: str, host: str) -> Row | None:
    """The replica of a snapshot on a host."""
    return tx.first(_AT, of=of, at=host)


_AT = sa.select(snapshot).where(snapshot.c.replica_of == sa.bindparam("of"), snapshot.c.host == sa.bindparam("at"))


def hosts(tx: Tx, of: str) -> set[str]:
    """Those that have a replica of the snapshot that is complete and stays."""
    there = snapshot.c.replica_of == of, snapshot.c.state == "completed", snapshot.c.desired == "present"
    return set(tx.connection.scalars(sa.select(snapshot.c.host).where(*there)))


def want(tx: Tx, origin: Row, host: str, zone: str) -> None:
    """Have a replica of the snapshot made on that host."""
    same = {"account": HIDDEN, "sealed": origin.sealed, "created": tx.now}
    disk = {**same, "id": ids.new("volume"), "zone": zone, "host": origin.host, "snapshot": origin.id}
    row = {**same, "id": ids.new("snapshot"), "volume": disk["id"], "host": host, "replica_of": origin.id}
    with suppress(IntegrityError), tx.attempt():  # somebody else may be quicker
        tx.insert(snapshot, {**row, "size_gib": origin.size_gib, "used": tx.now})
        tx.insert(volume, {**disk, "size_gib": 0, "base": origin.base})
        wake(tx, "volume", disk["id"])
        wake(tx, "snapshot", row["id"])


def say_used(tx: Tx, row: Row) -> None:
    """Something is made of it."""
    if row.used < tx.now - USED_SECONDS:
        tx.update(snapshot, {"id": row.id}, used=tx.now)


def wake_waiting(tx: Tx, row: Row) -> None:
    """What waits for the snapshot, if it is a replica, goes on."""
    if row.replica_of is None:
        return
    waits = volume.c.host == row.host, volume.c.snapshot == row.replica_of, volume.c.state == "creating"
    for id in tx.connection.scalars(sa.select(volume.c.id).where(*waits)):
        wake(tx, "volume", id)


def let_go_all(tx: Tx, of: str) -> list[str]:
    """All replicas of a snapshot are to go; gives those that are still there."""
    return _let_go(tx, snapshot.c.replica_of == of)


def let_go_unused(tx: Tx, seconds: float) -> None:
    """Replicas of which nothing was made for so long are to go."""
    _let_go(tx, snapshot.c.used < tx.now - seconds, snapshot.c.desired == "present")


def leave_host(tx: Tx, host: str) -> None:
    """The replicas on a host are to go."""
    _let_go(tx, snapshot.c.host == host)


def forget_host(tx: Tx, host: str) -> None:
    """The host is gone for good, and what was being made for it goes."""
    there = sa.and_(snapshot.c.replica_of.is_not(None), snapshot.c.host == host)
    for row in tx.all(sa.select(snapshot).where(there)):
        let_hidden_go(tx, row.volume)
        wake(tx, "snapshot", row.id)  # which forgets what it was to do
    tx.change(snapshot.delete().where(there))


def _let_go(tx: Tx, *which: sa.ColumnElement[bool]) -> list[str]:
    rows = tx.all(sa.select(snapshot).where(snapshot.c.replica_of.is_not(None), *which))
    for row in rows:
        let_go(tx, row.id)
    return [row.id for row in rows]
