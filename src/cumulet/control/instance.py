"""What must be true of an instance: its guest runs on a host, or is off, or everything of it is gone."""

from __future__ import annotations

from functools import partial

from cumulet.control import attachment, export, image_copy, live, moving, recovery
from cumulet.control.snapshot import have_taken, let_begin, say_switched
from cumulet.drivers.specs import InstanceSpec, NicSpec
from cumulet.engine.engine import Remote, Run
from cumulet.lib.errors import Failure, Impossible, Later, Unreachable
from cumulet.lib.log import Log
from cumulet.lib.seen import Seen
from cumulet.model import (
    Tx,
    address,
    capacity,
    group,
    host,
    image_use,
    instance,
    instance_use,
    interface,
    snapshot,
    work,
)
from cumulet.model import attachment as attachments
from cumulet.model.database import Row

log = Log("instance")
AWAIT_SECONDS = 2.0
"""Others wake the instance when they are done; this is for a wake that was lost."""
OFF_SECONDS = 0.5


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = instance.find(tx, id)
        is_new = row is not None and row.host is None and row.desired == "running"
        disks = [] if is_new else attachments.disks(tx, id)
        taken = [] if is_new else snapshot.of_guest(tx, id)
        nics = [] if is_new else interface.of_instance(tx, id)
        place = host.find(tx, row.host) if row is not None and row.host is not None else None
    if row is None:
        with run.write() as tx:
            work.forget(tx, "instance", id)
    elif live.is_under_way(row, place):
        whole = partial(_spec, run, row, nics=nics, place=place, lease=recovery.kept_lease(row, place))
        live.travel(run, row, disks, nics, whole)
    elif place is not None and recovery.is_due(row, place, disks):
        recovery.leave(run, row, place, disks, nics)
    elif row.moving_to and row.desired != "terminated":
        leave(run, row, disks, nics, taken)
    elif row.desired == "running":
        attachment.take_from_silent(run, row, disks)
        launch(run, row, disks, nics, place, taken)
        say_switched(run, attachment.of_wanted(disks, taken))
        attachment.say_grown(run, disks)
        attachment.settle(run, row, disks)
    elif row.desired == "stopped":
        halt(run, row, disks, nics)
        let_begin(run, row.id, taken)
    else:
        tear_down(run, row, disks, taken)


def launch(run: Run, row: Row, disks: list[Row], nics: list[Row], place: Row | None, taken: list[Row]) -> None:
    """Placed, its disks there, snapshots of them taken, its taps made, started paused, its taps plugged, resumed."""
    if not row.claimed:
        recovery.place(run, row)
        raise Later(AWAIT_SECONDS, "its disks and taps are being made")
    if any(disk.moving_to for disk in disks):
        let_begin(run, row.id, taken)  # the guest is off, and a disk is moved when no snapshot of it is being made
    _await(attachment.unmade(disks) + [nic.id for nic in nics if nic.reached < nic.wanted])
    compute = run.driver("compute", row.host)
    seen = compute.look(row.id)
    if seen is not None and _is_over(seen, row):
        end_by_itself(run, row, seen)
        return
    if seen is not None and seen.state != "off" and seen.generation < row.generation:
        shut_down(run, row, compute, seen.generation)
        raise Later(0.0, "off; the order to start it needs a higher number than the one to shut down")
    have_taken(run, row.id, taken)
    _have_taps(run, row, nics, seen)
    _start(run, row, compute, seen, _spec(run, row, disks, nics, place, recovery.lease_of(row, place)))
    _have_taps_plugged(run, row, nics)
    _say_running(run, row)


def _is_over(seen: Seen, row: Row) -> bool:
    """The guest of this very start has ended, and not because its host did."""
    return seen.generation == row.generation and seen.state == "off" and seen.ended in ("shutdown", "crashed")


def shut_down(run: Run, row: Row, compute: Remote, generation: int) -> None:
    """Have the guest of an earlier start, or of this one, go off; ends in `Later` until it is."""
    until = row.force_after or 0.0
    compute.ensure(InstanceSpec(id=row.id, generation=generation, power="off", force_after=until, lease=row.fenced))
    seen = compute.look(row.id)
    if seen is not None and seen.state != "off":
        raise Later(OFF_SECONDS, f"the guest has until {until:.0f} to shut down")


def _await(missing: list[str]) -> None:
    if missing:
        raise Later(AWAIT_SECONDS, f"waiting for {', '.join(missing)}")


def _have_taps(run: Run, row: Row, nics: list[Row], seen: Seen | None) -> None:
    """Each network interface has a tap that is made for this start."""
    staged = 2 * row.generation
    gone = seen is None or seen.state == "off"
    spent = gone and any(nic.reached > staged for nic in nics)
    if spent or any(nic.wanted < staged for nic in nics):
        with run.write() as tx:
            _ask(tx, row.id, staged)
        _await([nic.id for nic in nics])


def _have_taps_plugged(run: Run, row: Row, nics: list[Row]) -> None:
    """Each tap is in its VPC, now that the guest holds it; only then the guest is resumed."""
    plugged = 2 * row.generation + 1
    if any(nic.wanted < plugged for nic in nics):
        with run.write() as tx:
            interface.want(tx, row.id, plugged)
    _await([nic.id for nic in nics if nic.reached < plugged])


def _start(run: Run, row: Row, compute: Remote, seen: Seen | None, spec: InstanceSpec) -> None:
    """Where it fails, the taps may be spent: the next try is made with new ones; and its image may be lost.

    That its host runs the guest by a lease alone is said when no order without it can be carried out any more.
    """
    off = seen is None or seen.state == "off"
    try:
        if spec.lease is None or off:
            recovery.say_fenced(run, row, spec.lease)
        compute.ensure(spec)
        if spec.lease is not None and not off:
            recovery.say_fenced(run, row, spec.lease)
    except Failure as e:
        table, staged = interface.interface, 2 * row.generation
        unused = table.update().where(table.c.instance == row.id, table.c.wanted == staged)
        with run.write() as tx:
            tx.change(unused.values(wanted=staged - 1, reached=staged - 1))
            if row.image_file is not None:
                image_copy.look_again(tx, row.image_file, row.host)
        if not isinstance(e, Unreachable):
            for file in sorted(set(filter(None, image_copy.boots_from(row)))):
                image_copy.await_copy(run, file, row.host)
        raise


def _ask(tx: Tx, id: str, step: int) -> None:
    """Have the instance's interfaces brought to this step, from the beginning."""
    table = interface.interface
    tx.change(table.update().where(table.c.instance == id).values(wanted=step, reached=0))
    for nic in interface.of_instance(tx, id):
        work.wake(tx, "interface", nic.id)


def _spec(run: Run, row: Row, disks: list[Row], nics: list[Row], place: Row | None, lease: int | None) -> InstanceSpec:
    if place is None:
        raise Later(AWAIT_SECONDS, f"its host {row.host} is not known")
    kernel, ramdisk = image_copy.boots_from(row)
    return InstanceSpec(
        id=row.id,
        generation=row.generation,
        power="on",
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        boot=row.boot,
        kernel_image=kernel,
        ramdisk_image=ramdisk,
        disks=attachment.specs(run, row, disks),
        cut=attachment.forced(disks),
        nics=[NicSpec(interface=nic.id, mac=nic.mac, mtu=place.guest_mtu) for nic in nics],
        lease=lease,
    )


def _say_running(run: Run, row: Row) -> None:
    expected = {"desired": "running", "state": "pending", "generation": row.generation}
    settled = dict.fromkeys(("reason_code", "reason", "transition_reason", "recovering"), "")
    with run.write() as tx:
        if instance.move(tx, row.id, expected, state="running", **settled):
            instance_use.begin(tx, row)
            log.info("running", instance=row.id, host=row.host, seconds=tx.now - (row.launched or row.created))


def end_by_itself(run: Run, row: Row, seen: Seen) -> None:
    """The guest has gone without being asked: what its shutdown behaviour says comes true."""
    crashed = seen.ended == "crashed"
    terminate = row.shutdown_behavior == "terminate" and not crashed
    code = "Server.InternalError" if crashed else "Client.InstanceInitiatedShutdown"
    reason = "The guest's process ended" if crashed else "Instance initiated shutdown"
    with run.write() as tx:
        instance.move(
            tx,
            row.id,
            {"desired": "running", "generation": row.generation},
            desired="terminated" if terminate else "stopped",
            state="shutting-down" if terminate else "stopping",
            force_after=0.0,
            reason_code=code,
            reason=f"{code}: {reason}",
        )
        work.wake(tx, "instance", row.id)


def leave(run: Run, row: Row, disks: list[Row], nics: list[Row], taken: list[Row]) -> None:
    """The guest is off and nothing of it is left on its host; then it is one of the host that it is to be moved to."""
    _await([disk.id for disk in disks if disk.moved_from])
    _have_off(run, row, disks, nics)
    let_begin(run, row.id, taken)
    say_switched(run, attachment.of_wanted(disks, taken))
    run.driver("compute", row.host).remove(row.id)
    moving.change_host(run, row)


def halt(run: Run, row: Row, disks: list[Row], nics: list[Row]) -> None:
    """The guest is off; its taps and its public address, if that came with it, are given back."""
    _have_off(run, row, disks, nics)
    with run.write() as tx:
        for nic in nics:
            address.release_automatic(tx, nic.id)
        attachment.settle_off(tx, disks)
        expected = {"desired": "stopped", "state": ["stopping", "stopped", "pending", "running"]}
        if instance.move(tx, row.id, expected, state="stopped", recovering=""):
            capacity.release_instance(tx, row.id)
            instance_use.end(tx, row.id)


def _have_off(run: Run, row: Row, disks: list[Row], nics: list[Row]) -> None:
    """The guest is off, has no taps, and its disks are reached from nowhere else; ends in `Later` until that is so."""
    if row.host is not None:
        compute = run.driver("compute", row.host)
        seen = compute.look(row.id)
        if seen is not None and seen.state != "off":
            shut_down(run, row, compute, seen.generation)
        _unplug(run, row, nics)
    export.end(run, disks)


def _unplug(run: Run, row: Row, nics: list[Row]) -> None:
    plugged = [nic.id for nic in nics if nic.host is not None]
    if plugged:
        with run.write() as tx:
            _ask(tx, row.id, 0)
    _await(plugged)


def tear_down(run: Run, row: Row, disks: list[Row], taken: list[Row]) -> None:
    """Nothing of it is left but the row, which is shown for a while."""
    if row.state == "terminated":
        return
    live.remove_there(run, row)
    if row.host is not None:
        run.driver("compute", row.host).remove(row.id)
    export.end(run, disks)
    let_begin(run, row.id, taken)
    say_switched(run, taken)
    with run.write() as tx:
        left = _let_interfaces_go(tx, row.id) + attachment.let_go(tx, row.id)
    if left:
        raise Later(AWAIT_SECONDS, f"waiting for {', '.join(left)}")
    with run.write() as tx:
        capacity.release_instance(tx, row.id)
        instance_use.end(tx, row.id)
        values = {"state": "terminated", "host": None, "ended": tx.now}
        instance.move(tx, row.id, {"desired": "terminated", "state": "shutting-down"}, **values)
        image_use.let_go(tx, row.image_file, row.kernel_file, row.ramdisk_file)
    log.info("terminated", instance=row.id)


def _let_interfaces_go(tx: Tx, id: str) -> list[str]:
    """Have its interfaces go; gives those still there."""
    table = interface.interface
    found = interface.of_instance(tx, id)
    for nic in found:
        if nic.desired != "absent":
            tx.change(table.update().where(table.c.id == nic.id).values(desired="absent", wanted=0))
            work.wake(tx, "interface", nic.id)
            group.wake_of_interface(tx, nic.id)
    return [nic.id for nic in found]


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """It cannot run: terminated with the reason, or stopped as it was where it has run before."""
    with run.write() as tx:
        refuse(tx, id, reason.code, reason.message)


def refuse(tx: Tx, id: str, code: str, message: str) -> None:
    """Write down why the instance cannot be started, and what becomes of it."""
    row = instance.find(tx, id)
    if row is None or row.desired != "running":
        return
    first = row.generation == 1
    instance.move(
        tx,
        id,
        {"desired": "running", "generation": row.generation},
        desired="terminated" if first else "stopped",
        state="shutting-down" if first else "stopping",
        force_after=0.0,
        reason_code=code,
        reason=f"{code}: {message}",
    )
    work.wake(tx, "instance", id)
