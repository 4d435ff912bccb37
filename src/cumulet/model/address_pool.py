"""Pools of public addresses that the operator has made by command, besides the setting `public_pool`."""

from __future__ import annotations

import ipaddress

import sqlalchemy as sa

from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model.address import ranges
from cumulet.model.database import Row, Tx
from cumulet.model.prepared import often
from cumulet.model.schema import metadata, moment, text

address_pool = sa.Table(
    "address_pool",
    metadata,
    text("range", 33, key=True),
    moment("created"),
)
"""`range` is a CIDR, whose network and broadcast addresses are left out, or FIRST-LAST."""


def made(tx: Tx) -> list[Row]:
    """Those of the command, the oldest first."""
    return tx.all(_MADE)


_MADE = often(sa.select(address_pool).order_by(address_pool.c.created, address_pool.c.range))


def all(tx: Tx, config: Config) -> list[str]:
    """Each range that public addresses are taken from."""
    return [*config.public_pool, *(row.range for row in made(tx))]


def of(tx: Tx, public_ip: str) -> str | None:
    """The range made by command that has this address, as FIRST-LAST; None where the configuration has it."""
    number = int(ipaddress.IPv4Address(public_ip))
    for row in made(tx):
        ((first, last),) = ranges([row.range])
        if first <= number <= last:
            return shown(first, last)
    return None


def create(tx: Tx, config: Config, range: str) -> None:
    """Have one more; raises `Failure` for what is no range, or overlaps another."""
    first, last = ends(range)
    for other in all(tx, config):
        ((its_first, its_last),) = ranges([other])
        if first <= its_last and its_first <= last:
            where = "the setting public_pool" if other in config.public_pool else "`cumulet pool list`"
            raise Failure(f"{range} overlaps {other}, which is in {where}")
    tx.insert(address_pool, {"range": range, "created": tx.now})


def remove(tx: Tx, range: str) -> bool:
    """Take none from it any more; False where there is no such."""
    return tx.change(address_pool.delete().where(address_pool.c.range == range)) == 1


def ends(range: str) -> tuple[int, int]:
    """First and last address of a range that is to be used; raises `Failure` for what is none."""
    try:
        ((first, last),) = ranges([range])
    except ValueError as e:
        right = "such as 198.51.100.0/24 or 198.51.100.10-198.51.100.20"
        raise Failure(f"{range!r} is no range of IPv4 addresses, {right}: {e}") from None
    if first > last:
        raise Failure(f"{range!r} ends before it begins")
    return first, last


def shown(first: int, last: int) -> str:
    return f"{ipaddress.IPv4Address(first)}-{ipaddress.IPv4Address(last)}"
