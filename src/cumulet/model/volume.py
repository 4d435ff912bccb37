"""Volumes: disks of a guest, each on one host."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text, whole

volume = sa.Table(
    "volume",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    text("zone", 64),
    text("host", 64, default=None),
    text("desired", 10, default="present"),
    text("state", 12, default="creating"),
    whole("size_gib"),
    text("type", 12, default="gp3"),
    id_column("image_file", null=True, index=True),
    id_column("instance", null=True, index=True),
    text("device", 32),
    flag("delete_on_termination", True),
    moment("attached"),
    moment("created"),
)
"""`state` is creating or ready: whether the host has made it."""


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(volume).where(volume.c.id == sa.bindparam("of"))


def say_ready(tx: Tx, id: str) -> bool:
    """Its host has made it; False if it was not being made any more."""
    return tx.change(_SAY_READY, of=id) > 0


_SAY_READY = (
    volume.update().where(volume.c.id == sa.bindparam("of"), volume.c.state == "creating").values(state="ready")
)


def of_instance(tx: Tx, instance: str) -> list[Row]:
    return tx.all(_OF_INSTANCE, of=instance)


_OF_INSTANCE = sa.select(volume).where(volume.c.instance == sa.bindparam("of")).order_by(volume.c.device, volume.c.id)


def of_instances(tx: Tx, instances: list[str]) -> list[Row]:
    query = sa.select(volume).where(volume.c.instance.in_(instances))
    return tx.all(query.order_by(volume.c.created, volume.c.id))


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(sa.select(volume).where(volume.c.account == account).order_by(volume.c.created, volume.c.id))
