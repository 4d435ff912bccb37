"""Volumes: for now the root disks of instances, as clients look them up."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.filters import Path
from cumulet.lib.errors import Refusal
from cumulet.lib.zones import zone_id
from cumulet.model import Tx, tag, volume, work
from cumulet.model.database import Row
from cumulet.wire.scalars import write_time

_FILTERS: dict[str, Path] = {
    "attachment.attach-time": lambda item: [write_time(one["AttachTime"]) for one in item["Attachments"]],
    "attachment.delete-on-termination": "Attachments.DeleteOnTermination",
    "attachment.device": "Attachments.Device",
    "attachment.instance-id": "Attachments.InstanceId",
    "attachment.status": "Attachments.State",
    "availability-zone": "AvailabilityZone",
    "availability-zone-id": "AvailabilityZoneId",
    "create-time": lambda item: write_time(item["CreateTime"]),
    "encrypted": "Encrypted",
    "fast-restored": "FastRestored",
    "multi-attach-enabled": "MultiAttachEnabled",
    "size": "Size",
    "snapshot-id": "SnapshotId",
    "status": "State",
    "volume-id": "VolumeId",
    "volume-type": "VolumeType",
}


@describes(
    "Volumes",
    id="VolumeId",
    ids="volume_ids",
    missing="InvalidVolume.NotFound",
    malformed="InvalidParameterValue",
    prefix="vol-",
    filters=_FILTERS,
    accepts={"IncludeManagedResources": "no volume here is managed by a service of AWS"},
)
def describe_volumes(ctx: Context) -> list[Item]:
    """The account's volumes, each with the instance that it is in."""
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, ["volume"])
        return [_item(ctx, row, tags.get(row.id, [])) for row in volume.of_account(tx, ctx.account)]


@describes(
    "VolumesModifications",
    id="VolumeId",
    ids="volume_ids",
    missing="InvalidVolumeModification.NotFound",
    filters={"modification-state": "ModificationState", "volume-id": "VolumeId"},
)
def describe_volumes_modifications(ctx: Context) -> list[Item]:
    """No volume has been modified: that is not possible yet."""
    return []


@action()
def delete_volume(ctx: Context, volume_id: str) -> Result:
    """Have a volume that no instance holds go, such as a root disk that has outlived its instance."""
    with ctx.write() as tx:
        row = _found(tx, ctx.account, volume_id)
        if row.instance is not None:
            raise Refusal("VolumeInUse", f"Volume {volume_id} is currently attached to {row.instance}")
        table = volume.volume
        tx.change(table.update().where(table.c.id == row.id).values(desired="absent"))
        work.wake(tx, "volume", row.id)
    return {}


def _found(tx: Tx, account: str, id: str) -> Row:
    row = volume.find(tx, id)
    if row is None or row.account != account:
        raise Refusal("InvalidVolume.NotFound", f"The volume '{id}' does not exist.")
    return row


def _item(ctx: Context, row: Row, tags: list[dict[str, str]]) -> Item:
    performance: Item = {"gp3": {"Iops": 3000, "Throughput": 125}, "gp2": {"Iops": max(100, 3 * row.size_gib)}}
    return {
        "VolumeId": row.id,
        "Size": row.size_gib,
        "VolumeType": row.type,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(ctx.config.region, row.zone),
        "State": _state(row),
        "CreateTime": row.created,
        "Encrypted": False,
        "FastRestored": False,
        "MultiAttachEnabled": False,
        "SnapshotId": "",
        **performance.get(row.type, {}),
        "Attachments": [_attachment(row)] if row.instance is not None else [],
        "Tags": tags,
    }


def _state(row: Row) -> str:
    if row.desired == "absent":
        return "deleting"
    if row.state != "ready":
        return "creating"
    return "in-use" if row.instance is not None else "available"


def _attachment(row: Row) -> Item:
    there = "attached" if row.state == "ready" else "attaching"
    return {
        "VolumeId": row.id,
        "InstanceId": row.instance,
        "Device": row.device,
        "State": "detaching" if row.desired == "absent" else there,
        "AttachTime": row.attached or row.created,
        "DeleteOnTermination": row.delete_on_termination,
    }
