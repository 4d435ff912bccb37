"""What a cloud's users do with volumes."""

from __future__ import annotations

from crash.lives import Life, Place, launch, launch_beside, reboot, start, stop, terminate
from crash.site import ZONES, Site

from cumulet.control import moving
from cumulet.control.fleet import Fleet
from cumulet.lib import ids
from cumulet.model import attachment, capacity, instance, snapshot, volume, work


def create_volume(site: Place, host: str | None = None, *, encrypted: bool = False) -> str:
    """A volume on this host, or on any that serves the first zone."""
    id = ids.new("volume")
    with site.database.write() as tx:
        if host is None:
            host = capacity.place_disk(tx, ZONES[0], 1, site.config)
        else:
            assert capacity.claim_disk(tx, host, 1, site.config)
        values = {"id": id, "account": site.account, "zone": ZONES[0], "host": host, "size_gib": 1}
        key = volume.new_key(tx) if encrypted else ""
        tx.insert(volume.volume, {**values, "created": tx.now, "sealed": key})
        work.wake(tx, "volume", id)
    return id


def delete_volume(site: Place, id: str) -> None:
    """It goes, if no instance holds it."""
    with site.database.write() as tx:
        row = attachment.find_volume(tx, id)
        if row is not None and row.attachment is None:
            volume.change(tx, id, desired="absent")
            work.wake(tx, "volume", id)


def attach(site: Place, id: str, guest: str, slot: str = "f") -> None:
    """The volume is in the instance, if it is free and the instance is there."""
    with site.database.write() as tx:
        row, owner = attachment.find_volume(tx, id), instance.find(tx, guest)
        if row is None or row.attachment is not None or owner is None or owner.desired == "terminated":
            return
        held = {"account": site.account, "volume": id, "instance": guest, "device": f"/dev/sd{slot}", "slot": slot}
        attachment.add(tx, held)
        work.wake(tx, "instance", guest)


def take_snapshot(site: Place, id: str) -> str:
    made = ids.new("snapshot")
    with site.database.write() as tx:
        row = volume.find(tx, id)
        assert row is not None
        values = {
            "id": made,
            "account": site.account,
            "volume": id,
            "host": row.host,
            "size_gib": 1,
            "sealed": row.sealed,
        }
        tx.insert(snapshot.snapshot, {**values, "base": row.image_file or row.base, "created": tx.now})
        work.wake(tx, "snapshot", made)
    return made


def make_image(site: Place, guest: str) -> None:
    """The snapshots of an image, taken between two starts of the guest."""
    next_start = instance.instance.c.generation + 1
    with site.database.write() as tx:
        for disk in attachment.disks(tx, guest):
            values = {"account": site.account, "volume": disk.id, "host": disk.host, "size_gib": 1, "instance": guest}
            values |= {"sealed": disk.sealed}
            waiting = {**values, "id": ids.new("snapshot"), "state": "waiting", "created": tx.now}
            tx.insert(snapshot.snapshot, waiting)
        work.wake(tx, "instance", guest)
        instance.move(tx, guest, {"desired": "running"}, generation=next_start, force_after=tx.now + 60)


def copy_snapshot(site: Place, id: str) -> str:
    made = ids.new("snapshot")
    with site.database.write() as tx:
        row = snapshot.find(tx, id)
        assert row is not None
        values = {"id": made, "account": site.account, "volume": snapshot.NO_VOLUME, "source": id, "host": row.host}
        values |= {"sealed": row.sealed}
        tx.insert(snapshot.snapshot, {**values, "size_gib": 1, "created": tx.now})
        work.wake(tx, "snapshot", made)
    return made


def create_volume_from(site: Place, id: str, host: str = "") -> str:
    """A volume made from a snapshot, on this host or on the snapshot's."""
    made = ids.new("volume")
    with site.database.write() as tx:
        row = snapshot.find(tx, id)
        assert row is not None and capacity.claim_disk(tx, host or row.host, 1, site.config)
        values = {
            "id": made,
            "account": site.account,
            "zone": ZONES[0],
            "host": host or row.host,
            "size_gib": 1,
            "sealed": row.sealed,
        }
        tx.insert(volume.volume, {**values, "snapshot": id, "created": tx.now})
        work.wake(tx, "volume", made)
    return made


def delete_snapshot(site: Place, id: str) -> None:
    with site.database.write() as tx:
        snapshot.change(tx, id, desired="absent")
        work.wake(tx, "snapshot", id)


def grow(site: Place, id: str) -> None:
    with site.database.write() as tx:
        row = attachment.find_volume(tx, id)
        if row is None or not capacity.claim_disk(tx, row.host, 1, site.config):
            return
        volume.change(tx, id, size_gib=row.size_gib + 1, modified=tx.now)
        work.wake(tx, "volume", id)
        if row.instance is not None:
            work.wake(tx, "instance", row.instance)


def detach(site: Place, id: str, *, force: bool = False) -> None:
    with site.database.write() as tx:
        held = attachment.of_volume(tx, id)
        if held is not None and attachment.move(
            tx, held.id, "attached", desired="detached", state="detaching", asked=tx.now, forced=force
        ):
            work.wake(tx, "instance", held.instance)


def _with_volume(site: Site) -> list[str]:
    return [launch(site), create_volume(site)]


def _with_volume_away(site: Site) -> list[str]:
    """An instance on the first host, and a volume on the second one."""
    return [launch(site), create_volume(site, "h2")]


def _attached_away(site: Site) -> list[str]:
    found = _with_volume_away(site)
    site.settle()
    attach(site, found[1], found[0])
    return found


def _detach_by_force(site: Site, found: list[str]) -> None:
    detach(site, found[1], force=True)


def carry(site: Place, id: str) -> None:
    """The volume is to be on the host where it is not."""
    with site.database.write() as tx:
        row = volume.find(tx, id)
        if row is not None and row.host is not None:
            moving.carry(tx, site.config, row, "h1" if row.host == "h2" else "h2")


def _carry_and_delete(site: Site, found: list[str]) -> None:
    carry(site, found[0])
    delete_volume(site, found.pop())


def migrate(site: Site, id: str, how: moving.How) -> None:
    """The instance is to be on the other host."""
    with site.database.write() as tx:
        fleet = Fleet(site.config)
        fleet.learn(tx)
        moving.ask(tx, site.config, fleet, id, how=how)


def _migrate(site: Site, found: list[str]) -> None:
    migrate(site, found[0], "cold")


def _migrate_and_terminate(site: Site, found: list[str]) -> None:
    _migrate(site, found)
    terminate(site, found[0])


def beside(site: Site) -> list[str]:
    """An instance on the second host, whose zone the first one serves too."""
    found = [launch_beside(site)]
    site.settle()
    return found


def _beside_with_volumes(site: Site) -> list[str]:
    """It has a volume on each host."""
    found = [launch_beside(site), create_volume(site, "h1"), create_volume(site, "h2")]
    site.settle()
    attach(site, found[1], found[0], "f")
    attach(site, found[2], found[0], "g")
    site.settle()
    return found


def _stopped_with_volume(site: Site) -> list[str]:
    found = _with_volume(site)
    site.settle()
    stop(site, found[0])
    return found


def _attached(site: Site) -> list[str]:
    found = _with_volume(site)
    site.settle()
    attach(site, found[1], found[0])
    return found


def _attached_and_stopped(site: Site) -> list[str]:
    found = _attached(site)
    site.settle()
    stop(site, found[0])
    return found


def _encrypted(site: Site) -> list[str]:
    return [launch(site), create_volume(site, encrypted=True)]


def _encrypted_away(site: Site) -> list[str]:
    found = [launch(site), create_volume(site, "h2", encrypted=True)]
    site.settle()
    attach(site, found[1], found[0])
    return found


def _its_host_reboots(site: Site, found: list[str]) -> None:
    site.settle()
    site.worlds["h2"].reboot()
    site.start_again()


def _snapshot_and_volume_from(site: Site, found: list[str]) -> None:
    made = take_snapshot(site, found[1])
    site.settle()
    create_volume_from(site, made)


def _attached_beside(site: Site) -> list[str]:
    """Two instances, and a volume that is in the second one."""
    found = [launch(site), launch(site), create_volume(site)]
    site.settle()
    attach(site, found[2], found[1])
    return found


def _move_volume(site: Site, found: list[str]) -> None:
    """Out of one instance, and into the other as soon as that has let go."""
    detach(site, found[2])
    site.settle()
    attach(site, found[2], found[0])


def _attach_and_detach(site: Site, found: list[str]) -> None:
    attach(site, found[1], found[0])
    detach(site, found[1])


def _detach_and_reboot(site: Site, found: list[str]) -> None:
    detach(site, found[1])
    reboot(site, found[0])


def _with_snapshot(site: Site) -> list[str]:
    return [take_snapshot(site, one) for one in _settled_volume(site)]


def _settled_volume(site: Site) -> list[str]:
    found = [create_volume(site)]
    site.settle()
    return found


def _copy_and_delete(site: Site, found: list[str]) -> None:
    """The copy and a volume are still to be made when the snapshot is to go."""
    origin = found.pop()
    copy_snapshot(site, origin)
    create_volume_from(site, origin)
    delete_snapshot(site, origin)


def _elsewhere_and_delete(site: Site, found: list[str]) -> None:
    """The replica, and what is made of it, are still to be made when the snapshot is to go."""
    origin = found.pop()
    create_volume_from(site, origin, "h2")
    delete_snapshot(site, origin)


def _volumes_elsewhere(site: Site, found: list[str]) -> None:
    """Two of one replica, and the second host's own goes while they are made."""
    origin = found.pop()
    delete_volume(site, create_volume_from(site, origin, "h2"))
    create_volume_from(site, origin, "h2")


def _grow_and_detach(site: Site, found: list[str]) -> None:
    grow(site, found[1])
    detach(site, found[1])


def _snapshot_and_stop(site: Site, found: list[str]) -> None:
    take_snapshot(site, found[1])
    stop(site, found[0])


def _attach_and_reboot(site: Site, found: list[str]) -> None:
    attach(site, found[1], found[0])
    site.world.reboot()
    site.start_again()


LIVES = [
    Life("create volume", lambda site: [], lambda site, found: create_volume(site), []),
    Life("delete volume", lambda site: [create_volume(site)], lambda site, found: delete_volume(site, found.pop()), []),
    Life("attach", _with_volume, lambda site, found: attach(site, found[1], found[0]), ["running"]),
    Life(
        "attach to a stopped one",
        _stopped_with_volume,
        lambda site, found: attach(site, found[1], found[0]),
        ["stopped"],
    ),
    Life("detach", _attached, lambda site, found: detach(site, found[1]), ["running"]),
    Life("detach from a stopped one", _attached_and_stopped, lambda site, found: detach(site, found[1]), ["stopped"]),
    Life("attach and detach", _with_volume, _attach_and_detach, ["running"]),
    Life("detach and reboot", _attached, _detach_and_reboot, ["running"]),
    Life("start with a volume", _attached_and_stopped, lambda site, found: start(site, found[0]), ["running"]),
    Life("terminate with a volume", _attached, lambda site, found: terminate(site, found[0]), ["terminated"]),
    Life("move a volume", _attached_beside, _move_volume, ["running", "running"]),
    Life("attach away", _with_volume_away, lambda site, found: attach(site, found[1], found[0]), ["running"]),
    Life("detach away", _attached_away, lambda site, found: detach(site, found[1]), ["running"]),
    Life("detach away by force", _attached_away, _detach_by_force, ["running"]),
    Life("terminate with a volume away", _attached_away, lambda site, found: terminate(site, found[0]), ["terminated"]),
    Life("move a volume to another host", _settled_volume, lambda site, found: carry(site, found.pop()), []),
    Life("move a volume and delete it", _settled_volume, _carry_and_delete, []),
    Life("move an instance with volumes", _beside_with_volumes, _migrate, ["running"]),
    Life("move and terminate", beside, _migrate_and_terminate, ["terminated"]),
    Life("take snapshot away", _attached_away, lambda site, found: take_snapshot(site, found[1]), ["running"]),
    Life("take snapshot", _settled_volume, lambda site, found: take_snapshot(site, found.pop()), []),
    Life("delete snapshot", _with_snapshot, lambda site, found: delete_snapshot(site, found.pop()), []),
    Life("copy snapshot and delete it", _with_snapshot, _copy_and_delete, []),
    Life("make volumes of a snapshot on another host", _with_snapshot, _volumes_elsewhere, [], every=2),
    Life("make one there and delete the snapshot", _with_snapshot, _elsewhere_and_delete, [], every=2),
    Life("take snapshot in a guest", _attached, lambda site, found: take_snapshot(site, found[1]), ["running"]),
    Life("take snapshot and stop", _attached, _snapshot_and_stop, ["stopped"]),
    Life("make an image", _attached, lambda site, found: make_image(site, found[0]), ["running"], every=3),
    Life("grow", _settled_volume, lambda site, found: grow(site, found.pop()), []),
    Life("grow in a guest", _attached, lambda site, found: grow(site, found[1]), ["running"]),
    Life("grow and detach", _attached, _grow_and_detach, ["running"]),
    Life("grow away", _attached_away, lambda site, found: grow(site, found[1]), ["running"], every=3),
    Life("take snapshot of an encrypted one away", _encrypted_away, _snapshot_and_volume_from, ["running"], every=3),
    Life("the host of an encrypted one reboots", _encrypted_away, _its_host_reboots, ["running"], alone=True),
    Life("attach an encrypted one and the host reboots", _encrypted, _attach_and_reboot, ["running"], alone=True),
    Life("attach and the host reboots", _with_volume, _attach_and_reboot, ["running"], alone=True),
]
"""One line for each kind of life, as in `crash.lives`."""
