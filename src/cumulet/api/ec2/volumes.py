"""Volumes: created, described and deleted."""

from __future__ import annotations

from typing import TypedDict, Unpack

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import client_tokens
from cumulet.api.ec2.encryption import check_key, sealed
from cumulet.api.ec2.snapshot_rows import completed
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import missing
from cumulet.api.ec2.volume_rows import create, owned, zone_named
from cumulet.api.ec2.volume_types import DEFAULT, Shape, shaped
from cumulet.api.ec2.volume_view import volume_item
from cumulet.api.filters import Path, never
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, attachment, tag, volume, work
from cumulet.model.database import Row
from cumulet.wire.scalars import write_time

_FILTERS: dict[str, Path] = {
    **never("operator.principal"),
    "operator.managed": "Operator.Managed",
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


class VolumeRequest(TypedDict, total=False):
    availability_zone: str
    availability_zone_id: str
    client_token: str
    encrypted: bool
    iops: int
    kms_key_id: str
    multi_attach_enabled: bool
    size: int
    snapshot_id: str
    tag_specifications: list[TagSpecification]
    throughput: int
    volume_type: str


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
        return [volume_item(ctx, row, tags.get(row.id, [])) for row in attachment.volumes(tx, ctx.account)]


@action()
def create_volume(ctx: Context, **request: Unpack[VolumeRequest]) -> Result:
    """Write down a new volume; its host makes it."""
    _refuse_unsupported(request)
    check_key(ctx, request.get("kms_key_id", ""), encrypted=request.get("encrypted", False))
    zone = zone_named(ctx, request.get("availability_zone"), request.get("availability_zone_id"))
    tags = tags_for(request.get("tag_specifications"), "volume")
    with ctx.write() as tx:
        id = _made(ctx, tx, request, zone, tags)
        row = attachment.find_volume(tx, id)
        if row is None:
            raise Refusal("InvalidVolume.NotFound", f"The volume '{id}' of this client token has been deleted.")
        answer = volume_item(ctx, row, shown(tag.of(tx, id)))
    answer.pop("Attachments")
    return answer


def _made(ctx: Context, tx: Tx, request: VolumeRequest, zone: str, tags: dict[str, str]) -> str:
    """The id of the new volume, or of the one that the same client token has made before."""
    id = ids.new("volume")
    token = request.get("client_token", "")
    before = client_tokens.earlier(tx, ctx.account, "CreateVolume", token, request, {"volume": id})
    if before is not None:
        return str(before["volume"])
    origin = completed(tx, ctx.account, request["snapshot_id"]) if request.get("snapshot_id") else None
    encrypted = request.get("encrypted", False) or account.encrypts_volumes(tx, ctx.account)
    create(ctx, tx, id, zone, _shape(request, origin), origin, sealed(tx, encrypted, origin))
    tag.put(tx, ctx.account, id, "volume", tags)
    return id


def _shape(request: VolumeRequest, origin: Row | None) -> Shape:
    size = request.get("size")
    if origin is not None and size is not None and size < origin.size_gib:
        raise Refusal(
            "InvalidParameterValue",
            f"Volume of size {size}GB is smaller than snapshot '{origin.id}', expect size >= {origin.size_gib}GB",
        )
    if size is None:
        if origin is None:
            raise missing("size/snapshot")
        size = int(origin.size_gib)
    return shaped(request.get("volume_type") or DEFAULT, size, request.get("iops"), request.get("throughput"))


def _refuse_unsupported(request: VolumeRequest) -> None:
    if request.get("multi_attach_enabled"):
        raise Refusal("UnsupportedOperation", "A volume of this cloud is in one instance at a time: no multi-attach.")


@action()
def delete_volume(ctx: Context, volume_id: str) -> Result:
    """Have a volume that no instance holds go, with all that is on it."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, volume_id)
        if row.attachment is not None:
            raise Refusal("VolumeInUse", f"Volume {volume_id} is currently attached to {row.instance}")
        volume.change(tx, row.id, desired="absent")
        work.wake(tx, "volume", row.id)
    return {}
