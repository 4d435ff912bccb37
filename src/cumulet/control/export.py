"""What must be true of exports: a volume on another host than its guest is reached from there, and from nowhere else.

An export belongs to an attachment and is named by it. The volume's host is written down with the attachment before
it is told to export, and until it has said that it does not any more; only then the volume is free.
"""

from __future__ import annotations

from cumulet.drivers.specs import VolumeExportSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure
from cumulet.model import Tx, attachment, host
from cumulet.model.database import Row


def have(run: Run, row: Row, disks: list[Row]) -> dict[str, str]:
    """Have those of the disks exported that are on other hosts than the instance is; gives where, by attachment.

    Raises `Failure`.
    """
    away = [disk for disk in disks if disk.host != row.host]
    if not away:
        return {}
    new = [disk for disk in away if disk.exported != disk.host]
    with run.write() if new else run.read() as tx:
        where = {disk.attachment: address_of(tx, disk) for disk in away}
        for disk in new:
            attachment.move(tx, disk.attachment, "attached", exported=disk.host)
    for disk in away:
        spec = VolumeExportSpec(id=disk.attachment, volume=disk.id)
        run.driver("volume", disk.host).ensure(spec)
    return where


def address_of(tx: Tx, disk: Row) -> str:
    """Where the host of a volume exports it; raises `Failure` where no other host reaches that."""
    found = host.address(tx, disk.host)
    if not found:
        raise Failure(f"{disk.id} is on {disk.host}, which other hosts do not reach: it has no tunnel_address")
    return found


def end(run: Run, disks: list[Row]) -> None:
    """Nobody reaches these disks from other hosts any more; raises `Failure` while one's host does not say so."""
    reached = [disk for disk in disks if disk.exported]
    for disk in reached:
        run.driver("volume", disk.exported).remove(disk.attachment)
    if reached:
        with run.write() as tx:
            for disk in reached:
                attachment.say_unexported(tx, disk.attachment)
