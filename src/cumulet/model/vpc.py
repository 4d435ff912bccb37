"""VPCs: an account's routers, each with a range of its own that may overlap another account's."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib import ids
from cumulet.lib.errors import Failure
from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text

vpc = sa.Table(
    "vpc",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    text("cidr", 20),
    sa.Column("vni", sa.BigInteger, nullable=False, unique=True),
    flag("is_default"),
    id_column("dhcp_options"),
    flag("dns_support", True),
    flag("dns_hostnames", True),
    moment("created"),
)
"""`vni` is the VPC's number on the wire between hosts."""
TRIES = 20


def create(tx: Tx, values: dict[str, object]) -> None:
    """A new VPC, with a number that no other has."""
    for _ in range(TRIES):
        try:
            with tx.attempt():
                tx.insert(vpc, {**values, "vni": ids.vni()})
        except IntegrityError:
            continue
        return
    raise Failure(f"{TRIES} numbers chosen for the VPC {values['id']} were all taken")


def find(tx: Tx, account: str, id: str) -> Row | None:
    return tx.first(sa.select(vpc).where(vpc.c.id == id, vpc.c.account == account))


def by_id(tx: Tx, id: str) -> Row | None:
    """A VPC, whoever it belongs to."""
    return tx.first(sa.select(vpc).where(vpc.c.id == id))


def default(tx: Tx, account: str) -> Row | None:
    return tx.first(_DEFAULT, account=account)


_DEFAULT = sa.select(vpc).where(vpc.c.account == sa.bindparam("account"), vpc.c.is_default)


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(sa.select(vpc).where(vpc.c.account == account).order_by(vpc.c.created, vpc.c.id))
