"""Which snapshot a volume is made from on its host: the one that was named, or a replica of it, which is made first."""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.model import Tx, host, replica, snapshot, volume, work
from cumulet.model.database import Row

AWAIT_SECONDS = 5.0
"""Whoever waits for a replica is woken when it is there; this is for a wake that was lost."""
AGAIN_SECONDS = 0.5


def below(run: Run, row: Row) -> str | None:
    """The id that the volume's host has its snapshot by; ends in `Later` while that is on its way there.

    Raises `Impossible` where it cannot come.
    """
    named: str | None = row.snapshot
    if named is None or row.state != "creating" or row.account == volume.HIDDEN:
        return named
    with run.read() as tx:
        origin, found = snapshot.find(tx, named), replica.at(tx, named, row.host)
        if origin is None or _is_here(tx, origin, row.host):
            return named
    if found is not None and found.desired == "present" and found.state == "completed":
        with run.write() as tx:
            replica.say_used(tx, found)
        return str(found.id)
    with run.write() as tx:
        if found is None:
            replica.want(tx, origin, row.host, row.zone)
        elif found.state == "error" and found.desired == "present":
            snapshot.let_go(tx, found.id)
    if found is not None and found.state == "error" and found.completed is None:
        raise Impossible("Server.InternalError", f"{row.snapshot} cannot be copied to {row.host}: {found.reason}")
    if found is not None and (found.desired == "absent" or found.state == "error"):
        raise Later(AGAIN_SECONDS, f"the replica {found.id} of {row.snapshot} goes first")
    raise Later(AWAIT_SECONDS, f"{row.snapshot} is copied from {origin.host} to {row.host}")


def look_again(run: Run, id: str) -> Later:
    """The replica was not there for what was made of it: it is looked for, and another one made if it is lost."""
    with run.write() as tx:
        work.wake(tx, "snapshot", id)
    return Later(AGAIN_SECONDS, f"the replica {id} is looked for")


def _is_here(tx: Tx, origin: Row, place: str) -> bool:
    return origin.host in (None, place) or host.share_volumes(tx, origin.host, place)
