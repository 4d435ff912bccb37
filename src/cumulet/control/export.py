"""What must be true of exports: a volume on another host than its guest is reached from there, and from nowhere else.

An export belongs to an attachment and is named by it. The volume's host is written down with the attachment before
it is told to export, and until it has said that it does not any more; only then the volume is free.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from cumulet.control import lost
from cumulet.drivers.specs import VolumeExportSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure
from cumulet.model import Tx, attachment, host, volume
from cumulet.model.database import Row


class Reach(NamedTuple):
    """How a guest gets to a volume: the address of its host, the secret where that exports it by iSCSI, and whether it
    does by NBD with TLS. Without an address its own host reaches it as those that it keeps itself."""

    address: str = ""
    secret: str = ""
    tls: bool = False


def have(run: Run, row: Row, disks: list[Row]) -> dict[str, Reach]:
    """Have those of the disks exported that are on other hosts than the instance is; gives how, by attachment.

    It is with TLS, or by iSCSI with a secret of its own, if that was wanted (`volume_export`) when it began. Where both
    hosts open volumes in the same pool, it is there only to shut the other one out when it ends. Raises `Failure`.
    """
    away = [disk for disk in disks if disk.host != row.host]
    if not away:
        return {}
    new = [disk for disk in away if disk.exported != disk.host]
    with run.read() as tx:
        direct = {disk.attachment for disk in away if host.open_the_same(tx, row.host, disk.host)}
    made = {disk.attachment: "" if disk.attachment in direct else _new_secret(run) for disk in new}
    secured = {disk.attachment for disk in away if (wants_tls(run) if disk in new else disk.tls)} - direct
    with run.write() if new else run.read() as tx:
        for disk in new:
            how = {"chap": _sealed(tx, made[disk.attachment]), "tls": disk.attachment in secured}
            attachment.move(tx, disk.attachment, "attached", exported=disk.host, **how)
        known = {disk.attachment: tx.keys.unseal(disk.chap).decode() if disk.chap else "" for disk in away} | made
        served = [disk for disk in away if disk.attachment not in direct]
        reach = {id: Reach() for id in direct}
        for disk in served:
            id = disk.attachment
            reach[id] = Reach(address_of(tx, disk), known[id], id in secured)
        keys = {disk.id: volume.key(tx, disk) for disk in away}
        client = _client(tx, row) if any(known.values()) else ""
    for disk in away:
        secret = reach[disk.attachment].secret
        order: dict[str, Any] = {"secret": secret, "client": client} if secret else {}
        order |= {"direct": True} if disk.attachment in direct else {}
        order |= {"tls": True} if disk.attachment in secured else {}
        order |= {"size_gib": disk.size_gib} if volume.grows(disk) else {}
        run.driver("volume", disk.host).ensure(
            VolumeExportSpec(id=disk.attachment, volume=disk.id, **order, key=keys[disk.id])
        )
    return reach


def _new_secret(run: Run) -> str:
    return secrets.token_hex(16) if run.settings.volume_export == "iscsi" else ""


def wants_tls(run: Run) -> bool:
    """Whether what hosts begin to export by NBD is to be with TLS."""
    return bool(run.settings.volume_export == "nbd-tls")


def _sealed(tx: Tx, secret: str) -> str:
    return tx.keys.seal(secret.encode()) if secret else ""


def _client(tx: Tx, row: Row) -> str:
    found = host.address(tx, row.host)
    if not found:
        raise Failure(f"{row.id} is on {row.host}, which exports by iSCSI do not know: it has no tunnel_address")
    return found


def address_of(tx: Tx, disk: Row) -> str:
    """Where the host of a volume exports it; raises `Failure` where no other host reaches that."""
    found = host.address(tx, disk.host)
    if not found:
        raise Failure(f"{disk.id} is on {disk.host}, which other hosts do not reach: it has no tunnel_address")
    return found


def through_another(run: Run, row: Row, disks: list[Row]) -> list[Row]:
    """These disks of an instance whose host is silent, as far as somebody else can shut that out: who exports them, or,
    of those that the host itself keeps in a pool, another host that opens it. Raises `Failure`."""
    with run.write() as tx:
        place = host.find(tx, row.host)
        other = host.of_store(tx, place.store) if place is not None and "opens" in place.facts else None
        own = [disk for disk in disks if disk.host == row.host and other is not None]
        for disk in own:
            attachment.move(tx, disk.attachment, disk.attach_desired, exported=other)
    for disk in own:
        run.driver("volume", str(other)).ensure(VolumeExportSpec(id=disk.attachment, volume=disk.id, direct=True))
    with run.read() as tx:
        wanted = {disk.attachment for disk in disks}
        return [disk for disk in attachment.disks(tx, row.id) if disk.attachment in wanted and disk.exported]


def end(run: Run, disks: list[Row]) -> None:
    """Nobody reaches these disks from other hosts any more, whose guests have let go of them.

    A host that is lost is not waited for: nobody is left who would ask it, and what it exports is taken away when it is
    back. Where others have the same directory, the disk leaves it. Raises `Failure` while another one does not say so.
    """
    reached = [disk for disk in disks if disk.exported]
    for disk in reached:
        lost.remove(run, "volume", disk.exported, disk.attachment)
    if reached:
        with run.write() as tx:
            for disk in reached:
                attachment.say_unexported(tx, disk.attachment)
                lost.leave_if_lost(tx, disk)


def shut_out(run: Run, disks: list[Row]) -> None:
    """The same of guests that may run and write: each volume's host has to say so; raises `Failure` until then."""
    reached = [disk for disk in disks if disk.exported]
    for disk in reached:
        run.driver("volume", disk.exported).remove(disk.attachment)
    if reached:
        with run.write() as tx:
            for disk in reached:
                attachment.say_unexported(tx, disk.attachment)
