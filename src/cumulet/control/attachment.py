"""What must be true of attachments: the guest has just the disks that it should. The instance's reconciler sees to it.

A volume is free for another guest when its attachment's row is gone, and that goes only when the host has said that
the guest does not have the disk any more, or is not there.
"""

from __future__ import annotations

import msgspec

from cumulet.control import export
from cumulet.control.volume_key import key_of
from cumulet.drivers.specs import DiskSpec
from cumulet.engine.engine import Remote, Run
from cumulet.lib.errors import Later
from cumulet.model import Tx, attachment, host, volume, work
from cumulet.model.database import Row

BUSY_SECONDS = 10.0
"""A guest that has not let go of a disk for so long is using it."""
LOOK_SECONDS = 1.0
"""The host tells when a guest lets go; this is for what was not heard."""


def specs(run: Run, row: Row, disks: list[Row]) -> list[DiskSpec]:
    """The disks that the guest should have; those that are on other hosts are exported to its own."""
    wanted = [disk for disk in disks if _wanted(disk)]
    reach = export.have(run, row, wanted)
    ways = {disk.id: reach.get(disk.attachment, export.Reach()) for disk in wanted}
    keys = {disk.id: key_of(run, disk) for disk in wanted if not ways[disk.id].address}
    return [_spec(row, disk, ways[disk.id], keys.get(disk.id, "")) for disk in wanted]


def _spec(row: Row, disk: Row, reach: export.Reach, key: str) -> DiskSpec:
    return DiskSpec(
        volume=disk.id,
        attachment=disk.attachment,
        slot=disk.slot,
        iops=disk.iops,
        throughput_mib=disk.throughput,
        size_gib=disk.size_gib if volume.grows(disk) else 0,
        export=reach.address,
        secret=reach.secret,
        tls=reach.tls,
        key=key,
    )


def forced(disks: list[Row]) -> list[str]:
    """The disks that go whether the guest lets go of them or not."""
    return [disk.attachment for disk in disks if disk.forced and disk.attach_desired == "detached"]


def unmade(disks: list[Row]) -> list[str]:
    """The volumes that the guest waits for."""
    return [disk.id for disk in disks if (disk.state != "ready" or disk.moving_to) and _wanted(disk)]


def of_wanted(disks: list[Row], taken: list[Row]) -> list[Row]:
    """The snapshots of those disks that the guest should have."""
    there = {disk.id for disk in disks if _wanted(disk)}
    return [one for one in taken if one.volume in there]


def settle(run: Run, row: Row, disks: list[Row]) -> None:
    """Write down what the running guest has; ends in `Later` until it has let go of all that it should."""
    moving = [disk for disk in disks if disk.attach_state != "attached" or disk.attach_desired != "attached"]
    if not moving:
        return
    compute = run.driver("compute", row.host)
    there = set(_asked(compute, "disks", row.id))
    if forced(moving):
        there -= set(_asked(compute, "cut", row.id))
    export.end(run, [disk for disk in moving if not _wanted(disk) and disk.attachment not in there])
    with run.write() as tx:
        held = [disk.id for disk in moving if not _settled(tx, disk, disk.attachment in there)]
    if held:
        raise Later(LOOK_SECONDS, f"waiting for the guest to take or to let go of {', '.join(held)}")


def say_grown(run: Run, disks: list[Row]) -> None:
    """The guest, as it was just ordered to be, has the sizes that were asked for."""
    grown = [disk for disk in disks if _wanted(disk) and volume.grows(disk)]
    if grown:
        with run.write() as tx:
            for disk in grown:
                if volume.say_grown(tx, disk.id, disk.size_gib):
                    work.wake(tx, "volume", disk.id)


def _wanted(disk: Row) -> bool:
    return bool(disk.attach_desired == "attached")


def _asked(compute: Remote, question: str, id: str) -> list[str]:
    return msgspec.json.decode(compute.ask(question, id), type=list[str])


def _settled(tx: Tx, disk: Row, there: bool) -> bool:
    if disk.attach_desired == "attached":
        if there:
            attachment.move(tx, disk.attachment, "attached", state="attached")
        return there
    if not there:
        _free(tx, disk)
    elif disk.attach_state != "busy" and tx.now > (disk.asked or 0.0) + BUSY_SECONDS:
        attachment.move(tx, disk.attachment, "detached", state="busy")
    return not there


def take_from_silent(run: Run, row: Row, disks: list[Row]) -> None:
    """Free what is to go by force from a guest whose host is not heard: the volume's own host shuts that out, or
    another one that has the same pool."""
    going = [disk for disk in disks if disk.forced and not _wanted(disk)]
    if not going:
        return
    with run.read() as tx:
        silent = host.is_silent(tx, host.services_of(tx, row.host).get("compute"))
    if silent:
        going = export.through_another(run, row, going)
        export.shut_out(run, going)
        with run.write() as tx:
            for disk in going:
                _free(tx, disk)


def settle_off(tx: Tx, disks: list[Row]) -> None:
    """The guest is off: it has let go of all, and the next start gives it what it should have."""
    for disk in disks:
        if disk.attach_desired == "detached":
            _free(tx, disk)
        elif disk.attach_state != "attached":
            attachment.move(tx, disk.attachment, "attached", state="attached")
        if disk.host is None and disk.store:
            work.wake(tx, "volume", disk.id)  # no placement gives it a host


def let_go(tx: Tx, instance: str) -> list[str]:
    """The guest is gone for good: its volumes are free, or go with it; gives those that are still to go."""
    going = []
    for disk in attachment.disks(tx, instance):
        if not disk.delete_on_termination or disk.attach_desired == "detached":
            _free(tx, disk)
            continue
        going.append(disk.id)
        if disk.desired != "absent":
            volume.change(tx, disk.id, desired="absent")
            work.wake(tx, "volume", disk.id)
    return going


def _free(tx: Tx, disk: Row) -> None:
    attachment.remove(tx, disk.attachment)
    work.wake(tx, "volume", disk.id)
