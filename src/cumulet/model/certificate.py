"""The certificates that the cloud has given to accounts: what they sign is theirs."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model.database import Tx
from cumulet.model.schema import body, id_column, metadata, moment, text

certificate = sa.Table(
    "certificate",
    metadata,
    text("serial", 40, key=True),
    id_column("account", index=True),
    body("pem"),
    moment("created"),
)
"""`serial` in hex, as the authority has it."""


def add(tx: Tx, account: str, serial: int, pem: bytes) -> None:
    tx.insert(certificate, {"serial": f"{serial:x}", "account": account, "pem": pem.decode(), "created": tx.now})


def of_account(tx: Tx, account: str) -> list[bytes]:
    """Those that are not revoked, the newest first."""
    query = sa.select(certificate).where(certificate.c.account == account)
    return [row.pem.encode() for row in tx.all(query.order_by(certificate.c.created.desc()))]


def revoke(tx: Tx, serial: int) -> None:
    """What it has signed is nobody's from now on."""
    tx.change(certificate.delete().where(certificate.c.serial == f"{serial:x}"))
