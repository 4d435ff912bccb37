"""Subnets: a part of a VPC's range in one zone, and the addresses in it."""

from __future__ import annotations

import ipaddress
import random

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text
from cumulet.model.vpc import vpc

subnet = sa.Table(
    "subnet",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("vpc", index=True),
    text("zone", 64),
    text("cidr", 20),
    flag("is_default"),
    flag("map_public_ip"),
    moment("created"),
)
RESERVED = (0, 1, 2, 3, -1)
"""Network, gateway, DNS, future use and broadcast: in each subnet these are AWS's own."""


def find(tx: Tx, account: str, id: str) -> Row | None:
    return tx.first(sa.select(subnet).where(subnet.c.id == id, subnet.c.account == account))


def ranges(tx: Tx, id: str) -> Row | None:
    """`subnet_cidr`, and the `vpc_cidr` that it is a part of."""
    return tx.first(_RANGES, of=id)


_RANGES = (
    sa.select(subnet.c.cidr.label("subnet_cidr"), vpc.c.cidr.label("vpc_cidr"))
    .join(vpc, vpc.c.id == subnet.c.vpc)
    .where(subnet.c.id == sa.bindparam("of"))
)


def default(tx: Tx, account: str, zone: str | None = None) -> Row | None:
    """The account's default subnet of `zone`, or of its first zone."""
    query = sa.select(subnet).where(subnet.c.account == account, subnet.c.is_default).order_by(subnet.c.zone)
    return tx.first(query.where(subnet.c.zone == zone) if zone else query)


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(_OF_ACCOUNT, account=account)


_OF_ACCOUNT = sa.select(subnet).where(subnet.c.account == sa.bindparam("account")).order_by(subnet.c.zone, subnet.c.id)


def is_reserved(cidr: str, address: str) -> bool:
    """Whether AWS keeps this address of the subnet for itself."""
    network = ipaddress.IPv4Network(cidr)
    return ipaddress.IPv4Address(address) in {network[index] for index in RESERVED}


def candidates(cidr: str, tries: int = 40) -> list[str]:
    """Addresses worth a try, at random, and then all of a small subnet's: the unique key decides."""
    network = ipaddress.IPv4Network(cidr)
    usable = range(4, network.num_addresses - 1)
    picked = random.sample(usable, min(tries, len(usable)))
    return [str(network[index]) for index in picked]


def free_addresses(row: Row, taken: set[str], count: int) -> list[str]:
    """So many addresses of the subnet that are not in `taken`, at random; fewer when it is full."""
    network = ipaddress.IPv4Network(row.cidr)
    first, usable = int(network[0]), range(4, network.num_addresses - 1)
    picked = random.sample(usable, min(2 * count + 8, len(usable)))
    free = [found for index in picked if (found := str(ipaddress.IPv4Address(first + index))) not in taken]
    if len(free) < count:
        free = [str(network[index]) for index in usable if str(network[index]) not in taken]
    return free[:count]


def free_address(tx: Tx, row: Row, taken: set[str]) -> str | None:
    """Any address of the subnet that is not in `taken`; None when it is full."""
    network = ipaddress.IPv4Network(row.cidr)
    for index in range(4, network.num_addresses - 1):
        if str(network[index]) not in taken:
            return str(network[index])
    return None
