"""Who else may use a thing, by name or as one of all: the same of images and of snapshots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cumulet.model.database import Tx


class Shares:
    """Of the rows of `things`, which have a flag `public`; `held` has a row for a thing (`of`) and an account."""

    def __init__(self, things: sa.Table, held: sa.Table, of: str) -> None:
        self._things = things
        self._held = held
        self._of: sa.Column[Any] = held.c[of]

    def accounts(self, tx: Tx, id: str) -> list[str]:
        """Those that the thing was opened to."""
        query = sa.select(self._held.c.account).where(self._of == id).order_by(self._held.c.account)
        return list(tx.connection.scalars(query))

    def open_to(self, tx: Tx, id: str, accounts: Iterable[str]) -> None:
        """These may use it."""
        wanted = list(dict.fromkeys(accounts))
        self.close_to(tx, id, wanted)
        tx.insert(self._held, *({self._of.name: id, "account": account} for account in wanted))

    def close_to(self, tx: Tx, id: str, accounts: Iterable[str]) -> None:
        """These may not use it any more."""
        tx.change(self._held.delete().where(self._of == id, self._held.c.account.in_(list(accounts))))

    def publish(self, tx: Tx, id: str, public: bool) -> None:
        """Whether all may use it."""
        tx.change(self._things.update().where(self._things.c.id == id).values(public=public))

    def close(self, tx: Tx, id: str) -> None:
        """Nobody but its account may use it any more."""
        self.forget(tx, id)
        self.publish(tx, id, False)

    def forget(self, tx: Tx, id: str) -> None:
        """It is opened to nobody by name."""
        tx.change(self._held.delete().where(self._of == id))
