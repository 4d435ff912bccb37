"""Recovery: what ran on a host that is lost is started on another one, when the lost one has stopped it for certain.

A host is lost when its lease has ended (`model.host_lease`): by then it has stopped all the guests that it ran by it.
Their instances leave it as if it had been removed from under them: they have no capacity, disks and interfaces there
any more. From then on each is one that is to be started, and is placed as any other, on a host that has its disks. What
the lost host may have of it still is taken away when that is back (`model.left_behind`).
"""

from __future__ import annotations

from cumulet.control import export, lost, placing
from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.lib.log import Log
from cumulet.model import (
    Tx,
    attachment,
    capacity,
    group,
    host_lease,
    instance,
    instance_use,
    interface,
    left_behind,
    stalled,
    vpc_host,
    work,
)
from cumulet.model.database import Row

log = Log("recovery")
ROOM_SECONDS = 5.0
"""From look to look for a host that can start what was on a lost one."""


def end_leases(run: Run) -> None:
    """End the leases of hosts that have been silent for too long, and have their instances leave."""
    with run.read() as tx:
        over = [row for row in host_lease.overdue(tx) if row.lost or _is_over(tx, row)]
    for row in over:
        with run.write() as tx:
            if host_lease.end(tx, row):
                _wake_instances(tx, row)
                _free_volumes(tx, row)


def _is_over(tx: Tx, row: Row) -> bool:
    left = host_lease.seconds_left(tx, row)
    return left is not None and left <= 0


def _free_volumes(tx: Tx, place: Row) -> None:
    """Volumes that no instance has, or one of another host that is off, are kept by no host, until by another one."""
    free = attachment.free_volumes(tx, place.name) if place.store else []
    free += stalled.resting(tx, place.name) if place.store else []
    for disk in free:
        if disk.state == "ready" and not disk.moved_from:
            lost.leave_host(tx, disk, place)


def _wake_instances(tx: Tx, place: Row) -> None:
    """Those that leave it, and those that do not go there any more."""
    leaving = [row for row in instance.on_host(tx, place.name) if _has_stopped(row)]
    for row in [*leaving, *instance.on_the_way_to(tx, place.name)]:
        work.wake(tx, "instance", row.id)
    if not place.lost:
        log.error("lost", host=place.name, unheard_for=tx.now - place.renewed, instances=len(leaving))


def _has_stopped(row: Row) -> bool:
    """Whether a host without its lease does not run this guest."""
    return row.fenced is not None or not row.claimed


def is_due(row: Row, place: Row | None, disks: list[Row]) -> bool:
    """Whether the instance is to leave its host, which is lost: it can, and it does not run there."""
    if place is None or not place.lost or row.state == "terminated" or not _has_stopped(row):
        return False
    moves = any(disk.moving_to or disk.moved_from for disk in disks)
    return bool(place.store) and not moves and (row.fenced is not None or not host_lease.bars(place, row))


def leave(run: Run, row: Row, place: Row, disks: list[Row], nics: list[Row]) -> None:
    """The instance is on no host any more; disks of other hosts are not reached by the lost one any more."""
    here = [disk for disk in disks if disk.host == row.host]
    away = [disk for disk in disks if disk.host not in (row.host, None)]
    export.end(run, away)
    values = {"host": None, "moving_to": "", "fenced": None, "recovering": row.host}
    if row.desired == "running":
        values |= {"state": "pending", "generation": row.generation + 1}
    with run.write() as tx:
        capacity.release_instance(tx, row.id)
        instance_use.end(tx, row.id)
        for disk in here:
            lost.leave_host(tx, disk, place)
        for disk in away:
            attachment.rename(tx, disk.attachment)
        for nic in nics:
            _take_off(tx, nic)
        left_behind.add(tx, "compute", place.name, row.id, run.epoch)
        expected = {"desired": row.desired, "host": row.host, "generation": row.generation}
        if not instance.move(tx, row.id, expected, **values):
            raise Later(0.0, "the instance has changed meanwhile")
        work.wake(tx, "instance", row.id)
    log.warning("left a lost host", instance=row.id, host=place.name)


def _take_off(tx: Tx, nic: Row) -> None:
    """The interface is on no host, whoever is at work on it."""
    if nic.host is None:
        return
    left_behind.add(tx, "network", nic.host, nic.id, work.overtake(tx, "interface", nic.id))
    interface.change(tx, nic.id, host=None, wanted=0, reached=0, announced=None)
    work.wake(tx, "interface", nic.id)
    group.wake_of_interface(tx, nic.id)
    vpc_host.wake_vpc(tx, nic.vpc)


def place(run: Run, row: Row) -> None:
    """As `placing.place`, but what has lost its host waits for another one instead of being refused."""
    try:
        placing.place(run, row)
    except Impossible as e:
        if not row.recovering:
            raise
        raise Later(
            ROOM_SECONDS, f"{row.recovering} is lost, and no other host can start it yet: {e.message}"
        ) from None


def lease_of(row: Row, place: Row | None) -> int | None:
    """The lease by which the host runs the guest; None: come what may, since no other host could start it."""
    return int(place.lease) if place is not None and not host_lease.bars(place, row) else None


def kept_lease(row: Row, place: Row | None) -> int | None:
    """The same for a guest that is left as it is: whether it has a lease does not change."""
    return int(place.lease) if place is not None and row.fenced is not None else None


def say_fenced(run: Run, row: Row, lease: int | None) -> None:
    """Each order of this guest is by this lease from now on."""
    if row.fenced != lease:
        with run.write() as tx:
            if not instance.move(tx, row.id, {"host": row.host}, fenced=lease):
                raise Later(0.0, "the instance has changed meanwhile")
