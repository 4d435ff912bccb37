"""What must be true of a snapshot: what its volume held is kept as a layer that nobody writes to, or is gone.

The volume's host puts a new, empty layer on top of the volume; from then on whoever opens the volume writes there. A
guest that has it open already is told to change over by its own reconciler; only then the snapshot is complete.

A volume that is nobody's is made for one snapshot alone, which waits for it, and goes then.

Snapshots of one moment of several volumes of a guest wait until its reconciler lets them begin, which then orders
nothing of the guest until all the new layers are there: the guest changes over to all of them in one step.
"""

from __future__ import annotations

from cumulet.control.volume_key import key_of
from cumulet.drivers.specs import SnapshotSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.model import Tx, attachment, image_use, instance, replica, snapshot, tag, volume, work
from cumulet.model.database import Row

SWITCH_SECONDS = 2.0
"""The guest's reconciler wakes the snapshot; this is for a wake that was lost."""
WAIT_SECONDS = 0.5
"""What is made from a snapshot takes no longer, unless its host is away."""


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = snapshot.find(tx, id)
    if row is None:
        with run.write() as tx:
            work.forget(tx, "snapshot", id)
    elif row.host is None:
        raise Later(SWITCH_SECONDS, "the host that kept it is lost, and no other keeps it yet")
    elif row.desired == "absent" and row.state not in snapshot.UNFINISHED:
        _remove(run, row)
    elif row.state not in ("waiting", "error"):
        _make(run, row)


def _make(run: Run, row: Row) -> None:
    driver = run.driver("volume", row.host)
    if row.state == "pending":
        _await_hidden(run, row)
        of_volume = row.volume if row.source is None else None
        driver.ensure(SnapshotSpec(id=row.id, volume=of_volume, source=row.source, key=key_of(run, row)))
        with run.write() as tx:
            snapshot.move(tx, row.id, "pending", "prepared")
    with run.write() as tx:
        current = snapshot.find(tx, row.id)
        if current is not None and current.state == "prepared" and not _left_to_its_guest(tx, row.volume):
            snapshot.move(tx, row.id, "prepared", "switched")
            current = snapshot.find(tx, row.id)
    if current is None or current.state == "prepared":
        raise Later(SWITCH_SECONDS, "waiting for the guest to write to the new layer")
    if row.state == "pending":
        raise Later(0.0, "the order that says that it is complete needs a higher number than the one to take it")
    # without the volume's name: what is complete is never taken anew
    driver.ensure(SnapshotSpec(id=row.id))
    with run.write() as tx:
        if snapshot.move(tx, row.id, "switched", "completed", completed=tx.now):
            volume.let_hidden_go(tx, row.volume)
            replica.wake_waiting(tx, row)
    if row.desired == "absent":
        raise Later(0.0, "it is complete, and goes now")


def _await_hidden(run: Run, row: Row) -> None:
    """The volume is there, where it is made for this snapshot alone; raises `Impossible` if it cannot be."""
    with run.read() as tx:
        disk = volume.find(tx, row.volume) if row.source is None else None
    if disk is None or disk.account != volume.HIDDEN:
        return
    if disk.state == "error":
        raise Impossible("Server.InternalError", disk.reason or f"{disk.id}, which it is taken of, cannot be made")
    if disk.state != "ready" or disk.host != row.host:
        raise Later(SWITCH_SECONDS, f"waiting for {disk.id}, which it is taken of")


def _left_to_its_guest(tx: Tx, volume: str) -> bool:
    """Whether the volume may be open in a guest, whose reconciler is woken then."""
    held = attachment.of_volume(tx, volume)
    guest = instance.find(tx, held.instance) if held is not None else None
    if guest is None or guest.state in ("stopped", "terminated"):
        return False
    work.wake(tx, "instance", guest.id)
    return True


def have_taken(run: Run, id: str, taken: list[Row]) -> None:
    """Those that are to be of one moment of this instance have their layers; ends in `Later` until they have."""
    unmade = [one.id for one in taken if one.instance is not None and one.state != "prepared"]
    if unmade:
        let_begin(run, id, taken)
        raise Later(SWITCH_SECONDS, f"waiting for {', '.join(unmade)}")


def let_begin(run: Run, id: str, taken: list[Row]) -> None:
    """The guest is off or gone, or nothing is ordered of it: those that wait for that go on."""
    if any(one.state == "waiting" for one in taken):
        with run.write() as tx:
            snapshot.begin(tx, id)


def say_switched(run: Run, taken: list[Row]) -> None:
    """The guest, as it was just ordered to be, writes to the new layers of these, or to nothing at all."""
    prepared = [one.id for one in taken if one.state == "prepared"]
    if not prepared:
        return
    with run.write() as tx:
        for id in prepared:
            if snapshot.move(tx, id, "prepared", "switched"):
                work.wake(tx, "snapshot", id)


def _remove(run: Run, row: Row) -> None:
    with run.read() as tx:
        waiting = volume.to_be_made_from(tx, row.id) + snapshot.copies_to_be_made(tx, row.id)
    if waiting:
        raise Later(WAIT_SECONDS, f"{', '.join(waiting)} is being made from it")
    with run.write() as tx:
        left = replica.let_go_all(tx, row.id)
    if left:
        raise Later(WAIT_SECONDS, f"its replicas {', '.join(left)} go first")
    run.driver("volume", row.host).remove(row.id)
    with run.write() as tx:
        snapshot.remove(tx, row.id)
        tag.remove(tx, row.id)
        work.forget(tx, "snapshot", row.id)
        image_use.let_go(tx, row.base)


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """It is shown in error, with the reason."""
    with run.write() as tx:
        row = snapshot.find(tx, id)
        snapshot.change(tx, id, state="error", reason=reason.message[:255])
        if row is not None:
            volume.let_hidden_go(tx, row.volume)
            replica.wake_waiting(tx, row)
