"""What is to be removed from a host that may be lost: nobody waits for it, and it is removed when the host is back."""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.lib.errors import Superseded
from cumulet.lib.log import Log
from cumulet.model import host, interface, left_behind, work

log = Log("lost")


def is_lost(run: Run, name: str) -> bool:
    """Whether the host's lease has ended, and it has not taken up the next one."""
    with run.read() as tx:
        row = host.find(tx, name)
    return row is not None and bool(row.lost)


def remove(run: Run, role: str, name: str, id: str) -> None:
    """The host does not have it any more, or will not when it is back from being lost."""
    if not is_lost(run, name):
        run.driver(role, name).remove(id)
        return
    with run.write() as tx:
        left_behind.add(tx, role, name, id, run.epoch)


def take_away(run: Run, role: str, name: str) -> None:
    """A host that is back has nothing any more of what is elsewhere now."""
    with run.read() as tx:
        rows = left_behind.on(tx, role, name)
    for row in rows:
        try:
            run.numbered(role, name, row.epoch).remove(row.id)
        except Superseded:
            log.info("it is there once more", id=row.id, host=name)
        with run.write() as tx:
            left_behind.forget(tx, row)
            if role == "network" and interface.find(tx, row.id) is not None:
                work.wake(tx, "interface", row.id)  # whose address it is now, its own host says so again
