"""Fixed networks: ranges that the operator has cut for accounts. A new account's default VPC gets the next free one."""

from __future__ import annotations

import ipaddress
from itertools import islice

import sqlalchemy as sa

from cumulet.lib.errors import Failure
from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, metadata, moment
from cumulet.model.schema import text as text_column

LARGEST, SMALLEST = 16, 28
"""The prefixes that AWS allows of a VPC."""

fixed_network = sa.Table(
    "fixed_network",
    metadata,
    text_column("cidr", 20, key=True),
    text_column("label"),
    id_column("account", null=True, index=True),
    moment("created"),
)
"""`account` is whose default VPC has it; null while nobody's has."""


def all(tx: Tx) -> list[Row]:
    found = tx.all(sa.select(fixed_network))
    return sorted(found, key=lambda row: ipaddress.IPv4Network(row.cidr))


def create(tx: Tx, label: str, whole: str, count: int, size: int) -> list[str]:
    """Cut `count` networks of `size` addresses from `whole`, the lowest that overlap no other; gives their ranges.

    Raises `Failure` for what cannot be cut so, or overlaps another.
    """
    there = _network(whole)
    prefix = 32 - (size - 1).bit_length()
    if size != 1 << (32 - prefix) or not LARGEST <= prefix <= SMALLEST:
        raise Failure(f"a network has 16, 32, 64 … or 65536 addresses, not {size}")
    if prefix < there.prefixlen or count > 1 << (prefix - there.prefixlen):
        raise Failure(f"{whole} has not room for {count} networks of {size} addresses")
    cut = list(islice(there.subnets(new_prefix=prefix), count))
    for row in all(tx):
        for one in cut:
            if one.overlaps(ipaddress.IPv4Network(row.cidr)):
                raise Failure(f"{one} overlaps {row.cidr} ({row.label}): `cumulet network list` shows all of them")
    names = [label if count == 1 else f"{label}_{number}" for number in range(count)]
    shared = {"account": None, "created": tx.now}
    tx.insert(
        fixed_network, *({**shared, "cidr": str(one), "label": name} for one, name in zip(cut, names, strict=True))
    )
    return [str(one) for one in cut]


def remove(tx: Tx, cidr: str) -> None:
    """Raises `Failure` for one that is not there, or that an account has."""
    row = tx.first(sa.select(fixed_network).where(fixed_network.c.cidr == cidr))
    if row is None:
        raise Failure(f"there is no network {cidr}: `cumulet network list` shows all of them")
    free = sa.and_(fixed_network.c.cidr == cidr, fixed_network.c.account.is_(None))
    if not tx.change(fixed_network.delete().where(free)):
        raise Failure(f"the network {cidr} is that of the account {row.account}")


def take(tx: Tx, account: str) -> str | None:
    """Give the account the lowest that is free; None where the operator has made no networks.

    Raises `Failure` when all are given.
    """
    rows = all(tx)
    if not rows:
        return None
    for row in rows:
        free = sa.and_(fixed_network.c.cidr == row.cidr, fixed_network.c.account.is_(None))
        if tx.change(fixed_network.update().where(free).values(account=account)):
            return str(row.cidr)
    raise Failure(f"all {len(rows)} networks are given to accounts: `cumulet network create` makes more")


def give_back(tx: Tx, account: str) -> None:
    """The account has none any more."""
    tx.change(fixed_network.update().where(fixed_network.c.account == account).values(account=None))


def _network(text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as e:
        raise Failure(f"{text!r} is no IPv4 range, such as 10.0.0.0/8: {e}") from None
