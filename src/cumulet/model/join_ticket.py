"""Join tickets: what a new host fetches once, sealed with a key that only its operator has."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, metadata, moment, text

join_ticket = sa.Table(
    "join_ticket",
    metadata,
    text("id", 32, key=True),
    text("host", 64),
    body("document"),
    moment("expires"),
)


def create(tx: Tx, host: str, document: str, seconds: float) -> str:
    """A ticket for a host, good for so many seconds, in place of any that it had; gives its id (a secret)."""
    id = ids.token()
    old = sa.or_(join_ticket.c.host == host, join_ticket.c.expires < tx.now)
    tx.change(join_ticket.delete().where(old))
    tx.insert(join_ticket, {"id": id, "host": host, "document": document, "expires": tx.now + seconds})
    return id


def take(tx: Tx, id: str) -> Row | None:
    """The ticket, which is used up by this; None for one that is not there (any more)."""
    row = tx.first(sa.select(join_ticket).where(join_ticket.c.id == id, join_ticket.c.expires > tx.now))
    if row is None or not tx.change(join_ticket.delete().where(join_ticket.c.id == id)):
        return None
    return row


def drop(tx: Tx, host: str) -> None:
    """No ticket of this host is good any more."""
    tx.change(join_ticket.delete().where(join_ticket.c.host == host))
