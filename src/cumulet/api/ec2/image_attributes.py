"""Single attributes of an image, and who may use it."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import sharing
from cumulet.api.ec2.image_rows import owned, registered
from cumulet.api.ec2.image_view import block_devices, image_item
from cumulet.api.ec2.instance_rows import one
from cumulet.api.ec2.sharing import Permissions
from cumulet.api.ec2.validation import described_freely, invalid
from cumulet.lib.errors import Refusal
from cumulet.model import image, image_disk
from cumulet.model.database import Row


class AttributeValue(TypedDict, total=False):
    Value: str


@action()
def describe_image_attribute(ctx: Context, image_id: str, attribute: str) -> Result:
    """One attribute; who may use an image is told to its owner only."""
    with ctx.read() as tx:
        if attribute == "launchPermission":
            row = owned(tx, ctx.account, image_id)
            opened = image.permissions(tx, ctx.account).get(row.id, [])
        else:
            row, opened = registered(tx, ctx.account, image_id), []
        disks = image_disk.of(tx, row.id)
    values = _values(row, disks, opened)
    if attribute not in values:
        raise invalid(attribute, "attribute", f"Known are {', '.join(values)}.")
    return {"ImageId": row.id, **values[attribute]}


def _values(row: Row, disks: list[Row], opened: list[str]) -> dict[str, Item]:
    shown = image_item(row, disks, [])
    return {
        "description": {"Description": {"Value": row.description}},
        "launchPermission": {"LaunchPermissions": sharing.shown(row.public, opened)},
        "blockDeviceMapping": {"BlockDeviceMappings": block_devices(row, disks)},
        "bootMode": {"BootMode": {"Value": shown["BootMode"]}},
        "sriovNetSupport": {"SriovNetSupport": {"Value": shown["SriovNetSupport"]}},
        "kernel": {"KernelId": {"Value": row.kernel} if row.kernel else {}},
        "ramdisk": {"RamdiskId": {"Value": row.ramdisk} if row.ramdisk else {}},
        "productCodes": {"ProductCodes": []},
        "tpmSupport": {"TpmSupport": {}},
        "uefiData": {"UefiData": {}},
        "imdsSupport": {"ImdsSupport": {"Value": shown["ImdsSupport"]} if shown["ImdsSupport"] else {}},
        "lastLaunchedTime": {"LastLaunchedTime": {}},
        "deregistrationProtection": {"DeregistrationProtection": {"Value": row.protection}},
    }


@action()
def modify_image_attribute(
    ctx: Context,
    image_id: str,
    attribute: str = "",
    value: str | None = None,
    description: AttributeValue | None = None,
    launch_permission: Permissions | None = None,
    imds_support: AttributeValue | None = None,
    operation_type: str = "",
    user_groups: list[str] | None = None,
    user_ids: list[str] | None = None,
) -> Result:
    """Change an own image's description, how its guests ask for metadata, or who may launch instances from it."""
    if attribute not in ("", "description", "launchPermission"):
        raise invalid(attribute, "attribute", "description and launchPermission can be changed.")
    text = description.get("Value", "") if description is not None else value
    named = sharing.by_name(operation_type, user_groups or [], user_ids or [])
    imds = imds_word(imds_support.get("Value", "")) if imds_support is not None else None
    if text is None and imds is None and not launch_permission and not named:
        raise Refusal("InvalidParameterCombination", "No attributes specified.")
    if [text is not None, imds is not None, bool(launch_permission or named)].count(True) > 1:
        raise Refusal("InvalidParameterCombination", "Fields for multiple attribute types specified")
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        if text is not None:
            image.change(tx, row.id, description=described_freely(text, "image"))
        if imds is not None:
            image.change(tx, row.id, attributes={**row.attributes, "ImdsSupport": imds})
        if row.disabled and (launch_permission or named):
            raise Refusal("IncorrectState", f"The image '{row.id}' is disabled; it cannot be shared.")
        if (launch_permission or named) and any(disk.sealed for disk in image_disk.of(tx, row.id)):
            text = f"The image '{row.id}' has snapshots that are encrypted with a key of its account's own."
            raise Refusal("InvalidParameter", f"{text} It cannot be shared.")
        for given in (launch_permission or {}, named):
            sharing.change(tx, image.SHARES, row.id, given, "InvalidAMIAttributeItemValue")
    return {}


def imds_word(value: str) -> str:
    """What ImdsSupport can be; raises `Refusal`."""
    if value != "v2.0":
        raise invalid(value, "imdsSupport", "Expecting v2.0.")
    return value


@action()
def reset_image_attribute(ctx: Context, image_id: str, attribute: str) -> Result:
    """Nobody but its account may launch instances from the image any more."""
    if attribute != "launchPermission":
        raise invalid(attribute, "attribute", "launchPermission can be reset.")
    with ctx.write() as tx:
        image.SHARES.close(tx, owned(tx, ctx.account, image_id).id)
    return {}


@action()
def get_instance_uefi_data(ctx: Context, instance_id: str) -> Result:
    """Not to be had; Terraform asks it of images too, and takes a refusal for "none"."""
    with ctx.read() as tx:
        row = one(tx, ctx.account, instance_id)
    raise Refusal("UnsupportedOperation", f"The UEFI variables of '{row.id}' are not shown by this cloud.")
