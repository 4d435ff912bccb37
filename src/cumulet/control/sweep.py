"""The sweep: hosts tell what they have, and it is compared with the rows. Lost things are made again, leaked go."""

from __future__ import annotations

import random
from typing import Any

import sqlalchemy as sa

from cumulet.control import image_room, lost, recovery
from cumulet.drivers.specs import moved_volume
from cumulet.engine.engine import Run
from cumulet.lib.config import AGENTS
from cumulet.lib.errors import Impossible, Later, Unreachable
from cumulet.lib.log import Log
from cumulet.lib.seen import Seen
from cumulet.model import (
    Tx,
    attachment,
    group,
    image,
    image_copy,
    image_use,
    instance,
    interface,
    profile,
    replica,
    snapshot,
    tag,
    volume,
    vpc,
    vpc_host,
    work,
)
from cumulet.model import host as hosts

log = Log("sweep")
EVERY = {**dict.fromkeys(AGENTS, 300.0), "cloud": 30.0, "lease": 3.0}
"""Seconds from sweep to sweep, by role; a host whose digest has changed is swept at once (`hearing`).

`cloud` is what needs no host, and `lease` asks none: they may be lost.
"""
MOST = 500
MORE_SECONDS = 5.0
"""So many things a sweep has made again, or removed; where there are more it comes again soon, since a run is to end
well inside its lease."""
AGAIN_SECONDS = 10.0
"""From a sweep that has put something right to the next, at first."""
AWAY_SECONDS = 30.0
"""From try to try to ask a host that does not answer, though it is heard."""


def reconcile(run: Run, id: str) -> None:
    """`id` is ROLE.HOST, `lease` or `cloud`."""
    role, _, host = id.partition(".")
    if role == "lease":
        recovery.end_leases(run)
    elif role == "cloud":
        with run.write() as tx:
            _free_leases_of_the_dead(run, tx)
            profile.wake_expiring(tx)
            image_use.wake_unused(tx)
            image_copy.let_go_unused(tx, 3600 * run.settings.image_copy_hours)
            replica.let_go_unused(tx, 3600 * run.settings.image_copy_hours)
        _forget_terminated(run)
    else:
        try:
            seen = run.driver(role, host).observe()
        except Unreachable:
            raise Later(AWAY_SECONDS, f"{id} does not answer") from None
        lost.take_away(run, role, host)
        if role == "image":
            image_room.keep(run, host, run.driver(role, host))
        found = _compare(run, role, host, {thing.id: thing for thing in seen})
        if found > MOST:
            raise Later(MORE_SECONDS, f"there is more to put right on {host}")
        raise Later(_pause(run, id, EVERY[role], found))
    raise Later(EVERY[role])


def _pause(run: Run, id: str, longest: float, found: int) -> float:
    """Where something was put right it is looked at again soon, and ever later as long as there is something.

    What is lost again before the next heartbeat makes no other digest than the one that is known.
    """
    pauses: dict[str, float] = run.memory.setdefault("sweep", {})
    if not found:
        pauses.pop(id, None)
        return longest
    pauses[id] = min(2 * pauses.get(id, AGAIN_SECONDS / 2), longest)
    return pauses[id]


def _compare(run: Run, role: str, host: str, seen: dict[str, Seen]) -> int:
    """How many things were lost, or leaked if these are more; they are put right, as many as one run can."""
    with run.read() as tx:
        expected = _expected(tx, role, host)
        leaked = [id for id in seen if id not in expected and not _exists(tx, id)]
    lost = [id for id, state in expected.items() if not _holds(state, seen.get(id))]
    if lost:
        with run.write() as tx:
            # any of them, so that those which cannot be made again do not keep the others from it
            for id in random.sample(lost, min(len(lost), MOST)):
                log.warning("lost, made again", id=id, host=host)
                _wake(tx, id, host)
    for id in leaked[:MOST]:
        log.warning("leaked, removed", id=id, host=host)
        run.last_word(role, host).remove(id)
    return max(len(lost), len(leaked))


def _expected(tx: Tx, role: str, host: str) -> dict[str, str]:
    """Id to what should be seen of it on this host, for what has been made there and is at rest."""
    if role == "compute":
        states = {"running": "running", "stopped": "off"}
        rest = [row for row in instance.on_host(tx, host) if row.state in states and not row.moves_live]
        return {row.id: states[row.state] for row in rest}
    if role == "network":
        nics = interface.interface
        found = tx.connection.scalars(sa.select(nics.c.id).where(nics.c.host == host, nics.c.reached > 0))
        groups = tx.connection.scalars(sa.select(group.group_host.c.group_id).where(group.group_host.c.host == host))
        tunnels = tx.connection.scalars(sa.select(vpc_host.vpc_host.c.vpc).where(vpc_host.vpc_host.c.host == host))
        return dict.fromkeys([*found, *groups, *tunnels], "there")
    table: Any = volume.volume if role == "volume" else image.image_file
    made = "ready" if role == "volume" else "available"
    there = [*tx.connection.scalars(sa.select(table.c.id).where(table.c.host == host, table.c.state == made))]
    if role == "image":
        copies = image_copy.image_copy
        here = copies.c.host == host, copies.c.state == "available"
        there += tx.connection.scalars(sa.select(copies.c.image_file).where(*here))
    if role == "volume":
        kept = snapshot.snapshot
        complete = sa.and_(kept.c.host == host, kept.c.state == "completed")
        there += tx.connection.scalars(sa.select(kept.c.id).where(complete))
        there += attachment.exported_by(tx, host)
    return dict.fromkeys(there, "there")


def _holds(expected: str, seen: Seen | None) -> bool:
    if expected == "off":
        return seen is None or seen.state == "off"
    return seen is not None and seen.state == expected


_KINDS: dict[str, tuple[str, sa.Table]] = {
    "i": ("instance", instance.instance),
    "eni": ("interface", interface.interface),
    "sg": ("group", group.group),
    "vpc": ("vpc", vpc.vpc),
    "vol": ("volume", volume.volume),
    "snap": ("snapshot", snapshot.snapshot),
    "volattach": ("instance", attachment.attachment),
    "imf": ("image_file", image.image_file),
}
"""By the prefix of an id: the kind of the work that sees to it, and the table of its rows."""


def _wake(tx: Tx, id: str, host: str) -> None:
    id = moved_volume(id) or id
    image_copy.wake_at(tx, id, host)
    kind, table = _KINDS[id.rpartition("-")[0]]
    found = tx.first(sa.select(table).where(table.c.id == id))
    if found is not None:
        work.wake(tx, kind, found.instance if table is attachment.attachment else id)


def _exists(tx: Tx, id: str) -> bool:
    """Whether a row stands for it, so that its own reconciler sees to it."""
    id = moved_volume(id) or id
    known = _KINDS.get(id.rpartition("-")[0])
    if known is None:
        return False
    table = known[1]
    query = sa.select(table.c.id).where(table.c.id == id)
    if table is instance.instance:
        query = query.where(table.c.state != "terminated")
    return tx.first(query) is not None


def _free_leases_of_the_dead(run: Run, tx: Tx) -> None:
    """What a scheduler held that is heard no more goes on with another one; the lease's number is all that protects."""
    work.free_not_held_by(tx, {run.holder, *hosts.living(tx, "scheduler")})


def _forget_terminated(run: Run) -> None:
    with run.read() as tx:
        old = instance.outlived(tx, run.settings.terminated_seconds)
    for id in old:
        with run.write() as tx:
            tx.change(instance.instance.delete().where(instance.instance.c.id == id))
            tag.remove(tx, id)
            work.forget(tx, "instance", id)


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """Nothing that a sweep meets is final."""
    raise Later(EVERY["cloud"], str(reason))
