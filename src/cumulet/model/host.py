"""Hosts: what they can carry and what is promised of it; services: which roles run where, and when last heard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib import contract
from cumulet.lib.config import AGENTS
from cumulet.lib.errors import Failure
from cumulet.model import left_behind
from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, json, metadata, moment, text, whole
from cumulet.model.work import work

LIVE_SECONDS = 15
"""A service not heard for longer counts as dead, as `nova-manage service list` had it."""

host = sa.Table(
    "host",
    metadata,
    text("name", 64, key=True),
    json("zones"),
    whole("vcpus"),
    whole("memory_mib"),
    whole("disk_gib"),
    flag("disk_exact"),
    json("facts"),
    text("address", 15),
    whole("guest_mtu", 1500),
    text("store", 64),
    whole("lease"),
    flag("lost"),
    moment("renewed"),
    sa.Column("fence_seconds", sa.Double, nullable=False, default=0.0),
    json("attributes"),
    whole("revision"),
    whole("used_vcpus"),
    whole("used_memory_mib"),
    whole("used_disk_gib"),
)
"""`facts` is what the host says of itself, `attributes` what the operator says of it. `address` is the host's on the
underlay that joins hosts, empty where it has none; `guest_mtu` the largest packet of its guests. `store` is the name of
the directory of volumes that it shares with others, empty where it has its own. `disk_exact`: its volumes have all
their room at once (LVM, thick), so that it promises no more than there is. `revision` is one more whenever something
has changed that placement goes by; `used_…` is what `model.capacity` has promised. The rest is of the lease on
the host (`model.host_lease`)."""
service = sa.Table(
    "service",
    metadata,
    text("role", 20, key=True),
    text("host", 64, key=True),
    text("zone", 64),
    flag("enabled", True),
    whole("contract", 1),
    moment("heard"),
    moment("since"),
    text("seen", 16),
)
"""It has been heard again and again `since` then; `seen` is the digest of what it said it has."""
GUEST_ROLES = ("compute", "network", "volume")
"""The roles that a guest needs on its own host."""


def heard(tx: Tx, role: str, name: str, zone: str, version: int = 1, seen: str = "") -> None:
    """The service has been heard now; `version` is that of its contract, `seen` the digest of what it has."""
    given = {"now": tx.now, "after": tx.now - LIVE_SECONDS, "at": zone, "version": version, "digest": seen}
    if not tx.change(_HEARD, part=role, of=name, **given):
        values = {"heard": tx.now, "zone": zone, "contract": version, "seen": seen}
        with suppress(IntegrityError), tx.attempt():  # its roles may be several processes: another one was quicker
            tx.insert(service, {"role": role, "host": name, "since": tx.now, **values})


_HEARD = (
    service.update()
    .where(service.c.role == sa.bindparam("part"), service.c.host == sa.bindparam("of"))
    .ordered_values(  # since first: MariaDB would compare with the new `heard`
        (
            "since",
            sa.case(
                (service.c.heard > sa.bindparam("after"), service.c.since), else_=sa.bindparam("now", type_=sa.Double)
            ),
        ),
        ("heard", sa.bindparam("now", type_=sa.Double)),
        ("zone", sa.bindparam("at")),
        ("contract", sa.bindparam("version")),
        ("seen", sa.bindparam("digest")),
    )
)


def heard_again(tx: Tx, names: list[str], roles: Sequence[str]) -> bool:
    """These services of the hosts have been heard now, if they were heard lately too; whether that is so of all."""
    values = {"of": names, "these": list(roles), "after": tx.now - LIVE_SECONDS, "now": tx.now}
    return tx.change(_HEARD_AGAIN, **values) == len(names) * len(roles)


_HEARD_AGAIN = (
    service.update()
    .where(
        service.c.host.in_(sa.bindparam("of", expanding=True)),
        service.c.role.in_(sa.bindparam("these", expanding=True)),
        service.c.heard > sa.bindparam("after"),
    )
    .values(heard=sa.bindparam("now"))
)


def services_of(tx: Tx, name: str) -> dict[str, Row]:
    """Those of a host that have been heard, by role."""
    return {row.role: row for row in tx.all(_SERVICES_OF, of=name)}


_SERVICES_OF = sa.select(service).where(service.c.host == sa.bindparam("of"))


def is_silent(tx: Tx, row: Row | None) -> bool:
    """Whether this service has not been heard lately, though it has been before."""
    return row is not None and row.heard < tx.now - LIVE_SECONDS


def describe(tx: Tx, name: str, values: dict[str, Any]) -> None:
    """Write down what a host is: zones, vcpus, memory_mib, disk_gib, disk_exact, facts, address, guest_mtu, store."""
    row = find(tx, name)
    if row is None:
        with suppress(IntegrityError), tx.attempt():
            tx.insert(host, {"name": name, **values})
    elif any(row._mapping[column] != value for column, value in values.items()):
        _revise(tx, name, values)


def says(tx: Tx, name: str, fact: str) -> bool:
    """Whether the host says this of itself (`facts`)."""
    row = find(tx, name)
    return row is not None and fact in row.facts


def set_enabled(tx: Tx, name: str, enabled: bool) -> None:
    """Whether new instances and volumes are placed on the host; raises `Failure` for one without a compute service."""
    mine = sa.and_(service.c.role == "compute", service.c.host == name)
    if not tx.change(service.update().where(mine).values(enabled=enabled)):
        raise Failure(_unknown(tx, name))
    _revise(tx, name, {})


def set_attributes(tx: Tx, name: str, changes: dict[str, str]) -> dict[str, str]:
    """Change what the operator says of the host, an empty value takes a key away; gives all of it."""
    row = find(tx, name)
    if row is None:
        raise Failure(_unknown(tx, name))
    kept = {key: value for key, value in {**row.attributes, **changes}.items() if value}
    _revise(tx, name, {"attributes": kept})
    return kept


def attributes_of(row: Row) -> dict[str, str]:
    """What holds of a host: its own configuration's `host_attributes`, and before them those set by the operator."""
    return {**row.facts.get("attributes", {}), **row.attributes}


def _revise(tx: Tx, name: str, values: dict[str, Any]) -> None:
    tx.change(host.update().where(host.c.name == name).values(**values, revision=host.c.revision + 1))


def _unknown(tx: Tx, name: str) -> str:
    known = [row.name for row in all(tx)]
    return f"there is no host {name} with a compute service; there are: {', '.join(known) or 'none yet'}"


def services(tx: Tx) -> list[Row]:
    return tx.all(sa.select(service).order_by(service.c.role, service.c.host))


def living(tx: Tx, role: str) -> set[str]:
    """The hosts whose service of this role is enabled and has been heard lately."""
    return {row.host for row in _living(tx, role)}


def usable(tx: Tx, role: str) -> set[str]:
    """Those of `living` that understand the orders of this program."""
    return {row.host for row in _living(tx, role) if contract.understood(row.contract)}


def _living(tx: Tx, role: str) -> list[Row]:
    mine = sa.and_(service.c.role == role, service.c.enabled, service.c.heard > tx.now - LIVE_SECONDS)
    return tx.all(sa.select(service.c.host, service.c.contract).where(mine))


def find(tx: Tx, name: str) -> Row | None:
    return tx.first(_FIND, of=name)


_FIND = sa.select(host).where(host.c.name == sa.bindparam("of"))


def address(tx: Tx, name: str) -> str:
    """Where other hosts reach it; empty where they do not, since it has no `tunnel_address`."""
    found = find(tx, name)
    return str(found.address) if found is not None else ""


def of_store(tx: Tx, store: str) -> str | None:
    """A host that has this directory of volumes and whose volume service has been heard lately; None: no such."""
    heard = sa.and_(service.c.role == "volume", service.c.heard > tx.now - LIVE_SECONDS)
    query = sa.select(host.c.name).join(service, service.c.host == host.c.name).where(heard, host.c.store == store)
    found: str | None = tx.value(query.order_by(host.c.name))
    return found


def share_volumes(tx: Tx, one: str, other: str) -> bool:
    """Whether both hosts have the same directory of volumes."""
    stores = [row.store for row in named(tx, [one, other])]
    return len(stores) == 2 and stores[0] == stores[1] != ""


def open_the_same(tx: Tx, one: str, other: str) -> bool:
    """Whether guests of both hosts open by themselves what is in the pool of volumes that both have."""
    return share_volumes(tx, one, other) and says(tx, one, "opens") and says(tx, other, "opens")


def guest_mtu(tx: Tx, name: str | None) -> int:
    """The largest packet of the guests on a host."""
    found: int | None = tx.value(_GUEST_MTU, of=name)
    return found or 1500


_GUEST_MTU = sa.select(host.c.guest_mtu).where(host.c.name == sa.bindparam("of"))


def all(tx: Tx) -> list[Row]:
    return tx.all(sa.select(host).order_by(host.c.name))


def named(tx: Tx, names: list[str]) -> list[Row]:
    return tx.all(sa.select(host).where(host.c.name.in_(names)))


def promises(tx: Tx) -> list[Any]:
    """Name, revision, used_vcpus, used_memory_mib and used_disk_gib of each host: what changes with each placement."""
    return [*tx.connection.execute(_PROMISES)]


_PROMISES = sa.select(host.c.name, host.c.revision, host.c.used_vcpus, host.c.used_memory_mib, host.c.used_disk_gib)


def presence(tx: Tx) -> list[Any]:
    """Each host with a compute service: host, enabled, roles (how many of `GUEST_ROLES`), heard (when all were).

    And the oldest and the newest contract of these.
    """
    return [*tx.connection.execute(_PRESENCE)]


_IS_COMPUTE = service.c.role == "compute"
_PRESENCE = (
    sa.select(
        service.c.host,
        sa.func.min(service.c.heard).label("heard"),
        sa.func.count().label("roles"),
        sa.func.min(sa.case((sa.and_(_IS_COMPUTE, sa.not_(service.c.enabled)), 0), else_=1)).label("enabled"),
        sa.func.min(service.c.contract).label("oldest"),
        sa.func.max(service.c.contract).label("newest"),
    )
    .where(service.c.role.in_(GUEST_ROLES))
    .group_by(service.c.host)
    .having(sa.func.max(sa.case((_IS_COMPUTE, 1), else_=0)) == 1)
)


def served_zones(tx: Tx) -> set[str]:
    """The zones of the hosts whose compute service is enabled and alive."""
    return {zone for row in tx.all(_SERVED, since=tx.now - LIVE_SECONDS) for zone in row.zones}


_SERVED = (
    sa.select(host.c.zones)
    .join(service, service.c.host == host.c.name)
    .where(service.c.role == "compute", service.c.enabled, service.c.heard > sa.bindparam("since"))
)


def forget(tx: Tx, name: str) -> None:
    """The host and its services are no more, until they are heard again."""
    tx.change(service.delete().where(service.c.host == name))
    tx.change(host.delete().where(host.c.name == name))
    left_behind.forget_host(tx, name)
    swept = work.c.id.in_([f"{role}.{name}" for role in (*AGENTS, "lease")])
    tx.change(work.delete().where(work.c.kind == "sweep", swept))


def forget_promises(tx: Tx) -> None:
    """Nothing is on any host any more (a test's reset)."""
    tx.change(host.update().values(used_vcpus=0, used_memory_mib=0, used_disk_gib=0))
