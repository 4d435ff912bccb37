"""The keys of encrypted volumes, for orders: no other thing has one, and most need no look into the database for it."""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.model import volume
from cumulet.model.database import Row


def key_of(run: Run, row: Row) -> str:
    """That of a volume or a snapshot; empty: it is not encrypted."""
    if not row.sealed:
        return ""
    with run.read() as tx:
        return volume.key(tx, row)
