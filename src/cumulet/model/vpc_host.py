"""VPCs with guests on several hosts: where the guests are, and which hosts know of those elsewhere."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.host import host
from cumulet.model.interface import interface
from cumulet.model.prepared import often
from cumulet.model.schema import id_column, metadata, text
from cumulet.model.work import wake

vpc_host = sa.Table(
    "vpc_host",
    metadata,
    id_column("vpc", key=True),
    text("host", 64, key=True),
)
"""Written before the first order to the host, removed after the last."""


def guests(tx: Tx, vpc: str) -> list[Row]:
    """Each interface of the VPC that is on a host: its `ip`, the `host`, and the `address` of that ("" for none)."""
    return tx.all(_GUESTS, of=vpc)


_GUESTS = (
    sa.select(interface.c.ip, interface.c.host, sa.func.coalesce(host.c.address, "").label("address"))
    .outerjoin(host, host.c.name == interface.c.host)
    .where(interface.c.vpc == sa.bindparam("of"), interface.c.host.is_not(None))
    .order_by(interface.c.ip)
)


def also(tx: Tx, vpc: str) -> dict[str, str]:
    """The hosts that an interface of the VPC may be on besides its own, each with its address ("" for none)."""
    query = sa.select(interface.c.also_on, sa.func.coalesce(host.c.address, "").label("address"))
    query = query.outerjoin(host, host.c.name == interface.c.also_on)
    rows = tx.all(query.where(interface.c.vpc == vpc, interface.c.also_on != "").distinct())
    return {row.also_on: row.address for row in rows}


def hosts(tx: Tx, vpc: str) -> set[str]:
    """The hosts that may have a tunnel of the VPC now."""
    return set(tx.connection.scalars(sa.select(vpc_host.c.host).where(vpc_host.c.vpc == vpc)))


def cut_off(tx: Tx) -> dict[str, str]:
    """VPC to what is wrong with it, where it has several hosts and some have no address on the underlay."""
    query = (
        sa.select(interface.c.vpc, interface.c.host, host.c.address)
        .outerjoin(host, host.c.name == interface.c.host)
        .where(interface.c.host.is_not(None))
        .distinct()
    )
    found: dict[str, dict[str, str]] = {}
    for row in tx.all(query):
        found.setdefault(row.vpc, {})[row.host] = row.address or ""
    alone = {vpc: ", ".join(without_address(places)) for vpc, places in found.items()}
    return {vpc: f"guests on {names} reach no other host: no tunnel_address" for vpc, names in alone.items() if names}


def without_address(places: dict[str, str]) -> list[str]:
    """Those of several hosts, each with its address, that have none."""
    return sorted(name for name, address in places.items() if not address) if len(places) > 1 else []


def wake_vpc(tx: Tx, vpc: str) -> None:
    """An interface of the VPC came to a host or left it. A cloud of one host has nothing to look at."""
    if tx.value(_HOSTS) > 1:
        wake(tx, "vpc", vpc)


_HOSTS = often(sa.select(sa.func.count()).select_from(sa.select(host.c.name).limit(2).subquery()))


def wake_of_host(tx: Tx, name: str) -> None:
    """A host's address is another one."""
    query = sa.select(interface.c.vpc).where(interface.c.host == name).distinct()
    for vpc in tx.connection.scalars(query).all():
        wake_vpc(tx, vpc)
