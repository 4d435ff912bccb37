"""Turns: so many guests move at once while they run, from a host and to it together; others wait in their order.

Whose turn it is follows from the rows alone. A move goes on when, at each of its two hosts, fewer than so many that
were asked for earlier are not at their end. So the first in the order always goes on, and nothing is to be undone when
one ends, is given up or dies.
"""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.lib.errors import Later
from cumulet.model import Tx, host, instance, work
from cumulet.model.database import Row

LOOK_SECONDS = 5.0
"""From look to look at a turn that is awaited; whoever ends a move wakes those who wait."""
_NAMED = 5


def await_turn(run: Run, row: Row) -> None:
    """It is this instance's turn to move; ends in `Later` until it is."""
    most = run.settings.live_moves_at_once
    with run.read() as tx:
        before = _before(tx, row)
    for name in (row.host, row.moving_to):
        ahead = [one.id for one in before if name in (one.host, one.moving_to)]
        if len(ahead) >= most:
            shown = ", ".join(ahead[:_NAMED]) + (", …" if len(ahead) > _NAMED else "")
            raise Later(
                LOOK_SECONDS,
                f"it waits for its turn to move to {row.moving_to}: {len(ahead)} before it move from or to {name} "
                f"({shown}), and {most} do so at once (live_moves_at_once)",
            )


def _before(tx: Tx, row: Row) -> list[Row]:
    """The moves of its hosts that were asked for before its own; not those that wait for a host that is silent."""
    moves = instance.moving_live(tx, [row.host, row.moving_to])
    ids = [one.id for one in moves]
    before = moves[: ids.index(row.id)] if row.id in ids else []
    names = {name for one in before for name in (one.host, one.moving_to)}
    silent = {name for name in names if host.is_silent(tx, host.services_of(tx, name).get("compute"))}
    return [one for one in before if not silent & {one.host, one.moving_to}]


def wake_next(tx: Tx, row: Row) -> None:
    """The instance does not move any more: it may be the turn of those that move from or to the same hosts."""
    for one in sorted(instance.moving_live(tx, [row.host, row.moving_to]), key=lambda one: str(one.id)):
        if one.id != row.id:
            work.wake(tx, "instance", one.id)
