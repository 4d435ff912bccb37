"""Snapshots: what was on a volume at one moment, kept on the volume's host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cumulet.model.attachment import attachment
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, flag, id_column, metadata, moment, text, whole
from cumulet.model.sharing import Shares
from cumulet.model.work import wake

snapshot = sa.Table(
    "snapshot",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("volume", index=True),
    id_column("source", null=True, index=True),
    id_column("instance", null=True, index=True),
    id_column("base", null=True, index=True),
    id_column("replica_of", null=True),
    text("host", 64, default=None),
    text("desired", 10, default="present"),
    text("state", 12, default="pending"),
    whole("size_gib"),
    text("description"),
    text("reason"),
    flag("public"),
    moment("created"),
    moment("completed"),
    body("sealed"),
    moment("used"),
    sa.UniqueConstraint("replica_of", "host"),
)
"""`source` is the snapshot of which this is a copy, whose `volume` is `NO_VOLUME` then. `instance` is the one of whose
volumes several snapshots are taken at one moment. `base` is the image file that it stands on, if it does.
`replica_of` is the snapshot that this one is on another host (`model.replica`), which was `used` last then.
`state` is waiting, until that instance's reconciler lets it begin; pending; prepared, when its host has made a new top
layer, which the guest that writes must change to; switched, when no guest writes below that any more; completed, or
error. `sealed` is the key of what it is encrypted by, as that of a volume."""
UNFINISHED = ("waiting", "pending", "prepared", "switched")
NO_VOLUME = "vol-ffffffff"
"""AWS's id of the volume of a snapshot that was copied."""

snapshot_permission = sa.Table(
    "snapshot_permission",
    metadata,
    id_column("snapshot", key=True),
    sa.Column("account", sa.String(40), primary_key=True, index=True),
)
"""An account that may make volumes from a snapshot of another's."""
SHARES = Shares(snapshot, snapshot_permission, "snapshot")


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(snapshot).where(snapshot.c.id == sa.bindparam("of"))


def of_account(tx: Tx, account: str) -> list[Row]:
    query = sa.select(snapshot).where(snapshot.c.account == account)
    return tx.all(query.order_by(snapshot.c.created, snapshot.c.id))


def count(tx: Tx, account: str) -> int:
    """How many snapshots the account has that are not to go."""
    mine = sa.and_(snapshot.c.account == account, snapshot.c.desired == "present")
    return int(tx.value(sa.select(sa.func.count()).select_from(snapshot).where(mine)))


def visible(tx: Tx, account: str) -> list[Row]:
    """The snapshots from which an account may make volumes, with `shared`: whether it was named to by name."""
    mine = snapshot_permission.c.snapshot == snapshot.c.id
    shared = sa.exists().where(mine, snapshot_permission.c.account == account)
    usable = sa.or_(snapshot.c.account == account, snapshot.c.public, shared)
    query = sa.select(snapshot, shared.label("shared")).where(usable)
    return tx.all(query.order_by(snapshot.c.created, snapshot.c.id))


def is_open_to(tx: Tx, row: Row, account: str) -> bool:
    """Whether the account may make volumes from the snapshot."""
    return row.account == account or row.public or account in SHARES.accounts(tx, row.id)


def homes(tx: Tx, ids: Iterable[str | None]) -> dict[str, str]:
    """Snapshot to the host that it is kept on, for those of these that are kept."""
    wanted = [id for id in ids if id]
    if not wanted:
        return {}
    kept = sa.and_(snapshot.c.id.in_(wanted), snapshot.c.host.is_not(None))
    return {row.id: str(row.host) for row in tx.all(sa.select(snapshot.c.id, snapshot.c.host).where(kept))}


def leave_host(tx: Tx, volume: str, host: str) -> None:
    """The snapshots of a volume are kept by no host, until the volume is kept by one again."""
    tx.change(snapshot.update().where(snapshot.c.volume == volume, snapshot.c.host == host).values(host=None))


def _orphans(tx: Tx, volume: str) -> list[str]:
    """The snapshots of a volume that no host keeps."""
    mine = sa.and_(snapshot.c.volume == volume, snapshot.c.host.is_(None))
    return list(tx.connection.scalars(sa.select(snapshot.c.id).where(mine)))


def are_orphans(tx: Tx, volume: str) -> bool:
    """Whether a snapshot of the volume is kept by no host, until the volume is kept by one."""
    return bool(_orphans(tx, volume))


def be_kept_by(tx: Tx, volume: str, host: str) -> None:
    """Those that were kept by none are kept by this one."""
    for id in _orphans(tx, volume):
        change(tx, id, host=host)
        wake(tx, "snapshot", id)


def copies_to_be_made(tx: Tx, source: str) -> list[str]:
    """The copies of a snapshot that do not stand by themselves yet."""
    query = sa.select(snapshot.c.id).where(snapshot.c.source == source, snapshot.c.state == "pending")
    return list(tx.connection.scalars(query.where(snapshot.c.desired == "present")))


def unfinished(tx: Tx, volume: str, host: str = "") -> list[str]:
    """The snapshots of a volume that are being made, on this host or on any."""
    query = sa.select(snapshot.c.id).where(snapshot.c.volume == volume, snapshot.c.state.in_(UNFINISHED))
    return list(tx.connection.scalars(query.where(snapshot.c.host == host) if host else query))


def of_guest(tx: Tx, instance: str) -> list[Row]:
    """The snapshots of an instance's volumes which its guest must let begin, wait for or change over to."""
    return tx.all(_OF_GUEST, of=instance)


_OF_GUEST = sa.select(snapshot.c.id, snapshot.c.volume, snapshot.c.instance, snapshot.c.state).where(
    snapshot.c.volume.in_(sa.select(attachment.c.volume).where(attachment.c.instance == sa.bindparam("of"))),
    sa.or_(*(snapshot.c.state == state for state in ("waiting", "pending", "prepared"))),
)


def begin(tx: Tx, instance: str) -> None:
    """Nothing is ordered of this guest before all its snapshots are prepared: they begin now."""
    mine = sa.and_(snapshot.c.instance == instance, snapshot.c.state == "waiting")
    for id in list(tx.connection.scalars(sa.select(snapshot.c.id).where(mine))):
        if move(tx, id, "waiting", "pending"):
            wake(tx, "snapshot", id)


def move(tx: Tx, id: str, expected: str, state: str, **values: Any) -> bool:
    """Bring the snapshot from one state to the next; False if it was not in the first."""
    return tx.update(snapshot, {"id": id, "state": expected}, state=state, **values) == 1


def change(tx: Tx, id: str, **values: Any) -> None:
    tx.update(snapshot, {"id": id}, **values)


def let_go(tx: Tx, id: str) -> None:
    """Have it go."""
    change(tx, id, desired="absent")
    wake(tx, "snapshot", id)


def remove(tx: Tx, id: str) -> None:
    SHARES.forget(tx, id)
    tx.change(snapshot.delete().where(snapshot.c.id == id))
