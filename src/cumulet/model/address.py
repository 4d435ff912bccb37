"""Public addresses: Elastic IPs of an account, and those given to an interface for as long as its guest runs."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, metadata, moment, text

address = sa.Table(
    "address",
    metadata,
    text("public_ip", 15, key=True),
    id_column("account", index=True),
    sa.Column("allocation", sa.String(40), nullable=True, unique=True),
    id_column("association", null=True),
    id_column("interface", null=True, index=True),
    moment("created"),
)
"""`allocation` is null for an address that comes and goes with a running guest."""


def ranges(pool: Sequence[str]) -> list[tuple[int, int]]:
    """First and last address of each part of the pool (CIDR, without network and broadcast; or FIRST-LAST)."""
    found = []
    for part in pool:
        first, dash, last = part.partition("-")
        if dash:
            found.append((int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last))))
            continue
        network = ipaddress.IPv4Network(part)
        edge = 1 if network.num_addresses > 2 else 0
        found.append((int(network[0]) + edge, int(network[-1]) - edge))
    return found


def take(tx: Tx, pool: Sequence[str], values: dict[str, object], wanted: str | None = None) -> str | None:
    """Write down a free address of the pool (or `wanted`, if it is free) with `values`; None when there is none."""
    for candidate in [wanted] if wanted else _candidates(tx, pool):
        try:
            with tx.attempt():
                tx.insert(address, {**values, "public_ip": candidate, "created": tx.now})
        except IntegrityError:
            continue
        return candidate
    return None


def _candidates(tx: Tx, pool: Sequence[str]) -> Iterator[str]:
    parts = ranges(pool)
    size = sum(last - first + 1 for first, last in parts)
    for index in random.sample(range(size), min(size, 16)):
        yield _at(parts, index)
    taken = set(tx.connection.scalars(sa.select(address.c.public_ip)))
    yield from (found for index in range(size) if (found := _at(parts, index)) not in taken)


def _at(parts: list[tuple[int, int]], index: int) -> str:
    for first, last in parts:
        if index <= last - first:
            return str(ipaddress.IPv4Address(first + index))
        index -= last - first + 1
    raise IndexError(index)


def in_pool(pool: Sequence[str], public_ip: str) -> bool:
    number = int(ipaddress.IPv4Address(public_ip))
    return any(first <= number <= last for first, last in ranges(pool))


def of_interface(tx: Tx, interface: str) -> Row | None:
    """The address that reaches the interface: its Elastic IP before the one that comes and goes."""
    return tx.first(_OF_INTERFACE, of=interface)


_OF_INTERFACE = (
    sa.select(address)
    .where(address.c.interface == sa.bindparam("of"))
    .order_by(address.c.allocation.is_(None), address.c.created.desc())
)


def holder(tx: Tx, public_ip: str) -> str | None:
    """The interface that a public address reaches."""
    found: str | None = tx.value(sa.select(address.c.interface).where(address.c.public_ip == public_ip))
    return found


def of_account(tx: Tx, account: str) -> list[Row]:
    """All of an account's, also those that come and go (their `allocation` is None)."""
    return tx.all(_OF_ACCOUNT, of=account)


_OF_ACCOUNT = (
    sa.select(address).where(address.c.account == sa.bindparam("of")).order_by(address.c.created, address.c.public_ip)
)


def of_interfaces(tx: Tx, interfaces: list[str]) -> list[Row]:
    return tx.all(_OF_INTERFACES, of=interfaces)


_OF_INTERFACES = (
    sa.select(address).where(address.c.interface.in_(sa.bindparam("of", expanding=True))).order_by(address.c.created)
)


def by_interface(tx: Tx, account: str) -> dict[str, Row]:
    """Interface id to the address that reaches it, for all of an account's: Elastic IPs before the others."""
    found = [row for row in of_account(tx, account) if row.interface is not None]
    return {row.interface: row for row in sorted(found, key=lambda row: row.allocation is not None)}


def release_automatic(tx: Tx, interface: str) -> None:
    """Give back the address that came with the running guest."""
    tx.change(address.delete().where(address.c.interface == interface, address.c.allocation.is_(None)))


def disassociate(tx: Tx, interface: str) -> None:
    """The interface loses its Elastic IPs; the account keeps them."""
    mine = sa.and_(address.c.interface == interface, address.c.allocation.is_not(None))
    tx.change(address.update().where(mine).values(interface=None, association=None))


def take_automatic(tx: Tx, pool: Sequence[str], interface: Row) -> str | None:
    """Take the address that comes with a running guest, if its interface wants one and has none; None if it was not."""
    if not interface.wants_public_ip or of_interface(tx, interface.id) is not None:
        return None
    return take(tx, pool, {"account": interface.account, "interface": interface.id})


def count(tx: Tx, account: str) -> int:
    """How many Elastic IPs the account has."""
    mine = sa.and_(address.c.account == account, address.c.allocation.is_not(None))
    return int(tx.value(sa.select(sa.func.count()).select_from(address).where(mine)))


def elastic(tx: Tx, account: str, *, allocation: str = "", association: str = "", public_ip: str = "") -> Row | None:
    """The account's Elastic IP that one of these names; it stays as it is until the end of the transaction."""
    named = {"allocation": allocation, "association": association, "public_ip": public_ip}
    given = [address.c[column] == value for column, value in named.items() if value]
    mine = sa.and_(address.c.account == account, address.c.allocation.is_not(None))
    return tx.first(sa.select(address).where(mine, *given).with_for_update()) if given else None


def associate(tx: Tx, public_ip: str, interface: str, association: str) -> None:
    """The Elastic IP reaches this interface from now on, and no other."""
    mine = address.update().where(address.c.public_ip == public_ip)
    tx.change(mine.values(interface=interface, association=association))


def let_go(tx: Tx, public_ip: str) -> None:
    """The Elastic IP reaches nothing any more; the account keeps it."""
    tx.change(address.update().where(address.c.public_ip == public_ip).values(interface=None, association=None))


def release(tx: Tx, public_ip: str) -> bool:
    """Give an Elastic IP that reaches nothing back to the pool; False if it reaches something."""
    free = sa.and_(address.c.public_ip == public_ip, address.c.interface.is_(None))
    return tx.change(address.delete().where(free)) == 1
