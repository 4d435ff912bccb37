"""Hosts: what they can carry; services: which roles run where, and when they were last heard."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib.config import AGENTS
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
    json("facts"),
    text("address", 15),
    whole("guest_mtu", 1500),
)
"""`address` is the host's on the underlay that joins hosts, empty where it has none; `guest_mtu` the largest packet of
its guests."""
service = sa.Table(
    "service",
    metadata,
    text("role", 20, key=True),
    text("host", 64, key=True),
    text("zone", 64),
    flag("enabled", True),
    whole("contract", 1),
    moment("heard"),
)


def heard(tx: Tx, role: str, name: str, zone: str, contract: int = 1) -> None:
    """The service has been heard now."""
    mine = sa.and_(service.c.role == role, service.c.host == name)
    values = {"heard": tx.now, "zone": zone, "contract": contract}
    if not tx.change(service.update().where(mine).values(**values)):
        tx.insert(service, {"role": role, "host": name, **values})


def describe(tx: Tx, name: str, values: dict[str, Any]) -> None:
    """Write down what a host is: zones, vcpus, memory_mib, disk_gib, facts, address, guest_mtu."""
    if not tx.change(host.update().where(host.c.name == name).values(**values)):
        tx.insert(host, {"name": name, **values})


def services(tx: Tx) -> list[Row]:
    return tx.all(sa.select(service).order_by(service.c.role, service.c.host))


def find(tx: Tx, name: str) -> Row | None:
    return tx.first(sa.select(host).where(host.c.name == name))


def guest_mtu(tx: Tx, name: str | None) -> int:
    """The largest packet of the guests on a host."""
    found: int | None = tx.value(_GUEST_MTU, of=name)
    return found or 1500


_GUEST_MTU = sa.select(host.c.guest_mtu).where(host.c.name == sa.bindparam("of"))


def all(tx: Tx) -> list[Row]:
    return tx.all(sa.select(host).order_by(host.c.name))


def usable(tx: Tx) -> list[Row]:
    """The hosts whose compute service is enabled and alive."""
    alive = sa.and_(service.c.role == "compute", service.c.enabled, service.c.heard > tx.now - LIVE_SECONDS)
    return tx.all(sa.select(host).join(service, service.c.host == host.c.name).where(alive).order_by(host.c.name))


def forget(tx: Tx, name: str) -> None:
    """The host and its services are no more, until they are heard again."""
    tx.change(service.delete().where(service.c.host == name))
    tx.change(host.delete().where(host.c.name == name))
    swept = work.c.id.in_([f"{role}.{name}" for role in AGENTS])
    tx.change(work.delete().where(work.c.kind == "sweep", swept))
