"""What accounts have used: a row for each time that an instance ran, from its start to its end."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, metadata, moment, text, whole

instance_use = sa.Table(
    "instance_use",
    metadata,
    id_column("instance", key=True),
    sa.Column("begun", sa.Double, primary_key=True),
    id_column("account", index=True),
    text("type", 32),
    whole("vcpus"),
    whole("memory_mib"),
    moment("ended", index=True),
)
"""`ended` is null while it runs. Rows stay when the instance is gone."""


class Use(NamedTuple):
    """Of one account in a period; an instance that ran for half an hour is half an instance-hour."""

    account: str
    instances: int
    instance_hours: float
    vcpu_hours: float
    memory_gib_hours: float


def begin(tx: Tx, row: Row) -> None:
    """The instance runs from now on."""
    end(tx, row.id)
    shared = {"account": row.account, "type": row.type, "vcpus": row.vcpus, "memory_mib": row.memory_mib}
    tx.insert(instance_use, {**shared, "instance": row.id, "begun": tx.now, "ended": None})


def end(tx: Tx, instance: str) -> None:
    """It does not run any more, if it did."""
    tx.change(_END, of=instance, now=tx.now)


_END = (
    instance_use.update()
    .where(instance_use.c.instance == sa.bindparam("of"), instance_use.c.ended.is_(None))
    .values(ended=sa.bindparam("now"))
)


def between(tx: Tx, since: float, until: float) -> list[Use]:
    """What each account has used from `since` to `until`."""
    ended = sa.func.coalesce(instance_use.c.ended, tx.now)
    query = sa.select(instance_use).where(instance_use.c.begun < until, ended > since)
    found: dict[str, list[Row]] = {}
    for row in tx.all(query.order_by(instance_use.c.account, instance_use.c.begun)):
        found.setdefault(row.account, []).append(row)
    return [_summed(account, rows, since, until, tx.now) for account, rows in found.items()]


def _summed(account: str, rows: list[Row], since: float, until: float, now: float) -> Use:
    hours = [(row, max(0.0, min(row.ended or now, until) - max(row.begun, since)) / 3600) for row in rows]
    return Use(
        account,
        len({row.instance for row in rows}),
        sum(time for _, time in hours),
        sum(row.vcpus * time for row, time in hours),
        sum(row.memory_mib / 1024 * time for row, time in hours),
    )
