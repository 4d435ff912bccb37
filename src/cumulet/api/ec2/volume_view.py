"""From rows to AWS's Volume and VolumeAttachment."""

from __future__ import annotations

from cumulet.api.actions import Item
from cumulet.api.context import Context
from cumulet.api.ec2.encryption import shown
from cumulet.api.ec2.instance_view import attach_status
from cumulet.api.ec2.volume_rows import state
from cumulet.api.ec2.volume_types import performance
from cumulet.lib.zones import zone_id
from cumulet.model.database import Row


def volume_item(ctx: Context, row: Row, tags: list[dict[str, str]]) -> Item:
    """A volume as `model.attachment` gives it, as AWS's Volume."""
    return {
        "VolumeId": row.id,
        "VolumeArn": f"arn:aws:ec2:{ctx.config.region}:{row.account}:volume/{row.id}",
        "Size": row.size_gib,
        "VolumeType": row.type,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(ctx.config.region, row.zone),
        "State": state(row),
        "CreateTime": row.created,
        **shown(ctx, row),
        "FastRestored": False,
        "Operator": {"Managed": False},
        "MultiAttachEnabled": False,
        "SnapshotId": row.snapshot or "",
        **performance(row.type, row.size_gib, row.iops, row.throughput),
        "Attachments": [attachment_item(row)] if row.attachment is not None else [],
        "Tags": tags,
    }


def attachment_item(row: Row, state: str = "") -> Item:
    """The volume's attachment as AWS's VolumeAttachment, in its own state or the one given."""
    return {
        "VolumeId": row.id,
        "InstanceId": row.instance,
        "Device": row.device,
        "State": state or attach_status(row),
        "AttachTime": row.attached,
        "DeleteOnTermination": row.delete_on_termination,
    }
