"""Moving: instances, and volumes that no guest has open, go from one host to another.

An instance that runs is carried there by `live`. One that is off, or is to be, is moved by its own reconciler
(`instance.leave`): its guest goes off, nothing of it is left on its host,
and from then on it is one that is to be started on the other. Its volumes are moved by theirs (`step_volume`): the one
host exports the volume to the other, which copies it; what has moved is deleted where it was. Until it has moved it is
where it was, so whatever dies, the next run goes on from what is written down.
"""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa

from cumulet.control import live, lost
from cumulet.control.export import address_of, wants_tls
from cumulet.control.fleet import Fleet
from cumulet.control.placement import Reason, choose, reasons, shortage
from cumulet.control.placing import wish_of
from cumulet.control.volume_key import key_of
from cumulet.drivers.specs import VolumeExportSpec, VolumeSpec, move_export
from cumulet.engine.engine import Run
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure, Later
from cumulet.lib.log import Log
from cumulet.model import (
    Tx,
    attachment,
    capacity,
    host,
    instance,
    instance_use,
    placement_group,
    replica,
    snapshot,
    volume,
    work,
)
from cumulet.model.capacity import Amount
from cumulet.model.database import Row

log = Log("moving")
How = Literal["live", "cold", "live or cold"]
"""While it runs, by a stop and a start, or so where it cannot move while it runs."""
COPY_SECONDS = 1.0
"""From look to look at a copy that is being made."""


def change_host(run: Run, row: Row) -> None:
    """Nothing of the instance is left on its host: it is one of the other host, and its disks go there too."""
    with run.write() as tx:
        disks = [disk for disk in attachment.disks(tx, row.id) if disk.host == row.host]
        why_not = _begin_all(tx, disks, row.moving_to, run.settings)
        there = {}
        if not why_not:
            capacity.release_instance(tx, row.id)
            instance_use.end(tx, row.id)
            there = {"host": row.moving_to} | ({"state": "pending"} if row.desired == "running" else {})
        expected = {"desired": row.desired, "moving_to": row.moving_to}
        if not instance.move(tx, row.id, expected, moving_to="", **there):
            raise Later(0.0, "the instance has changed meanwhile")
        work.wake(tx, "instance", row.id)
    log.info("not moved" if why_not else "moved", instance=row.id, was_on=row.host, to=row.moving_to, error=why_not)


def carry(tx: Tx, config: Config, row: Row, to: str) -> str:
    """Have a volume that no instance has moved to another host; gives what bars it."""
    now = attachment.find_volume(tx, row.id)  # it stays as it is from here on: nobody attaches it
    if now is None or now.attachment is not None:
        return f"{row.id} is gone, or an instance has it"
    return _begin_all(tx, [row], to, config)


def bring_to_snapshot(run: Run, row: Row) -> None:
    """A volume that is nobody's goes to the host on which a snapshot of it is to be, and that goes on when it is there.

    Raises `Failure` where it cannot go there, or cannot now.
    """
    with run.write() as tx:
        for id in snapshot.unfinished(tx, row.id):
            taken = snapshot.find(tx, id)
            if taken is not None and taken.host != row.host:
                _begin(tx, row, taken.host, run.settings)
            else:
                work.wake(tx, "snapshot", id)


def _begin_all(tx: Tx, disks: list[Row], to: str, config: Config) -> str:
    """Have all these volumes copied to another host, or none of them; gives what bars it."""
    try:
        with tx.attempt():
            for disk in disks:
                _begin(tx, disk, to, config)
    except Failure as e:
        return str(e)
    return ""


def _begin(tx: Tx, row: Row, to: str, config: Config) -> None:
    """Have a volume copied to another host, or only kept by it where both have the same directory of volumes.

    Raises `Failure` where it cannot be, or cannot be now.
    """
    shared = host.share_volumes(tx, row.host, to)
    if row.sealed and not host.says(tx, to, "encrypts"):
        raise Failure(f"{row.id} is encrypted, and {to} cannot keep it: its program is of an earlier version")
    if not shared:
        address_of(tx, row)
    _promise(tx, row, to, config)
    if shared:
        capacity.hand_over(tx, row, to)
    work.wake(tx, "volume", row.id)


def _promise(tx: Tx, row: Row, to: str, config: Config) -> None:
    """The volume has its room on the other host too; raises `Failure`."""
    if not volume.begin_move(tx, row.id, row.host, to):
        raise Failure(f"{row.id} is being made, changed or moved: wait")
    if not capacity.claim_disk(tx, to, row.size_gib, config):
        raise Failure(f"{to} has no room for {row.id} ({row.size_gib} GiB)")


def step_volume(run: Run, row: Row) -> bool:
    """Go on with a volume that is moved: gives whether its guest is to carry it, else it is where it is to be."""
    if row.moving_to:
        with run.read() as tx:
            is_carried = live.is_carried(tx, row.id)
        if is_carried:
            _make_room(run, row)
            return True
        _copy(run, row)
        with run.write() as tx:
            unfinished = snapshot.unfinished(tx, row.id, row.host)
            if unfinished:
                raise Later(COPY_SECONDS, f"{', '.join(unfinished)} is being made of it")
            if volume.say_moved(tx, row):
                wake_guest(tx, row.id)
        raise Later(0.0, "it is to be deleted where it was")
    with run.read() as tx:
        unfinished = snapshot.unfinished(tx, row.id, row.moved_from)
    if unfinished:
        raise Later(COPY_SECONDS, f"{', '.join(unfinished)} is being made of it")
    left = run.driver("volume", row.moved_from)
    left.remove(move_export(row.id))
    left.remove(row.id)
    with run.write() as tx:
        capacity.say_left(tx, row)
        wake_guest(tx, row.id)
    return False


def _make_room(run: Run, row: Row) -> None:
    """An empty disk waits where its guest is going to, which fills it; or the same one, where both hosts share it."""
    spec = VolumeSpec(id=row.id, size_gib=row.size_gib, key=key_of(run, row))
    run.driver("volume", row.moving_to).ensure(spec)
    with run.write() as tx:
        wake_guest(tx, row.id)


def wake_guest(tx: Tx, id: str) -> None:
    """The instance that has the volume, if one has, goes on."""
    held = attachment.of_volume(tx, id)
    if held is not None:
        work.wake(tx, "instance", held.instance)


def _copy(run: Run, row: Row) -> None:
    with run.read() as tx:
        address, key = address_of(tx, row), volume.key(tx, row)
    tls = wants_tls(run)
    run.driver("volume", row.host).ensure(VolumeExportSpec(id=move_export(row.id), volume=row.id, tls=tls, key=key))
    there = run.driver("volume", row.moving_to)
    there.ensure(VolumeSpec(id=row.id, size_gib=row.size_gib, source=address, source_tls=tls, key=key))
    if there.look(row.id) is None:
        raise Later(COPY_SECONDS, f"it is copied to {row.moving_to}")


def remove_everywhere(run: Run, row: Row) -> None:
    """The volume is on no host any more, nor on its way."""
    for name in filter(None, (row.moving_to, row.moved_from, row.host)):
        if row.moving_to or row.moved_from:
            lost.remove(run, "volume", name, move_export(row.id))
        lost.remove(run, "volume", name, row.id)


def ask(tx: Tx, config: Config, fleet: Fleet, id: str, to: str = "", how: How = "live") -> dict[str, Any]:
    """Write down that an instance is to be moved: to this host, or to the one that would be chosen for it now.

    One that does not run moves so. Raises `Failure` where that cannot be, with what would be right.
    """
    row = instance.find(tx, id)
    if row is None or row.desired == "terminated":
        raise Failure(f"there is no instance {id}: `cumulet instance list` shows all of them")
    if row.moving_to:
        raise Failure(f"{id} is being moved to {row.moving_to} already")
    disks = attachment.disks(tx, id)
    here = [disk for disk in disks if disk.host == row.host]
    if row.host is None or any(disk.moving_to or disk.moved_from or disk.state != "ready" for disk in here):
        raise Failure(f"{id} cannot be moved now: it, or a disk of it, is being made or moved; wait")
    wanted = Amount(row.vcpus, row.memory_mib, sum(disk.size_gib for disk in here))
    chosen = _choose(tx, config, fleet, row, disks, wanted, to)
    if not host.share_volumes(tx, row.host, chosen):
        _check_reached(tx, row.host, chosen)
    values = {"moving_to": chosen, "moves": row.moves + 1, "not_moved": "", "moved_percent": 0}
    values["move_asked"] = tx.now
    values |= {"moves_live": False, "moves_off_else": how == "live or cold"}
    if how != "cold" and row.desired == "running":
        why_not = _begin_live(tx, config, fleet, row, disks, chosen)
        values["moves_live"] = not why_not
        if why_not and how == "live":
            raise Failure(f"{id} cannot be moved to {chosen} while it runs: {why_not}. `--cold` stops and starts it.")
    fleet.take(chosen, wanted)
    instance.move(tx, id, {"desired": row.desired}, **values, force_after=tx.now + config.stop_grace_seconds)
    live.begin(tx, id)
    work.wake(tx, "instance", id)
    return {"id": id, "from": row.host, "to": chosen, "live": values["moves_live"]}


def cancel(tx: Tx, config: Config, id: str) -> dict[str, Any]:
    """Write down that an instance that is on its way is to stay on the host that it is on.

    One that moves while it runs goes on there; one that is moved by a stop may be going off, and is started anew.
    Raises `Failure` for one that does not move any more.
    """
    row = instance.find(tx, id)
    if row is None or row.desired == "terminated":
        raise Failure(f"there is no instance {id}: `cumulet instance list` shows all of them")
    if not row.moving_to:
        raise Failure(f"{id} is not being moved: it is on {row.host}")
    values: dict[str, Any] = {"not_moved": "the operator has ended the move", "moves_off_else": False}
    if not row.moves_live:
        values["moving_to"] = ""
        if row.desired == "running":
            values |= {"generation": row.generation + 1, "force_after": tx.now + config.stop_grace_seconds}
    names = ("desired", "generation", "host", "moving_to", "moves", "moves_live")
    if not instance.move(tx, id, {name: row._mapping[name] for name in names}, **values):
        raise Failure(f"{id} has changed meanwhile: try again")
    work.wake(tx, "instance", id)
    return {"id": id, "host": row.host, "was_to": row.moving_to, "live": bool(row.moves_live)}


def _choose(tx: Tx, config: Config, fleet: Fleet, row: Row, disks: list[Row], wanted: Amount, to: str) -> str:
    """The host that it is to move to; raises `Failure` with what bars it."""
    together = placement_group.find(tx, row.placement_group) if row.placement_group else None
    wish = wish_of(tx, config, fleet, row, disks, together)._replace(home="", named=to, wanted=wanted)
    wish = wish._replace(encrypts=any(disk.sealed for disk in disks if disk.host == row.host))
    chosen = next((one.host for one in choose(fleet, wish, config.placement_policy) if one.host != row.host), None)
    if chosen is None:
        found = {row.host: Reason("its own", "it is there already"), **reasons(fleet, wish)}
        bars = "it is there already" if to == row.host else shortage(fleet, wish, found)
        raise Failure(f"{row.id} cannot be moved{f' to {to}' if to else ''}: {bars}")
    return chosen


def _begin_live(tx: Tx, config: Config, fleet: Fleet, row: Row, disks: list[Row], to: str) -> str:
    """Promise all that it needs on the other host, as long as it is on both; gives what bars it."""
    why_not = live.bars(tx, row, disks, to)
    if why_not:
        return why_not
    try:
        with tx.attempt():
            if not capacity.claim(tx, to, fleet.hosts[to].revision, Amount(row.vcpus, row.memory_mib, 0), config):
                raise Failure("others were quicker there: try again")
            for disk in disks:
                _promise(tx, disk, to, config)
                work.wake(tx, "volume", disk.id)
    except Failure as e:
        return str(e)
    return ""


def _check_reached(tx: Tx, *names: str) -> None:
    alone = [name for name in names if not host.address(tx, name)]
    if alone:
        raise Failure(f"{' and '.join(alone)} does not reach other hosts: it needs the setting tunnel_address")


def drain(tx: Tx, config: Config, name: str) -> dict[str, Any]:
    """Place nothing more on the host, and have all that is there moved; gives what is moved, and what is not and why.

    What can be moved while it runs is; other instances are stopped and started.

    Snapshots stay. Raises `Failure` where there is no such host.
    """
    host.set_enabled(tx, name, False)
    replica.leave_host(tx, name)
    fleet = Fleet(config)
    fleet.learn(tx)
    moved, stays = [], {}
    for row in instance.on_host(tx, name):
        if row.desired != "terminated" and row.moving_to == "":
            try:
                moved.append(ask(tx, config, fleet, row.id, how="live or cold"))
            except Failure as e:
                stays[row.id] = str(e)
    for row in attachment.free_volumes(tx, name):
        to = _room_elsewhere(fleet, row)
        why_not = carry(tx, config, row, to) if to else _no_room(row)
        if why_not:
            stays[row.id] = why_not
        else:
            moved.append({"id": row.id, "from": name, "to": to})
    return {"moved": moved, "stays": stays}


def _no_room(row: Row) -> str:
    able = "can keep it encrypted, and " if row.sealed else ""
    return f"no other host of {row.zone} {able}has room for it"


def _room_elsewhere(fleet: Fleet, row: Row) -> str | None:
    """The host of the volume's zone with most disk left, its own aside."""
    able = [one for one in fleet.hosts.values() if one.alive and one.enabled and row.zone in one.zones]
    able = [one for one in able if one.name != row.host and one.left.disk_gib >= row.size_gib]
    able = [one for one in able if one.encrypts or not row.sealed]
    best = max(able, key=lambda one: (one.left.disk_gib, one.name), default=None)
    return best.name if best is not None else None


def left_on(tx: Tx, name: str) -> dict[str, Any]:
    """What a host has still: instances, volumes and snapshots, by id."""
    volumes, snapshots = volume.volume, snapshot.snapshot
    there = sa.or_(volumes.c.host == name, volumes.c.moved_from == name)
    return {
        "instances": [row.id for row in instance.on_host(tx, name) if row.state != "terminated"],
        "volumes": list(tx.connection.scalars(sa.select(volumes.c.id).where(there).order_by(volumes.c.id))),
        "snapshots": list(
            tx.connection.scalars(sa.select(snapshots.c.id).where(snapshots.c.host == name).order_by(snapshots.c.id))
        ),
    }
