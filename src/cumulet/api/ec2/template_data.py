"""An instance as the data of a launch template: others like it are launched with these."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import instance_rows
from cumulet.api.ec2.instance_view import items
from cumulet.api.ec2.tagging import RESERVED
from cumulet.lib import devices
from cumulet.model import Tx, attachment, interface
from cumulet.model.database import Row


@action()
def get_launch_template_data(ctx: Context, instance_id: str) -> Result:
    """What the instance was launched with, as far as that can be asked for again: its addresses are its own."""
    with ctx.read() as tx:
        row = instance_rows.one(tx, ctx.account, instance_id)
        (shown,) = items(ctx, tx, [row.id])
        disks = [_disk(disk) for disk in attachment.disks(tx, row.id)]
        nics = [_nic(tx, nic) for nic in interface.of_instance(tx, row.id)]
    tags = [one for one in shown["Tags"] if not one["Key"].startswith(RESERVED)]
    found: dict[str, Any] = {name: shown[name] for name in ("ImageId", "InstanceType", "KeyName", "EbsOptimized")}
    found |= {"BlockDeviceMappings": disks, "NetworkInterfaces": nics, "Placement": _placement(shown)}
    found |= {"UserData": row.user_data or None, "Monitoring": {"Enabled": shown["Monitoring"]["State"] == "enabled"}}
    found |= {"DisableApiTermination": row.disable_api_termination, "DisableApiStop": row.disable_api_stop}
    found |= {"InstanceInitiatedShutdownBehavior": row.shutdown_behavior, "MetadataOptions": _metadata(shown)}
    held = shown["IamInstanceProfile"]
    found |= {"IamInstanceProfile": {"Arn": held["Arn"]}} if held else {}
    found |= {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]} if tags else {}
    return {"LaunchTemplateData": {name: value for name, value in found.items() if value is not None}}


def _disk(disk: Row) -> Item:
    """The root disk is the image's; another one is made from what it was made from."""
    limits = {"Iops": disk.iops or None, "Throughput": disk.throughput or None}
    ebs = {"DeleteOnTermination": disk.delete_on_termination, "VolumeSize": disk.size_gib, "VolumeType": disk.type}
    ebs |= {"Encrypted": True} if disk.sealed else {}
    ebs |= {"SnapshotId": disk.snapshot} if disk.snapshot and disk.slot != devices.ROOT else {}
    return {"DeviceName": disk.device, "Ebs": ebs | {name: value for name, value in limits.items() if value}}


def _nic(tx: Tx, nic: Row) -> Item:
    return {
        "AssociatePublicIpAddress": nic.wants_public_ip,
        "DeleteOnTermination": nic.delete_on_termination,
        "Description": nic.description,
        "DeviceIndex": nic.device_index,
        "Groups": interface.groups(tx, nic.id),
        "InterfaceType": "interface",
        "SubnetId": nic.subnet,
    }


def _placement(shown: Item) -> Item:
    names = ("AvailabilityZone", "GroupName", "PartitionNumber", "Tenancy")
    return {name: shown["Placement"][name] for name in names if shown["Placement"][name]}


def _metadata(shown: Item) -> Item:
    return {name: value for name, value in shown["MetadataOptions"].items() if name != "State"}
