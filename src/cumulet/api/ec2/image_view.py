"""From rows to AWS's Image."""

from __future__ import annotations

from cumulet.api.actions import Item
from cumulet.api.ec2.instance_view import BOOT_MODES
from cumulet.model.database import Row
from cumulet.wire.scalars import write_time

ALIAS = "amazon"
"""AWS's word for who provides the public images; here that is the cloud's operator."""


def image_item(row: Row, disks: list[Row], tags: list[dict[str, str]]) -> Item:
    """An image with its state, as `model.image` gives it, and those disks of its own that it has."""
    return {
        "ImageId": row.id,
        "Name": row.name,
        "Description": row.description or None,
        "ImageLocation": row.location,
        "OwnerId": row.account,
        "ImageOwnerAlias": ALIAS if row.public and row.provided else None,
        "Public": row.public,
        "State": row.state or "failed",
        "StateReason": _reason(row),
        "CreationDate": write_time(row.created),
        "ImageType": row.kind,
        "KernelId": row.kernel or None,
        "RamdiskId": row.ramdisk or None,
        "Architecture": row.architecture,
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "EnaSupport": row.attributes.get("EnaSupport", False),
        "SriovNetSupport": row.attributes.get("SriovNetSupport"),
        "RootDeviceType": "ebs" if row.kind == "machine" else "instance-store",
        "RootDeviceName": row.root_device if row.kind == "machine" else None,
        "BlockDeviceMappings": block_devices(row, disks),
        "BootMode": row.attributes.get("BootMode") or BOOT_MODES.get(row.boot),
        "ImdsSupport": row.attributes.get("ImdsSupport"),
        "DeprecationTime": write_time(row.deprecates) if row.deprecates is not None else None,
        "DeregistrationProtection": row.protection,
        "ImageAllowed": True,
        "FreeTierEligible": False,
        "SourceInstanceId": row.attributes.get("SourceInstanceId"),
        "SourceImageId": row.attributes.get("SourceImageId"),
        "SourceImageRegion": row.attributes.get("SourceImageRegion"),
        "ProductCodes": [],
        "Tags": tags,
    }


def block_devices(row: Row, disks: list[Row]) -> list[Item]:
    """The image's own disks, the root disk first, or the one that its file is; of a kernel or a RAM disk none."""
    if row.kind != "machine":
        return []
    if disks:
        return [_mapping(disk) for disk in sorted(disks, key=lambda disk: disk.device != row.root_device)]
    ebs = {
        "DeleteOnTermination": row.attributes.get("DeleteOnTermination", True),
        "VolumeSize": row.root_gib,
        "VolumeType": row.attributes.get("VolumeType", "gp3"),
        "Encrypted": False,
    }
    return [{"DeviceName": row.root_device, "Ebs": ebs}]


def _mapping(disk: Row) -> Item:
    ebs: Item = {
        "DeleteOnTermination": disk.delete_on_termination,
        "VolumeSize": disk.size_gib,
        "VolumeType": disk.type,
        "Encrypted": bool(disk.sealed),
        "SnapshotId": disk.snapshot,
        "Iops": disk.iops or None,
        "Throughput": disk.throughput or None,
    }
    return {"DeviceName": disk.device, "Ebs": ebs}


def _reason(row: Row) -> Item | None:
    if row.state is None:
        return {"Code": "Client.InternalError", "Message": "The image's file has been removed."}
    if row.state == "pending" and row.stage:
        return {"Code": "pending", "Message": row.stage}
    return {"Code": row.reason_code, "Message": row.reason} if row.reason_code else None
