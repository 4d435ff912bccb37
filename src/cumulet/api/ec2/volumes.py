"""Volumes: for now the root disks of instances, as clients look them up."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.lib.errors import Refusal
from cumulet.model import tag, volume, work
from cumulet.model.database import Row

_FILTERS = {
    "attachment.attach-time": "Attachments.AttachTime",
    "attachment.delete-on-termination": "Attachments.DeleteOnTermination",
    "attachment.device": "Attachments.Device",
    "attachment.instance-id": "Attachments.InstanceId",
    "attachment.status": "Attachments.State",
    "availability-zone": "AvailabilityZone",
    "create-time": "CreateTime",
    "encrypted": "Encrypted",
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
    filters=dict(_FILTERS),
)
def describe_volumes(ctx: Context) -> list[Item]:
    """The account's volumes, each with the instance that it is in."""
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, ["volume"])
        return [_item(row, tags.get(row.id, [])) for row in volume.of_account(tx, ctx.account)]


def _item(row: Row, tags: list[dict[str, str]]) -> Item:
    attachment = {
        "VolumeId": row.id,
        "InstanceId": row.instance,
        "Device": row.device,
        "State": "attached" if row.desired == "present" else "detaching",
        "AttachTime": row.attached or row.created,
        "DeleteOnTermination": row.delete_on_termination,
    }
    free = "creating" if row.state == "creating" else "available"
    return {
        "VolumeId": row.id,
        "Size": row.size_gib,
        "VolumeType": row.type,
        "AvailabilityZone": row.zone,
        "State": "deleting" if row.desired == "absent" else ("in-use" if row.instance else free),
        "CreateTime": row.created,
        "Encrypted": False,
        "MultiAttachEnabled": False,
        "SnapshotId": "",
        "Iops": 3000,
        "Throughput": 125,
        "Attachments": [attachment] if row.instance else [],
        "Tags": tags,
    }


@describes("VolumesModifications", id="VolumeId", ids="volume_ids", missing="InvalidVolumeModification.NotFound")
def describe_volumes_modifications(ctx: Context) -> list[Item]:
    """No volume has been modified: that is not possible yet."""
    return []


@describes(
    "LaunchTemplates",
    id="LaunchTemplateId",
    ids="launch_template_ids",
    missing="InvalidLaunchTemplateId.NotFound",
)
def describe_launch_templates(ctx: Context, launch_template_names: list[str] | None = None) -> list[Item]:
    """There are none yet; Terraform asks before each plan of an instance."""
    if launch_template_names:
        names = ", ".join(launch_template_names)
        raise Refusal(
            "InvalidLaunchTemplateName.NotFoundException",
            f"At least one of the launch templates does not exist: {names}",
        )
    return []


@describes(
    "IamInstanceProfileAssociations",
    id="AssociationId",
    ids="association_ids",
    missing="InvalidAssociationID.NotFound",
)
def describe_iam_instance_profile_associations(ctx: Context) -> list[Item]:
    """There are no instance profiles yet."""
    return []


@action()
def delete_volume(ctx: Context, volume_id: str) -> Result:
    """Have a volume that no instance holds go, such as a root disk that has outlived its instance."""
    with ctx.write() as tx:
        row = volume.find(tx, volume_id)
        if row is None or row.account != ctx.account:
            raise Refusal("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
        if row.instance is not None:
            raise Refusal("VolumeInUse", f"Volume {volume_id} is currently attached to {row.instance}")
        table = volume.volume
        tx.change(table.update().where(table.c.id == row.id).values(desired="absent"))
        work.wake(tx, "volume", row.id)
    return {}
