"""VPCs: an account's routers, each with a range of its own that may overlap another account's."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text

vpc = sa.Table(
    "vpc",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    text("cidr", 20),
    flag("is_default"),
    id_column("dhcp_options"),
    flag("dns_support", True),
    flag("dns_hostnames", True),
    moment("created"),
)


def find(tx: Tx, account: str, id: str) -> Row | None:
    return tx.first(sa.select(vpc).where(vpc.c.id == id, vpc.c.account == account))


def default(tx: Tx, account: str) -> Row | None:
    return tx.first(sa.select(vpc).where(vpc.c.account == account, vpc.c.is_default))


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(sa.select(vpc).where(vpc.c.account == account).order_by(vpc.c.created, vpc.c.id))
