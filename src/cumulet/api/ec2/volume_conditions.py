"""What policies may ask of volumes and snapshots: of those that are there, and of those that a request would make.

Source: the condition keys of the resource types `volume` and `snapshot` in the Service Authorization Reference. What
the account's default makes of a request counts as if it had been asked for.
"""

from __future__ import annotations

from typing import Any

from cumulet.api.context import Context
from cumulet.api.ec2.image_disks import origin_for
from cumulet.api.ec2.image_rows import launchable
from cumulet.api.ec2.launch_disks import Disk, disks
from cumulet.api.ec2.validation import arn
from cumulet.api.ec2.volume_types import DEFAULT
from cumulet.lib import devices
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, attachment, image_disk, instance, snapshot
from cumulet.model.database import Row

Conditions = dict[str, Any]


def of_present(tx: Tx, ctx: Context, kind: str, id: str) -> Conditions:
    """The keys of a volume of the account's, or of a snapshot; none of what is not there."""
    row = attachment.find_volume(tx, id) if kind == "volume" else snapshot.find(tx, id)
    if row is None or (kind == "volume" and row.account != ctx.account):
        return {}
    if kind == "snapshot":  # whether it is encrypted says nothing of what is made from it
        keys = {"ec2:VolumeSize": str(row.size_gib), "ec2:Owner": row.account}
        return keys | ({"ec2:ParentVolume": arn(ctx, "volume", row.volume)} if row.account == ctx.account else {})
    keys = _keys(bool(row.sealed), row.size_gib)
    limits = {"ec2:VolumeIops": row.iops, "ec2:VolumeThroughput": row.throughput}
    keys |= {"ec2:AvailabilityZone": row.zone, "ec2:VolumeType": row.type, **_parent(ctx, row.snapshot)}
    return keys | {key: str(value) for key, value in limits.items() if value}


def of_made(tx: Tx, ctx: Context, name: str, kind: str, parameters: dict[str, Any]) -> list[Conditions]:
    """The keys of each volume or snapshot that an action makes; of what else it makes there are none.

    What will be refused for another reason has some too: they say least of encryption, so that nobody gets round a
    denial.
    """
    if kind == "volume" and name == "RunInstances":
        found = [_of_disk(tx, ctx, disk) for disk in _launched(tx, ctx, parameters)]
        return [one for number, one in enumerate(found) if one not in found[:number]] or [_keys(False)]
    if kind == "volume":
        return [_of_volume(tx, ctx, parameters)]
    return _of_snapshots(tx, ctx, name, parameters) if kind == "snapshot" else [{}]


def _launched(tx: Tx, ctx: Context, parameters: dict[str, Any]) -> list[Disk]:
    try:
        image = launchable(tx, ctx.account, parameters.get("ImageId") or "")
        kept = image_disk.of(tx, image.id)
        return disks(image, kept, parameters.get("BlockDeviceMappings") or [], origin_for(tx, ctx.account, kept))
    except Refusal:
        return []


def _of_disk(tx: Tx, ctx: Context, disk: Disk) -> Conditions:
    shape = disk.shape
    keys = _keys(_encrypted(tx, ctx, disk.encrypted, disk.snapshot), shape.size_gib)
    limits = {"ec2:VolumeIops": shape.iops, "ec2:VolumeThroughput": shape.throughput}
    keys |= {key: str(value) for key, value in limits.items() if value}
    return keys | {"ec2:VolumeType": shape.type, **_parent(ctx, disk.snapshot)}


def _of_volume(tx: Tx, ctx: Context, parameters: dict[str, Any]) -> Conditions:
    origin = parameters.get("SnapshotId")
    row = snapshot.find(tx, origin) if origin else None
    size = parameters.get("Size") or (row.size_gib if row is not None else 0)
    keys = _keys(_encrypted(tx, ctx, parameters.get("Encrypted"), origin), size) | _parent(ctx, origin)
    named = {"VolumeIops": "Iops", "VolumeThroughput": "Throughput", "VolumeType": "VolumeType"}
    given = {f"ec2:{key}": str(value) for key, name in named.items() if (value := parameters.get(name))}
    return keys | {"ec2:VolumeType": DEFAULT} | given


def taken_of(tx: Tx, ctx: Context, wanted: dict[str, Any]) -> list[Row]:
    """The volumes of which `CreateSnapshots` takes snapshots, by its InstanceSpecification."""
    guest = instance.find(tx, wanted.get("InstanceId") or "")
    disks = attachment.disks(tx, guest.id) if guest is not None and guest.account == ctx.account else []
    without = set(wanted.get("ExcludeDataVolumeIds") or [])
    no_root = bool(wanted.get("ExcludeBootVolume"))
    return [disk for disk in disks if disk.id not in without and not (no_root and disk.slot == devices.ROOT)]


def _of_snapshots(tx: Tx, ctx: Context, name: str, parameters: dict[str, Any]) -> list[Conditions]:
    """Those of each snapshot that is made: none where nothing is kept as one."""
    if name == "CreateSnapshot":
        row = attachment.find_volume(tx, parameters.get("VolumeId") or "")
        return [_of_taken(ctx, row) if row is not None and row.account == ctx.account else {}]
    if name in ("CreateSnapshots", "CreateImage"):
        wanted = parameters if name == "CreateImage" else parameters.get("InstanceSpecification") or {}
        return [_of_taken(ctx, disk) for disk in taken_of(tx, ctx, {**wanted})] or [{}]
    if name == "CopyImage":
        asked, kept = parameters.get("Encrypted"), image_disk.of(tx, parameters.get("SourceImageId") or "")
        taken = any(disk.snapshot for disk in kept) or asked or account.encrypts_volumes(tx, ctx.account)
        return [{}] if taken else []
    if name in ("CopySnapshot", "ImportSnapshot"):
        origin = parameters.get("SourceSnapshotId")
        return [_keys(_encrypted(tx, ctx, parameters.get("Encrypted"), origin)) | _parent(ctx, origin)]
    return [{}]


def _of_taken(ctx: Context, disk: Row) -> Conditions:
    """A snapshot that is taken of a volume; whether that is encrypted is asked of the volume itself."""
    size, volume = str(disk.size_gib), arn(ctx, "volume", disk.id)
    return {"ec2:VolumeSize": size, "ec2:ParentVolume": volume, "ec2:SourceAvailabilityZone": disk.zone}


def _encrypted(tx: Tx, ctx: Context, asked: bool | None, origin: str | None) -> bool:
    if asked or account.encrypts_volumes(tx, ctx.account):
        return True
    row: Row | None = snapshot.find(tx, origin) if origin else None
    return row is not None and bool(row.sealed)


def _keys(encrypted: bool, size_gib: int = 0) -> Conditions:
    size = {"ec2:VolumeSize": str(size_gib)} if size_gib else {}
    return {"ec2:Encrypted": "true" if encrypted else "false", **size}


def _parent(ctx: Context, origin: str | None) -> Conditions:
    return {"ec2:ParentSnapshot": arn(ctx, "snapshot", origin)} if origin else {}
