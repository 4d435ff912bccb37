"""What is to be removed from a host that may be lost: nobody waits for it, and it is removed when the host is back."""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.lib.errors import Superseded
from cumulet.lib.log import Log
from cumulet.model import Tx, capacity, host, interface, left_behind, snapshot, work
from cumulet.model.database import Row

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


def leave_host(tx: Tx, disk: Row, place: Row) -> None:
    """A volume is kept by no host, until it is by another one that has its directory too."""
    capacity.leave_host(tx, disk, place.store)
    snapshot.leave_host(tx, disk.id, place.name)
    work.wake(tx, "volume", disk.id)


def leave_if_lost(tx: Tx, disk: Row) -> None:
    """So does a volume that no guest has open, where its host is lost and others have its directory."""
    place = host.find(tx, disk.host) if disk.host is not None else None
    rests = disk.state == "ready" and not (disk.moving_to or disk.moved_from)
    if place is not None and place.lost and place.store and rests:
        leave_host(tx, disk, place)


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
