"""What must be true of a volume: its disk is on its host, or gone."""

from __future__ import annotations

from cumulet.control import image_copy, moving, replica
from cumulet.control.instance import refuse
from cumulet.control.volume_key import key_of
from cumulet.drivers.specs import VolumeSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure, Impossible, Later, Unreachable
from cumulet.model import attachment, capacity, host, image_use, instance, snapshot, tag, volume, work
from cumulet.model import image_copy as image_copies
from cumulet.model.database import Row

GROW_SECONDS = 2.0
"""The guest's reconciler wakes the volume; this is for a wake that was lost."""

ROOM_SECONDS = 5.0
"""From look to look for a host that can keep what a lost one has kept."""


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = volume.find(tx, id)
        orphaned = row is not None and row.host is None and row.store != "" and snapshot.are_orphans(tx, id)
    if row is None:
        with run.write() as tx:
            work.forget(tx, "volume", id)
    elif row.desired == "absent" and not orphaned:
        _remove(run, row)
    elif row.moving_to or row.moved_from:
        if not moving.step_volume(run, row):
            raise Later(0.0, "it is where it was to be moved")
    elif row.host is not None and row.state != "error":
        _make(run, row)
    elif row.store and row.state == "ready":
        _adopt(run, row)


def _make(run: Run, row: Row) -> None:
    if row.state == "creating" and row.image_file is not None:
        _check_image(run, row)
    grows = volume.grows(row)
    guest = _guest_that_has(run, row.id) if grows else None
    sizes = {"size_gib": row.size_gib} if guest is None else {"size_gib": row.made_gib, "grows_to": row.size_gib}
    below, key = replica.below(run, row), key_of(run, row)
    spec = VolumeSpec(id=row.id, **sizes, image_file=row.image_file, snapshot=below, key=key)
    try:
        run.driver("volume", row.host).ensure(spec)
    except Failure as e:
        if row.image_file is not None and not isinstance(e, Unreachable):
            image_copy.await_copy(run, row.image_file, row.host)
        raise
    except Impossible as e:
        if below not in (None, row.snapshot):
            raise replica.look_again(run, below) from e
        if row.state == "creating":
            raise
        raise Failure(f"the volume was ready, and cannot be made anew: {e}") from e
    if guest is not None:
        with run.write() as tx:
            work.wake(tx, "instance", guest)
        raise Later(GROW_SECONDS, "waiting for the guest's host to make it larger")
    if grows:
        with run.write() as tx:
            volume.say_grown(tx, row.id, row.size_gib)
    elif row.state != "ready":
        with run.write() as tx:
            volume.say_ready(tx, row.id)
            moving.wake_guest(tx, row.id)
    if row.account == volume.HIDDEN:
        moving.bring_to_snapshot(run, row)


def _adopt(run: Run, row: Row) -> None:
    """Its host was lost: another one keeps it, now, or where its instance is to run, when that has been placed.

    One that is to go is kept too while it has snapshots, which are completed by its host, and stay there.
    """
    with run.write() as tx:
        held = attachment.of_volume(tx, row.id)
        guest = instance.find(tx, held.instance) if held is not None else None
        if guest is not None and guest.desired == "running" and guest.host is None:
            return
        keeper = capacity.adopt(tx, row, run.settings)
        if keeper is not None:
            snapshot.be_kept_by(tx, row.id, keeper)
    if keeper is None:
        raise Later(ROOM_SECONDS, "its host is lost, and no other one that has the same directory has room for it")
    then = "keeps its snapshots, and it goes" if row.desired == "absent" else "has it from now on, and is told so"
    raise Later(0.0, f"{keeper} {then}")


def _check_image(run: Run, row: Row) -> None:
    """Nothing is put on a copy of its image that is not there yet, or may be going."""
    with run.read() as tx:
        available = image_copies.is_available(tx, row.image_file, row.host)
    if not available:
        image_copy.await_copy(run, row.image_file, row.host)


def _remove(run: Run, row: Row) -> None:
    with run.read() as tx:
        waiting = snapshot.unfinished(tx, row.id)
    if waiting:
        raise Later(0.5, f"{', '.join(waiting)} is being made of it")
    moving.remove_everywhere(run, row)
    if row.host is None and row.store:
        _remove_from_store(run, row)
    with run.write() as tx:
        if not capacity.delete_volume(tx, row):
            raise Later(0.0, "the volume has changed meanwhile")
        tag.remove(tx, row.id)
        work.forget(tx, "volume", row.id)
        image_use.let_go(tx, row.image_file, row.base)
        held = attachment.of_volume(tx, row.id)
        if held is not None:
            attachment.remove(tx, held.id)
            work.wake(tx, "instance", held.instance)


def _remove_from_store(run: Run, row: Row) -> None:
    """Its host was lost; each one that has the same directory will do."""
    with run.read() as tx:
        keeper = host.of_store(tx, row.store)
    if keeper is None:
        raise Later(GROW_SECONDS, "no host is heard that has the directory where it is")
    run.driver("volume", keeper).remove(row.id)


def _guest_that_has(run: Run, id: str) -> str | None:
    """The instance that may have it open, whose host makes it larger then."""
    with run.read() as tx:
        held = attachment.of_volume(tx, id)
        guest = instance.find(tx, held.instance) if held is not None else None
    return None if guest is None or guest.state in ("stopped", "terminated") else str(guest.id)


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """A disk that cannot be: it is in error, and the instance that waits for it cannot run."""
    table, said = volume.volume, reason.message[:255]
    with run.write() as tx:
        unmade = table.update().where(table.c.id == id, table.c.state == "creating")
        tx.change(unmade.values(state="error", reason=said))
        for taken in snapshot.unfinished(tx, id):
            work.wake(tx, "snapshot", taken)
        held = attachment.of_volume(tx, id)
        if held is not None:
            refuse(tx, held.instance, reason.code, reason.message)
