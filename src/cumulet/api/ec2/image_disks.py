"""The disks of images: what of a request or of an instance they are made from, and what comes with a launch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from cumulet.api.ec2.launch_disks import Base, Disk, Kept, Origin, disks, refuse_encryption
from cumulet.api.ec2.launch_request import BlockDeviceMapping
from cumulet.api.ec2.snapshot_rows import completed, owned
from cumulet.api.ec2.volume_types import DEFAULT
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, snapshot
from cumulet.model.database import Row


def origin_for(tx: Tx, account: str, kept: Sequence[Row | Kept]) -> Origin:
    """Finds the snapshots of a launch: the image's own need not be open to the account, others must."""
    own = {disk.snapshot for disk in kept}
    return lambda id: _found(tx, id) if id in own else completed(tx, account, id)


def _found(tx: Tx, id: str) -> Row:
    row = snapshot.find(tx, id)
    if row is None:
        raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{id}' does not exist.")
    return row


def of_snapshots(tx: Tx, account: str, root_device: str, mappings: list[BlockDeviceMapping]) -> list[Disk]:
    """The disks of a new image, of which the root is made from an own snapshot; raises `Refusal`."""
    origin = partial(_own_completed, tx, account)
    root = next((one for one in mappings if one.get("DeviceName") == root_device), None)
    ebs = (root or {}).get("Ebs") or {}
    if not ebs.get("SnapshotId"):
        raise Refusal(
            "InvalidBlockDeviceMapping",
            f"The root device {root_device} needs a mapping with an Ebs.SnapshotId, or the image an ImageLocation.",
        )
    row = origin(ebs["SnapshotId"])
    kept = Kept(root_device, row.id, int(row.size_gib), DEFAULT, 0, 0, True)
    return refuse_encryption(disks(Base("new", root_device, kept.size_gib, {}), [kept], mappings, origin))


def _own_completed(tx: Tx, account: str, id: str) -> Row:
    owned(tx, account, id)
    return completed(tx, account, id)


def of_instance(
    tx: Tx, guest: Row, attached: list[Row], mappings: list[BlockDeviceMapping]
) -> tuple[list[Disk], list[Row]]:
    """The disks of a new image of an instance, and those of its volumes of which snapshots are to be taken."""
    root = next((disk for disk in attached if disk.device == guest.root_device), None)
    if root is None:
        text = f"The instance '{guest.id}' has no volume attached at root ({guest.root_device})."
        raise Refusal("IncorrectInstanceState", text)
    kept = [
        Kept(disk.device, None, int(disk.size_gib), disk.type, disk.iops, disk.throughput, disk.delete_on_termination)
        for disk in attached
    ]
    base = Base(guest.id, guest.root_device, int(root.size_gib), {})
    found = refuse_encryption(disks(base, kept, mappings, partial(_own_completed, tx, guest.account)))
    _check_sizes(found, attached)
    fresh = {disk.device for disk in found if disk.snapshot is None}
    return found, [disk for disk in attached if disk.device in fresh]


def _check_sizes(found: list[Disk], attached: list[Row]) -> None:
    sizes = {disk.device: disk.size_gib for disk in attached}
    for disk in found:
        least = sizes.get(disk.device, 0) if disk.snapshot is None else 0
        if disk.shape.size_gib < least:
            raise Refusal(
                "InvalidBlockDeviceMapping",
                f"Volume of size {disk.shape.size_gib}GB at {disk.device} is smaller than the instance's, expect size "
                f">= {least}GB",
            )


def columns(found: list[Disk], taken: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of an image's disks; `taken` has new snapshots by device."""
    return [
        {
            "device": disk.device,
            "snapshot": taken.get(disk.device, disk.snapshot),
            "delete_on_termination": disk.delete_on_termination,
            **disk.shape._asdict(),
        }
        for disk in found
    ]
