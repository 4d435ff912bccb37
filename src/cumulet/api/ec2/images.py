"""Images: those that the image command has taken in, as users name them."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.image_rows import owned, usable
from cumulet.api.ec2.tagging import TagSpecification, tags_for
from cumulet.api.ec2.validation import invalid
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import image, tag
from cumulet.model.database import Row
from cumulet.wire.scalars import write_time

_STATES = {"pending": "pending", "available": "available", "failed": "failed"}
_FILTERS = {
    "architecture": "Architecture",
    "block-device-mapping.device-name": "BlockDeviceMappings.DeviceName",
    "block-device-mapping.volume-size": "BlockDeviceMappings.Ebs.VolumeSize",
    "block-device-mapping.volume-type": "BlockDeviceMappings.Ebs.VolumeType",
    "block-device-mapping.delete-on-termination": "BlockDeviceMappings.Ebs.DeleteOnTermination",
    "block-device-mapping.encrypted": "BlockDeviceMappings.Ebs.Encrypted",
    "boot-mode": "BootMode",
    "creation-date": "CreationDate",
    "description": "Description",
    "ena-support": "EnaSupport",
    "hypervisor": "Hypervisor",
    "image-id": "ImageId",
    "image-type": "ImageType",
    "is-public": "Public",
    "manifest-location": "ImageLocation",
    "name": "Name",
    "owner-id": "OwnerId",
    "owner-alias": "ImageOwnerAlias",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "state": "State",
    "state-reason-code": "StateReason.Code",
    "state-reason-message": "StateReason.Message",
    "virtualization-type": "VirtualizationType",
}


@describes(
    "Images",
    id="ImageId",
    ids="image_ids",
    missing="InvalidAMIID.NotFound",
    malformed="InvalidAMIID.Malformed",
    prefix="ami-",
    filters=dict(_FILTERS),
    accepts={
        "IncludeDeprecated": "no image is deprecated",
        "IncludeDisabled": "no image is disabled",
    },
)
def describe_images(
    ctx: Context, owners: list[str] | None = None, executable_users: list[str] | None = None
) -> list[Item]:
    """The account's own images and the public ones; public ones are also `amazon`'s, so that configurations run."""
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, ["image"])
        items = [item(row, tags.get(row.id, [])) for row in image.visible(tx, ctx.account)]
    if owners:
        items = [one for one in items if any(_is_of(ctx, one, owner) for owner in owners)]
    if executable_users:
        items = [one for one in items if any(_may_run(ctx, one, user) for user in executable_users)]
    return items


def _is_of(ctx: Context, one: Item, owner: str) -> bool:
    if owner == "self":
        return bool(one["OwnerId"] == ctx.account)
    return bool(one["Public"]) if owner in ("amazon", "aws-marketplace") else bool(one["OwnerId"] == owner)


def _may_run(ctx: Context, one: Item, user: str) -> bool:
    if user == "all":
        return bool(one["Public"])
    return bool(one["OwnerId"] == ctx.account) if user in ("self", ctx.account) else False


def item(row: Row, tags: list[dict[str, str]]) -> Item:
    """AWS's Image."""
    disk = {"VolumeSize": row.root_gib, "VolumeType": "gp3", "DeleteOnTermination": True, "Encrypted": False}
    found: Item = {
        "ImageId": row.id,
        "Name": row.name,
        "Description": row.description or None,
        "ImageLocation": row.location,
        "OwnerId": row.account,
        "ImageOwnerAlias": "amazon" if row.public else None,
        "Public": row.public,
        "State": _STATES.get(row.state or "", "invalid"),
        "ImageType": "machine",
        "Architecture": row.architecture,
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "EnaSupport": True,
        "SriovNetSupport": "simple",
        "RootDeviceType": "ebs",
        "RootDeviceName": row.root_device,
        "BlockDeviceMappings": [{"DeviceName": row.root_device, "Ebs": disk}],
        "CreationDate": write_time(row.created),
        "BootMode": "uefi" if row.boot == "uefi" else "legacy-bios",
        "Tags": tags,
    }
    if row.state == "failed":
        found["StateReason"] = {"Code": row.reason_code, "Message": row.reason}
    return found


class AttributeValue(TypedDict, total=False):
    Value: str


class LaunchPermission(TypedDict, total=False):
    Group: str


class LaunchPermissions(TypedDict, total=False):
    Add: list[LaunchPermission]
    Remove: list[LaunchPermission]


@action()
def describe_image_attribute(ctx: Context, image_id: str, attribute: str) -> Result:
    """One attribute of an image that the account may use."""
    with ctx.read() as tx:
        row = usable(tx, ctx.account, image_id)
    shown = item(row, [])
    values: dict[str, Item] = {
        "description": {"Description": {"Value": row.description}},
        "launchPermission": {"LaunchPermissions": [{"Group": "all"}] if row.public else []},
        "blockDeviceMapping": {"BlockDeviceMappings": shown["BlockDeviceMappings"]},
        "bootMode": {"BootMode": {"Value": shown["BootMode"]}},
        "sriovNetSupport": {"SriovNetSupport": {"Value": shown["SriovNetSupport"]}},
        "kernel": {"KernelId": {}},
        "ramdisk": {"RamdiskId": {}},
        "productCodes": {"ProductCodes": []},
    }
    if attribute not in values:
        raise invalid(attribute, "attribute", f"Valid are {', '.join(values)}.")
    return {"ImageId": row.id, **values[attribute]}


@action()
def modify_image_attribute(
    ctx: Context,
    image_id: str,
    attribute: str = "",
    description: AttributeValue | None = None,
    launch_permission: LaunchPermissions | None = None,
    operation_type: str = "",
    user_groups: list[str] | None = None,
) -> Result:
    """Change an own image's description, or give it to all accounts (group `all`) and take it back."""
    changes: dict[str, object] = {}
    if description is not None:
        changes["description"] = description.get("Value", "")
    add = list((launch_permission or {}).get("Add", []))
    remove = list((launch_permission or {}).get("Remove", []))
    (add if operation_type == "add" else remove).extend({"Group": group} for group in user_groups or [])
    for permission in [*add, *remove]:
        if permission.get("Group") != "all":
            raise Refusal("UnsupportedOperation", "Images are given to all accounts (Group=all), or to none.")
    if add or remove:
        changes["public"] = bool(add)
    if not changes:
        raise Refusal("InvalidParameterCombination", "No attribute to change was given.")
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        tx.change(image.image.update().where(image.image.c.id == row.id).values(**changes))
    return {}


@action(
    accepts={
        "EnaSupport": "every guest has virtio, whatever is said",
        "SriovNetSupport": "every guest has virtio, whatever is said",
        "VirtualizationType": "all guests are fully virtual (hvm)",
    }
)
def register_image(
    ctx: Context,
    name: str,
    image_location: str = "",
    description: str = "",
    architecture: str = "",
    root_device_name: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Give an image file that was imported before (`image_location`) a new name and id."""
    tags = tags_for(tag_specifications, "image")
    if not 3 <= len(name) <= 128:
        raise Refusal("InvalidAMIName.Malformed", f"AMI names must be between 3 and 128 characters long, not '{name}'.")
    if not image_location:
        raise Refusal("MissingParameter", "The request must contain the parameter ImageLocation.")
    with ctx.write() as tx:
        if image.named(tx, ctx.account, name) is not None:
            raise Refusal("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI of this account.")
        file = image.file_at(tx, ctx.account, image_location)
        if file is None:
            raise Refusal("InvalidManifest", f"There is no imported image at '{image_location}'; import it first.")
        row = ids.new("image")
        root_gib = max(1, -(-int(file.facts.get("virtual_size", 0)) // 2**30))
        values = {"id": row, "account": ctx.account, "image_file": file.id, "name": name, "description": description}
        values |= {"location": file.location, "root_gib": root_gib, "boot": file.facts.get("boot", "bios")}
        values["architecture"] = architecture or file.facts.get("architecture", "x86_64")
        tx.insert(image.image, values | {"root_device": root_device_name or "/dev/sda1", "created": tx.now})
        tag.put(tx, ctx.account, row, "image", tags)
    return {"ImageId": row}


@action(accepts={"DeleteAssociatedSnapshots": "images have no snapshots here"})
def deregister_image(ctx: Context, image_id: str) -> Result:
    """No instance can be run from it any more; those that run go on."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        tx.change(image.image.update().where(image.image.c.id == row.id).values(deregistered=True))
        tag.remove(tx, row.id)
    return {"Return": True}


@action()
def get_instance_uefi_data(ctx: Context, instance_id: str) -> Result:
    """Terraform asks this of images too, and takes a refusal for "none"."""
    raise Refusal("UnsupportedOperation", f"The UEFI variables of {instance_id} are not shown by this cloud.")
