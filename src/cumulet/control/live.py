"""Moving while it runs: a guest's memory and its disks are carried to another host, where it goes on.

Each run looks at both hosts, and what they say decides. The hypervisors carry it over and leave it paused there; it is
ordered to go on only when it is written down that it is there, and that is written down only when nothing of it is left
on the host that it came from. So whatever dies, and whenever, it runs on one host: on the first one for as long as
that has it, and on the second one from then on. Its volumes and interfaces are made ready there by their own
reconcilers, and change over in the transaction that says that it has arrived.

Either host may be lost meanwhile (`control.recovery`). The first one runs the guest no more then, the second one never
did: so it goes on at the second one if it has all of it, else the move is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cumulet.control import image_copy, lost, recovery, turns
from cumulet.control.volume_key import key_of
from cumulet.drivers.specs import DepartureSpec, DiskSpec, InstanceSpec, NicSpec
from cumulet.engine.engine import Remote, Run
from cumulet.lib.errors import Later
from cumulet.lib.log import Log
from cumulet.lib.seen import Departure, Landing, Seen
from cumulet.model import Tx, attachment, capacity, group, host, instance, interface, volume, vpc_host, work
from cumulet.model.database import Row

log = Log("live")
LOOK_SECONDS = 0.5
"""From look to look at a guest that is carried over."""
CANCEL_SECONDS = 0.2
Whole = Callable[[list[Row]], InstanceSpec]
"""The guest as it is to be with these disks."""


def bars(tx: Tx, row: Row, disks: list[Row], to: str) -> str:
    """Why an instance cannot move to this host while it runs; empty: it can."""
    away = [disk for disk in disks if disk.host != row.host]
    nics = interface.of_instance(tx, row.id)
    if row.state != "running" or row.desired != "running":
        return "it does not run"
    if away:
        return f"{away[0].id} is on {away[0].host}, and a guest takes only disks of its own host with it"
    if any(disk.attach_state != "attached" or disk.attach_desired != "attached" for disk in disks):
        return "a volume is being attached to it, or detached: wait"
    if any(nic.reached != nic.wanted or nic.also_on for nic in nics):
        return "an interface of it is being changed: wait"
    alone = [name for name in (row.host, to) if not host.address(tx, name)]
    if alone:
        return f"{alone[0]} does not reach other hosts: it needs the setting tunnel_address"
    mtus = [host.guest_mtu(tx, name) for name in (row.host, to)]
    if mtus[0] != mtus[1]:
        return f"the largest packet of a guest is {mtus[0]} bytes on {row.host} and {mtus[1]} on {to} (guest_mtu)"
    return ""


def begin(tx: Tx, id: str) -> None:
    """Its interfaces stand by on the other host from now on."""
    for nic in interface.of_instance(tx, id):
        work.wake(tx, "interface", nic.id)


def is_under_way(row: Row, place: Row | None) -> bool:
    """Whether the move is to go on, or to be given up in order; one that is to end goes from both hosts as it is."""
    return bool(row.moves_live) and (row.desired != "terminated" or _has_lost(row, place))


def _has_lost(row: Row, place: Row | None) -> bool:
    """Whether its host is lost, and has stopped it."""
    return place is not None and bool(place.lost) and row.fenced is not None


def travel(run: Run, row: Row, disks: list[Row], nics: list[Row], whole: Whole) -> None:
    """One step of the way; ends in `Later` until the instance is an ordinary one again, on one host or the other."""
    with run.read() as tx:
        place, goal = host.find(tx, row.host), host.find(tx, row.moving_to)
        shared = host.share_volumes(tx, row.host, row.moving_to)
    here, there = run.driver("compute", row.host), run.driver("compute", row.moving_to)
    before, way = (None, Departure()) if _has_lost(row, place) else _departing(here, row.id)
    after = None if goal is None or goal.lost else there.look(row.id)
    if way.state != "going" and _has_left(row, place, before, after):
        lost.remove(run, "compute", row.host, row.id)
        _arrive(run, row, goal, disks, nics)
    why_not = _why_not(row, goal, before, way)
    if not why_not:
        if way.state != "going":
            turns.await_turn(run, row)
        _await(run, row, disks, nics)
        landings = [msgspec.json.decode(one.ask("landing", row.id), type=Landing) for one in (here, there)]
        why_not = _mismatch(*landings)
    if why_not:
        _stay(run, row, disks, here, before, way, whole, why_not)
    moving = [disk for disk in disks if disk.moving_to == row.moving_to]
    departure = DepartureSpec(number=row.moves, landing=landings[1], carries_disks=not shared)
    there.ensure(_arriving(row, goal, nics, landings[0], _opened(run, moving)))
    leaving = msgspec.structs.replace(whole(moving), departure=departure)
    here.ensure(leaving)
    raise Later(LOOK_SECONDS, _say_progress(run, row, way))


def _departing(here: Remote, id: str) -> tuple[Seen | None, Departure]:
    return here.look(id), msgspec.json.decode(here.ask("departure", id), type=Departure)


def _has_left(row: Row, place: Row | None, before: Seen | None, after: Seen | None) -> bool:
    """Whether the other host has all of it. It does not run there yet; where it goes on here, it has not left."""
    if _has_lost(row, place):
        return after is not None and after.state in ("paused", "running")
    if before is None or before.ended == "moved":
        return True
    return before.state != "running" and after is not None and after.state in ("paused", "running")


def _why_not(row: Row, goal: Row | None, before: Seen | None, way: Departure) -> str:
    if goal is None or goal.lost:
        return f"{row.moving_to} is lost"
    if before is None or before.state == "off":
        return "the guest has ended meanwhile"
    if row.not_moved:
        return str(row.not_moved)
    if row.desired != "running" or before.generation < row.generation:
        return "it is to be stopped, or started anew"
    if way.state == "failed" and way.number == row.moves:
        return way.why
    return ""


def _mismatch(here: Landing, there: Landing) -> str:
    """What of the other host does not fit."""
    if not (here.address and there.address):
        return "one of the hosts does not reach the other: it needs the setting tunnel_address"
    if _version(here.emulator) > _version(there.emulator):
        return f"the other host has QEMU {there.emulator}, and the guest was started by {here.emulator}"
    if here.processor != there.processor:
        return f"the other host's processor is another one ({there.processor}) than the guest has ({here.processor})"
    if here.devices or there.devices:
        return "one of the hosts keeps volumes in LVM, and a guest that runs carries only files with it"
    if here.pool != there.pool:
        return "one of the hosts keeps volumes in a pool of Ceph, and the other one does not, or in another"
    return ""


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".") if part.isdigit()]


def _await(run: Run, row: Row, disks: list[Row], nics: list[Row]) -> None:
    """Disks, taps and kernel are ready on the other host; ends in `Later` until they are."""
    image_copy.await_boot(run, row, row.moving_to)
    missing = [nic.id for nic in nics if nic.also_on != row.moving_to or not nic.stands_by]
    volumes = run.driver("volume", row.moving_to)
    missing += [disk.id for disk in disks if disk.moving_to and volumes.look(disk.id) is None]
    if missing:
        raise Later(LOOK_SECONDS, f"{', '.join(missing)} is made ready on {row.moving_to}")


def _opened(run: Run, disks: list[Row]) -> list[DiskSpec]:
    """Those of the disks that are encrypted, with their keys: the other host is to know them before the guest comes."""
    return [
        DiskSpec(volume=disk.id, attachment=disk.attachment, slot=disk.slot, key=key_of(run, disk))
        for disk in disks
        if disk.sealed
    ]


def _arriving(row: Row, goal: Row | None, nics: list[Row], home: Landing, opened: list[DiskSpec]) -> InstanceSpec:
    return InstanceSpec(
        id=row.id,
        generation=row.generation,
        power="on",
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        boot=row.boot,
        disks=opened,
        nics=[NicSpec(interface=nic.id, mac=nic.mac) for nic in nics],
        arrives_from=home.certificate,
        lease=recovery.lease_of(row, goal),
    )


def _say_progress(run: Run, row: Row, way: Departure) -> str:
    percent = 100 * way.done // way.total if way.total else 0
    if percent != row.moved_percent:
        with run.write() as tx:
            instance.move(tx, row.id, {"moves": row.moves}, moved_percent=percent)
    return f"it moves to {row.moving_to} while it runs: {percent} % of {way.total >> 20} MiB are there"


def _arrive(run: Run, row: Row, goal: Row | None, disks: list[Row], nics: list[Row]) -> None:
    """It is an instance of the other host, paused until its taps there are plugged.

    Until it is ordered to go on it does not run there: that it does by a lease alone is true so far.
    """
    with run.write() as tx:
        if not capacity.say_arrived(tx, row, goal.lease if goal is not None else None):
            raise Later(0.0, "the instance has changed meanwhile")
        for disk in disks:
            if disk.moving_to == row.moving_to and _say_disk_moved(tx, disk):
                work.wake(tx, "volume", disk.id)
        for nic in nics:
            interface.say_arrived(tx, nic, row.moving_to)
            group.wake_of_interface(tx, nic.id)
            vpc_host.wake_vpc(tx, nic.vpc)
        turns.wake_next(tx, row)
        work.wake(tx, "instance", row.id)
    log.info("moved live", instance=row.id, was_on=row.host, to=row.moving_to)
    raise Later(0.0, f"it is on {row.moving_to}, where its taps are plugged")


def _stay(
    run: Run,
    row: Row,
    disks: list[Row],
    here: Remote,
    before: Seen | None,
    way: Departure,
    whole: Whole,
    why: str,
) -> None:
    """It does not go there live: nothing of it is left on the other host, and it goes on here, or moves by a stop."""
    stays = msgspec.structs.replace(whole(disks), generation=before.generation) if before is not None else None
    if way.state == "going" and stays is not None:
        here.ensure(stays)
        raise Later(CANCEL_SECONDS, f"it does not move any more: {why}")
    lost.remove(run, "compute", row.moving_to, row.id)
    if stays is not None and before is not None and before.state != "off":
        here.ensure(stays)
    restarted = row.desired != "running" or (before is not None and before.generation < row.generation)
    by_stop = restarted or (row.moves_off_else and before is not None and before.state != "off")
    by_stop = by_stop and not row.not_moved
    with run.write() as tx:
        for disk in disks:
            if disk.moving_to == row.moving_to and _say_disk_stays(tx, disk):
                work.wake(tx, "volume", disk.id)
        capacity.release_second(tx, row.id)
        then: dict[str, Any] = {"moves_off_else": False}
        if not by_stop:
            then |= {"moving_to": "", "not_moved": why[:255]}
        elif not restarted:
            then |= {"force_after": tx.now + run.settings.stop_grace_seconds}
        names = ("moves", "moving_to", "not_moved")
        if not instance.move(tx, row.id, {name: row._mapping[name] for name in names}, **then):
            raise Later(0.0, "the instance has changed meanwhile")
        begin(tx, row.id)
        turns.wake_next(tx, row)
        work.wake(tx, "instance", row.id)
    log.warning("not moved live", instance=row.id, to=row.moving_to, why=why, stopped=by_stop)
    raise Later(0.0, f"it does not move live: {why}")


def _say_disk_moved(tx: Tx, disk: Row) -> bool:
    """It is on the other host, and is to be deleted on the first one where that has not the same file."""
    if host.share_volumes(tx, disk.host, disk.moving_to):
        return capacity.hand_over(tx, disk, disk.moving_to)
    return volume.say_moved(tx, disk)


def _say_disk_stays(tx: Tx, disk: Row) -> bool:
    """It is where it was, and is to be deleted on the other host where that has not the same file."""
    if host.share_volumes(tx, disk.host, disk.moving_to):
        return capacity.keep(tx, disk)
    return volume.give_up_move(tx, disk)


def remove_there(run: Run, row: Row) -> None:
    """Nothing of a guest that is to go is left on the host that it was moving to."""
    if row.moves_live:
        lost.remove(run, "compute", row.moving_to, row.id)


def is_carried(tx: Tx, id: str) -> bool:
    """Whether a volume that moves goes with its guest, which writes to it and copies it itself."""
    held = attachment.of_volume(tx, id)
    guest = instance.find(tx, held.instance) if held is not None else None
    return guest is not None and bool(guest.moves_live)
