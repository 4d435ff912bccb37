"""The operator's table of instance types: rows that add to those that there are, replace one, or take one away."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.lib import instance_types
from cumulet.lib.config import Config
from cumulet.lib.instance_types import Kind
from cumulet.model.database import Row, Tx
from cumulet.model.prepared import often
from cumulet.model.schema import flag, json, metadata, moment, text, whole

instance_type = sa.Table(
    "instance_type",
    metadata,
    text("name", 32, key=True),
    whole("vcpus"),
    whole("memory_mib"),
    json("requires"),
    flag("offered", True),
    moment("created"),
)
"""One that is not `offered` hides the type of this name; instances of it go on."""


def catalogue(tx: Tx, config: Config) -> dict[str, Kind]:
    """All the instance types by name."""
    known = instance_types.catalogue(config)
    own = rows(tx)
    if not own:
        return known
    hidden = {row.name for row in own}
    return {name: kind for name, kind in known.items() if name not in hidden} | {
        row.name: Kind(name=row.name, vcpus=row.vcpus, memory_mib=row.memory_mib, requires=row.requires)
        for row in own
        if row.offered
    }


def rows(tx: Tx) -> list[Row]:
    return tx.all(_ROWS)


_ROWS = often(sa.select(instance_type).order_by(instance_type.c.created, instance_type.c.name))


def put(tx: Tx, name: str, **values: object) -> None:
    """Write the row of this name, in place of the one that was there."""
    tx.change(instance_type.delete().where(instance_type.c.name == name))
    tx.insert(instance_type, {"name": name, "created": tx.now, **values})


def forget(tx: Tx, name: str) -> bool:
    """The type of this name is again as the program and its configuration have it; False where it was so."""
    return tx.change(instance_type.delete().where(instance_type.c.name == name)) == 1
