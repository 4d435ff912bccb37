"""Placement groups: instances that should be close together, apart from each other, or apart by partitions."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model.database import Row, Tx
from cumulet.model.instance import instance
from cumulet.model.schema import id_column, metadata, moment, text, whole

placement_group = sa.Table(
    "placement_group",
    metadata,
    id_column(key=True),
    id_column("account"),
    text("name"),
    text("strategy", 12),
    text("spread_level", 10),
    whole("partitions"),
    moment("created"),
    sa.UniqueConstraint("account", "name"),
)
"""`strategy` is cluster, spread (`spread_level`: host or rack) or partition (`partitions`: how many)."""


def of_account(tx: Tx, account: str) -> list[Row]:
    query = sa.select(placement_group).where(placement_group.c.account == account)
    return tx.all(query.order_by(placement_group.c.created, placement_group.c.id))


def hold(tx: Tx, id: str) -> Row | None:
    """The group; nobody else joins it or is placed by it until the end of the transaction."""
    return tx.first(_HOLD, of=id)


_HOLD = sa.select(placement_group).where(placement_group.c.id == sa.bindparam("of")).with_for_update()


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(placement_group).where(placement_group.c.id == id))


def hold_named(tx: Tx, account: str, *, name: str = "", id: str = "") -> Row | None:
    """The account's group of this name or id, held as by `hold`."""
    mine = placement_group.c.name == name if name else placement_group.c.id == id
    query = sa.select(placement_group).where(placement_group.c.account == account, mine)
    return tx.first(query.with_for_update())


def add(tx: Tx, values: dict[str, object]) -> bool:
    """Write down a new one; False if the account has one of this name."""
    try:
        with tx.attempt():
            tx.insert(placement_group, {**values, "created": tx.now})
    except IntegrityError:
        return False
    return True


def delete(tx: Tx, id: str) -> None:
    tx.change(placement_group.delete().where(placement_group.c.id == id))


def members(tx: Tx, id: str) -> list[Row]:
    """Id, zone, host and partition_number of the group's instances that are not terminated."""
    return tx.all(_MEMBERS, of=id)


_MEMBERS = (
    sa.select(instance.c.id, instance.c.zone, instance.c.host, instance.c.partition_number)
    .where(instance.c.placement_group == sa.bindparam("of"), instance.c.state != "terminated")
    .order_by(instance.c.id)
)
