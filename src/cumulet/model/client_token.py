"""Client tokens: the same request with the same token gives the same answer (AWS: "Ensuring idempotency")."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, json, metadata, moment, text

KEPT_SECONDS = 24 * 3600

client_token = sa.Table(
    "client_token",
    metadata,
    id_column("account", key=True),
    text("action", 64, key=True),
    text("token", 64, key=True),
    text("fingerprint", 64),
    json("result"),
    moment("created", index=True),
)


def claim(tx: Tx, account: str, action: str, token: str, fingerprint: str, result: dict[str, Any]) -> Row | None:
    """Remember what the first request with this token makes; None for the first one, its row for all others."""
    earlier = find(tx, account, action, token)
    if earlier is not None:
        return earlier
    try:
        with tx.attempt():
            keep(tx, account, action, token, fingerprint, result)
    except IntegrityError:
        return find(tx, account, action, token)
    return None


def find(tx: Tx, account: str, action: str, token: str) -> Row | None:
    return tx.first(_FIND, account=account, action=action, token=token, since=tx.now - KEPT_SECONDS)


_FIND = sa.select(client_token).where(
    client_token.c.account == sa.bindparam("account"),
    client_token.c.action == sa.bindparam("action"),
    client_token.c.token == sa.bindparam("token"),
    client_token.c.created > sa.bindparam("since"),
)


def keep(tx: Tx, account: str, action: str, token: str, fingerprint: str, result: dict[str, Any]) -> None:
    """Remember what this request made; forget what is older than a day."""
    tx.change(_FORGET, since=tx.now - KEPT_SECONDS)
    row = {"account": account, "action": action, "token": token, "fingerprint": fingerprint}
    tx.insert(client_token, {**row, "result": result, "created": tx.now})


_FORGET = client_token.delete().where(client_token.c.created <= sa.bindparam("since"))
