"""Security groups, their rules, and on which hosts they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model.database import Row, Tx
from cumulet.model.interface import interface, interface_group
from cumulet.model.schema import flag, id_column, metadata, moment, text, whole
from cumulet.model.work import wake

group = sa.Table(
    "security_group",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("vpc"),
    text("name"),
    text("description"),
    text("desired", 10, default="present"),
    moment("created"),
    sa.UniqueConstraint("vpc", "name"),
)
rule = sa.Table(
    "security_group_rule",
    metadata,
    id_column(key=True),
    id_column("group_id", index=True),
    id_column("account"),
    flag("egress"),
    text("protocol", 10),
    whole("from_port", None),
    whole("to_port", None),
    text("cidr", 20, default=None),
    text("cidr_ipv6", 50, default=None),
    id_column("source_group", null=True, index=True),
    text("description", default=None),
    moment("created"),
)
group_host = sa.Table(
    "security_group_host",
    metadata,
    id_column("group_id", key=True),
    text("host", 64, key=True),
)
"""Written before the first order to the host, removed after the last."""


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(group).where(group.c.id == sa.bindparam("of"))


def present(tx: Tx, account: str, id: str) -> Row | None:
    """An account's group that is there; it stays as it is until the end of the transaction."""
    return tx.first(_HELD, of=id, account=account)


def named(tx: Tx, account: str, vpc: str, name: str) -> Row | None:
    return tx.first(_NAMED, account=account, vpc=vpc, name=name)


def named_alike(tx: Tx, account: str, vpc: str, name: str) -> bool:
    """Whether the VPC has a group of this name, in capitals or not."""
    return tx.first(_ALIKE, account=account, vpc=vpc, name=name.lower()) is not None


def count_in_vpc(tx: Tx, vpc: str) -> int:
    mine = sa.and_(group.c.vpc == vpc, group.c.desired == "present")
    return int(tx.value(sa.select(sa.func.count()).select_from(group).where(mine)))


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(_OF_ACCOUNT, account=account)


_PRESENT = sa.select(group).where(group.c.account == sa.bindparam("account"), group.c.desired == "present")
_NAMED = _PRESENT.where(group.c.vpc == sa.bindparam("vpc"), group.c.name == sa.bindparam("name"))
_ALIKE = _PRESENT.where(group.c.vpc == sa.bindparam("vpc"), sa.func.lower(group.c.name) == sa.bindparam("name"))
_OF_ACCOUNT = _PRESENT.order_by(group.c.created, group.c.id)
_HELD = _PRESENT.where(group.c.id == sa.bindparam("of")).with_for_update()


def rules(tx: Tx, id: str) -> list[Row]:
    return tx.all(_RULES, of=id)


_RULES = sa.select(rule).where(rule.c.group_id == sa.bindparam("of")).order_by(rule.c.created, rule.c.id)


def rules_of_account(tx: Tx, account: str) -> list[Row]:
    query = sa.select(rule).join(group, group.c.id == rule.c.group_id).where(group.c.account == account)
    return tx.all(query.where(group.c.desired == "present").order_by(rule.c.created, rule.c.id))


def is_used(tx: Tx, id: str) -> bool:
    """Whether an interface is in the group, or another group's rule names it."""
    member = sa.select(interface_group.c.interface).where(interface_group.c.group_id == id).limit(1)
    return tx.first(member) is not None or any(other != id for other in referring(tx, id))


def add_rules(tx: Tx, row: Row, egress: bool, values: Iterable[Mapping[str, object]]) -> list[Row]:
    """Write down rules of the group `row`; gives them with their ids, in this order."""
    shared = {"group_id": row.id, "account": row.account, "egress": egress, "created": tx.now}
    made = [{**one, **shared, "id": ids.new("rule")} for one in values]
    tx.insert(rule, *made)
    written = {one.id: one for one in rules(tx, row.id)}
    return [written[one["id"]] for one in made]


def change_rule(tx: Tx, id: str, values: Mapping[str, object]) -> None:
    tx.change(rule.update().where(rule.c.id == id).values(**values))


def drop_rules(tx: Tx, id: str, gone: Iterable[str]) -> None:
    """These rules of the group are no more; the groups concerned are woken."""
    wake_with_references(tx, id)
    tx.change(rule.delete().where(rule.c.group_id == id, rule.c.id.in_(list(gone))))


def delete(tx: Tx, id: str) -> None:
    """The group should be gone; its name is free at once and its rules name no other group any more."""
    wake_with_references(tx, id)
    tx.change(rule.delete().where(rule.c.group_id == id))
    mine = sa.and_(group.c.id == id, group.c.desired == "present")
    tx.change(group.update().where(mine).values(desired="absent", name=id))


def referring(tx: Tx, id: str) -> list[str]:
    """The groups whose rules name this group, itself included when it does."""
    return [row.group_id for row in tx.all(_REFERRING, of=id)]


_REFERRING = sa.select(rule.c.group_id).where(rule.c.source_group == sa.bindparam("of")).distinct()


def of_interface(tx: Tx, interface_id: str) -> list[Row]:
    """Id and name of each group that the interface is in, in a stable order."""
    return tx.all(_OF_INTERFACE, of=interface_id)


_OF_INTERFACE = (
    sa.select(group.c.id, group.c.name)
    .join(interface_group, interface_group.c.group_id == group.c.id)
    .where(interface_group.c.interface == sa.bindparam("of"))
    .order_by(group.c.id)
)


def member_addresses(tx: Tx, id: str) -> list[str]:
    """Private addresses of the interfaces in the group that are on a host."""
    query = (
        sa.select(interface.c.ip)
        .join(interface_group, interface_group.c.interface == interface.c.id)
        .where(interface_group.c.group_id == id, interface.c.host.is_not(None))
    )
    return sorted(tx.connection.scalars(query))


def wanted_hosts(tx: Tx, id: str) -> set[str]:
    """The hosts that need the group: they have a member of it, or of a group whose rules name it."""
    found = tx.all(_WANTED_HOSTS, of=[id, *referring(tx, id)])
    return {name for row in found for name in (row.host, row.also_on) if name}


_WANTED_HOSTS = (
    sa.select(interface.c.host, interface.c.also_on)
    .join(interface_group, interface_group.c.interface == interface.c.id)
    .where(interface_group.c.group_id.in_(sa.bindparam("of", expanding=True)), interface.c.host.is_not(None))
    .distinct()
)


def hosts(tx: Tx, id: str) -> set[str]:
    """The hosts that may have the group now."""
    return set(tx.connection.scalars(sa.select(group_host.c.host).where(group_host.c.group_id == id)))


def wake_with_references(tx: Tx, id: str) -> None:
    """Have the group looked at, and the groups that its rules name: their members' set may be needed elsewhere now."""
    query = sa.select(rule.c.source_group).where(rule.c.group_id == id, rule.c.source_group.is_not(None))
    for other in {id, *tx.connection.scalars(query)}:
        wake(tx, "group", other)


def wake_of_interface(tx: Tx, interface_id: str) -> None:
    """An interface came, went or changed its groups."""
    for id in tx.connection.scalars(_CONCERNED, {"of": interface_id}).all():
        wake(tx, "group", id)


_ITS_OWN = sa.select(interface_group.c.group_id).where(interface_group.c.interface == sa.bindparam("of"))
_CONCERNED = sa.union(
    _ITS_OWN,
    sa.select(rule.c.source_group)
    .join(interface_group, interface_group.c.group_id == rule.c.group_id)
    .where(interface_group.c.interface == sa.bindparam("of"), rule.c.source_group.is_not(None)),
)
"""The interface's groups, and those that their rules name (`wake_with_references`)."""
