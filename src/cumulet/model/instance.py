"""Instances: what should run, what runs, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from cumulet.model.attachment import attachment
from cumulet.model.database import Row, Tx
from cumulet.model.interface import interface
from cumulet.model.schema import body, flag, id_column, json, metadata, moment, text, whole
from cumulet.model.work import work

instance = sa.Table(
    "instance",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("reservation", index=True),
    whole("launch_index"),
    id_column("image"),
    id_column("image_file", null=True),
    text("boot", 10, default="bios"),
    text("kernel", 40),
    text("kernel_file", 40),
    text("ramdisk", 40),
    text("ramdisk_file", 40),
    text("architecture", 20, default="x86_64"),
    text("type", 32),
    whole("vcpus"),
    whole("memory_mib"),
    text("zone", 64),
    text("host", 64, default=None, index=True),
    flag("claimed"),
    text("placed_because"),
    sa.Column("placement_group", sa.String(40), nullable=True, index=True),
    whole("partition_number", None),
    text("tenancy", 10, default="default"),
    text("wanted_host", 64),
    text("moving_to", 64),
    flag("moves_live"),
    flag("moves_off_else"),
    whole("moves"),
    whole("moved_percent"),
    text("not_moved"),
    moment("move_asked"),
    whole("fenced", None),
    text("recovering", 64),
    id_column("vpc"),
    id_column("subnet"),
    text("desired", 12, default="running"),
    text("state", 16, default="pending"),
    whole("generation", 1),
    moment("force_after"),
    text("reason_code", 64),
    body("reason"),
    text("transition_reason"),
    text("key_name"),
    body("public_key"),
    body("user_data"),
    text("root_device", 20, default="/dev/sda1"),
    flag("disable_api_termination"),
    flag("disable_api_stop"),
    text("shutdown_behavior", 10, default="stop"),
    json("metadata_options"),
    json("attributes"),
    text("client_token", 64),
    moment("created"),
    moment("launched"),
    moment("ended", index=True),
)
"""`desired` is running, stopped or terminated; `state` is AWS's name of it; `generation` counts the starts;
`launched` is when it was last started; `ended` when it was terminated. `host` is kept while anything is there,
`kernel` and `ramdisk` are the images that it boots with instead of what its own has, `…_file` their files;
`claimed` says that its capacity there is promised (`model.capacity`), `placed_because` why it is there. While it
`moves_live`, its capacity is promised on `moving_to` too; `moves_off_else` says that it goes by a stop and a start
where it cannot live. `moves` counts the moves that were asked for, `not_moved` is why the last one did not come
about, or is not to; `move_asked` when it was asked for. `fenced` is the lease by which alone its host runs it, None
where that runs it come what may; `recovering` the lost host that it was on, until it runs on another one."""

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
"""AWS's instance state codes (EC2 API: InstanceState)."""


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(instance).where(instance.c.id == sa.bindparam("of"))


def of_account(tx: Tx, account: str) -> list[Row]:
    """An account's instances in the order of their launch, terminated ones while they are visible."""
    return tx.all(_OF_ACCOUNT, account=account)


_IN_ORDER = instance.c.created, instance.c.reservation, instance.c.launch_index
_OF_ACCOUNT = sa.select(instance).where(instance.c.account == sa.bindparam("account")).order_by(*_IN_ORDER)


def of_ids(tx: Tx, account: str, ids: Iterable[str]) -> list[Row]:
    """Those of these instances that are the account's, as `Tx.held` has them."""
    return tx.all(_OF_IDS_HELD if tx.writes else _OF_IDS, account=account, ids=list(ids))


_OF_IDS = (
    sa.select(instance)
    .where(instance.c.account == sa.bindparam("account"), instance.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(*_IN_ORDER)
)
_OF_IDS_HELD = _OF_IDS.with_for_update()


def of_reservation(tx: Tx, account: str, reservation: str) -> list[Row]:
    """The instances of one launch, in their order."""
    return tx.all(_OF_RESERVATION, of=reservation, account=account)


_OF_RESERVATION = (
    sa.select(instance)
    .where(instance.c.reservation == sa.bindparam("of"), instance.c.account == sa.bindparam("account"))
    .order_by(instance.c.launch_index)
)


UNFINISHED = ("pending", "stopping", "shutting-down")


def troubles(tx: Tx, account: str) -> dict[str, Row]:
    """The account's instances that are held up: id to the work row (`error`, `tries`) of what they wait for.

    That is the instance's own, or that of a disk or an interface of it which has failed and is tried again.
    """
    return {row.id: row for query in _TROUBLES for row in tx.all(query, of=account)}


def _troubles() -> Iterator[sa.Select[Any]]:
    mine = sa.and_(instance.c.account == sa.bindparam("of"), instance.c.state.in_(UNFINISHED))
    columns = instance.c.id, work.c.error, work.c.tries
    own = sa.select(*columns).join(work, work.c.id == instance.c.id)
    yield own.where(mine, work.c.kind == "instance", work.c.error != "")
    for kind, owner, id in (
        ("volume", attachment.c.instance, attachment.c.volume),
        ("interface", interface.c.instance, interface.c.id),
    ):
        parts = sa.select(*columns).join(owner.table, owner == instance.c.id)
        failed = sa.and_(work.c.kind == kind, work.c.tries > 0, work.c.error != "")
        yield parts.join(work, work.c.id == id).where(mine, failed)


_TROUBLES = list(_troubles())


def impaired(tx: Tx, account: str) -> set[str]:
    """The account's running instances that are not as they should be, which is tried to mend."""
    mine = sa.and_(instance.c.account == account, instance.c.state == "running")
    query = sa.select(instance.c.id).join(work, work.c.id == instance.c.id)
    return set(tx.connection.scalars(query.where(mine, work.c.kind == "instance", work.c.tries > 0)))


def move(tx: Tx, id: str, expected: dict[str, Any], **values: Any) -> bool:
    """Change the row if it still is as `expected` says (a value, or a list of values, by column); whether it was."""
    return tx.update(instance, {"id": id, **expected}, **values) == 1


def count_living(tx: Tx, account: str) -> int:
    """The account's instances that are not terminated."""
    mine = sa.and_(instance.c.account == account, instance.c.desired != "terminated")
    return int(tx.value(sa.select(sa.func.count()).select_from(instance).where(mine)))


class Use(NamedTuple):
    """What an account's instances that are not terminated take together."""

    instances: int
    vcpus: int
    memory_mib: int


def use(tx: Tx, account: str) -> Use:
    row = tx.first(_USE, of=account)
    assert row is not None
    return Use(*(int(value or 0) for value in row))


_SUMS: list[sa.ColumnElement[Any]] = [
    sa.func.count().label("instances"),
    sa.func.sum(instance.c.vcpus).label("vcpus"),
    sa.func.sum(instance.c.memory_mib).label("memory_mib"),
]
_USE = sa.select(*_SUMS).where(instance.c.account == sa.bindparam("of"), instance.c.desired != "terminated")


def outlived(tx: Tx, seconds: float) -> list[str]:
    """The instances that were terminated longer ago than this."""
    query = sa.select(instance.c.id).where(instance.c.state == "terminated", instance.c.ended < tx.now - seconds)
    return list(tx.connection.scalars(query))


def on_host(tx: Tx, host: str) -> list[Row]:
    return tx.all(sa.select(instance).where(instance.c.host == host))


def moving_live(tx: Tx, hosts: list[str]) -> list[Row]:
    """Those that move from or to these hosts while they run, in the order in which that was asked for."""
    there = sa.or_(instance.c.host.in_(hosts), instance.c.moving_to.in_(hosts))
    query = sa.select(instance.c.id, instance.c.host, instance.c.moving_to).where(instance.c.moves_live, there)
    return tx.all(query.order_by(instance.c.move_asked, instance.c.id))


def on_the_way_to(tx: Tx, host: str) -> list[Row]:
    """Those that move there while they run."""
    return tx.all(sa.select(instance).where(instance.c.moving_to == host, instance.c.moves_live))
