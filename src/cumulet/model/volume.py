"""Volumes: disks of guests, each kept on one host. What guest has one is an attachment (`model.attachment`)."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, flag, id_column, json, metadata, moment, text, whole
from cumulet.model.work import wake

volume = sa.Table(
    "volume",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    text("zone", 64),
    text("host", 64, default=None),
    text("moving_to", 64),
    text("moved_from", 64),
    text("store", 64),
    text("desired", 10, default="present"),
    text("state", 12, default="creating"),
    text("reason", 255),
    whole("size_gib"),
    whole("made_gib"),
    text("type", 12, default="gp3"),
    whole("iops"),
    whole("throughput"),
    id_column("image_file", null=True, index=True),
    id_column("snapshot", null=True, index=True),
    id_column("base", null=True, index=True),
    flag("auto_enable_io"),
    moment("created"),
    moment("modified"),
    json("before"),
    body("sealed"),
)
"""`state` is creating, ready (the host has made it) or error. `iops` and `throughput` (MiB/s) are the limits that were
asked for, 0 where none was. One that is launched with an instance has no `host` before that has one. `made_gib` is how
large its disk is, less than `size_gib` while it grows; `before` is what it was when it was `modified`. While it is
moved no guest has it: it is on `host` and copied to `moving_to`, then on `host` and to be deleted on `moved_from`. One
that is ready and has no `host` is kept by none, since that was lost; it is in the directory `store` (`model.host`).
`base` is the image file below the `snapshot` that it was made from. `sealed` is the key by which it is encrypted,
sealed with the cloud's keys; empty: it is not encrypted. Snapshots of it, and what is made from them, have the same."""
HIDDEN = "-"
"""The account of a volume that only a snapshot is taken of: it is nobody's, and goes when that is complete."""
_UNMADE = sa.and_(volume.c.state == "creating", volume.c.desired == "present")


def new_key(tx: Tx) -> str:
    """A key for an encrypted volume, sealed."""
    return tx.keys.seal(base64.b64encode(secrets.token_bytes(32)))


def key(tx: Tx, row: Row) -> str:
    """The key of a volume or a snapshot; empty: it is not encrypted."""
    return tx.keys.unseal(row.sealed).decode() if row.sealed else ""


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(volume).where(volume.c.id == sa.bindparam("of"))


def to_be_made_from(tx: Tx, snapshot: str) -> list[str]:
    """The volumes that stand on this snapshot and are not made yet."""
    return list(tx.connection.scalars(sa.select(volume.c.id).where(volume.c.snapshot == snapshot, _UNMADE)))


def say_ready(tx: Tx, id: str) -> bool:
    """Its host has made it; False if it was not being made any more."""
    return tx.change(_SAY_READY, of=id) > 0


_SAY_READY = (
    volume.update()
    .where(volume.c.id == sa.bindparam("of"), volume.c.state == "creating")
    .values(state="ready", made_gib=volume.c.size_gib)
)


def begin_move(tx: Tx, id: str, here: str, there: str) -> bool:
    """It is to be copied from the host `here` to `there`; False if it is not as it was, or not at rest."""
    still = sa.and_(volume.c.id == id, volume.c.host == here, volume.c.desired == "present", volume.c.state == "ready")
    rests = sa.and_(volume.c.moving_to == "", volume.c.moved_from == "", volume.c.made_gib == volume.c.size_gib)
    return tx.change(volume.update().where(still, rests).values(moving_to=there)) == 1


def say_moved(tx: Tx, row: Row) -> bool:
    """It is on the host that it was to be moved to; False if that is not so any more."""
    mine = sa.and_(volume.c.id == row.id, volume.c.moving_to == row.moving_to, volume.c.desired == "present")
    values = {"host": row.moving_to, "moved_from": row.host, "moving_to": ""}
    return tx.change(volume.update().where(mine).values(**values)) == 1


def give_up_move(tx: Tx, row: Row) -> bool:
    """It stays where it is, and what there is of it on the other host is to be deleted; False if it does not move."""
    mine = sa.and_(volume.c.id == row.id, volume.c.moving_to == row.moving_to)
    return tx.change(volume.update().where(mine).values(moved_from=row.moving_to, moving_to="")) == 1


def change(tx: Tx, id: str, **values: Any) -> None:
    tx.change(volume.update().where(volume.c.id == id).values(**values))


def let_hidden_go(tx: Tx, id: str) -> None:
    """The snapshot that it was made for is complete, or cannot be: it goes, if it is nobody's."""
    mine = sa.and_(volume.c.id == id, volume.c.account == HIDDEN)
    if tx.change(volume.update().where(mine).values(desired="absent")):
        wake(tx, "volume", id)


def totals(tx: Tx, account: str) -> tuple[int, int]:
    """How many volumes the account has, and how many GiB."""
    found = tx.first(_TOTALS, of=account)
    assert found is not None
    return int(found.volumes), int(found.gib or 0)


_SUMS: list[sa.ColumnElement[Any]] = [sa.func.count().label("volumes"), sa.func.sum(volume.c.size_gib).label("gib")]
_TOTALS = sa.select(*_SUMS).where(volume.c.account == sa.bindparam("of"))


def grows(row: Row) -> bool:
    """Whether it is to become larger than its disk is."""
    return bool(row.state == "ready" and row.made_gib < row.size_gib)


def say_grown(tx: Tx, id: str, gib: int) -> bool:
    """Its disk has become so large; False if it was already."""
    mine = sa.and_(volume.c.id == id, volume.c.made_gib < gib)
    return tx.change(volume.update().where(mine).values(made_gib=gib)) == 1
