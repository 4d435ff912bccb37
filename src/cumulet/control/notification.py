"""What must be true of an account's messages of events: the broker has each, in order, at least once."""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.model import notification

SOME = 100
"""Messages of a run, so that it ends well inside its lease."""


def reconcile(run: Run, id: str) -> None:
    """Publish what waits; what the broker has confirmed is forgotten, and sent again if that is lost."""
    with run.read() as tx:
        rows = notification.waiting(tx, id, SOME)
    sent = []
    try:
        for row in rows:
            run.publish(row.routing_key, row.message.encode())
            sent.append(row)
    finally:
        if sent:
            with run.write() as tx:
                for row in sent:
                    notification.forget(tx, row)
    if len(rows) == SOME:
        raise Later(0, "there are more")


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """Nothing about a message is impossible: it waits."""
