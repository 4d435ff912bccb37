"""Single attributes of an image, and who may use it."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.image_rows import owned, registered
from cumulet.api.ec2.image_view import block_devices, image_item
from cumulet.api.ec2.instance_rows import one
from cumulet.api.ec2.validation import described, invalid
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, image
from cumulet.model.database import Row


class AttributeValue(TypedDict, total=False):
    Value: str


class LaunchPermission(TypedDict, total=False):
    Group: str
    UserId: str


class LaunchPermissions(TypedDict, total=False):
    Add: list[LaunchPermission]
    Remove: list[LaunchPermission]


@action()
def describe_image_attribute(ctx: Context, image_id: str, attribute: str) -> Result:
    """One attribute; who may use an image is told to its owner only."""
    with ctx.read() as tx:
        if attribute == "launchPermission":
            row = owned(tx, ctx.account, image_id)
            opened = image.permissions(tx, ctx.account).get(row.id, [])
        else:
            row, opened = registered(tx, ctx.account, image_id), []
    values = _values(row, opened)
    if attribute not in values:
        raise invalid(attribute, "attribute", f"Known are {', '.join(values)}.")
    return {"ImageId": row.id, **values[attribute]}


def _values(row: Row, opened: list[str]) -> dict[str, Item]:
    shown = image_item(row, [])
    everybody = [{"Group": "all"}] if row.public else []
    return {
        "description": {"Description": {"Value": row.description}},
        "launchPermission": {"LaunchPermissions": [*everybody, *({"UserId": user} for user in opened)]},
        "blockDeviceMapping": {"BlockDeviceMappings": block_devices(row)},
        "bootMode": {"BootMode": {"Value": shown["BootMode"]}},
        "sriovNetSupport": {"SriovNetSupport": {"Value": shown["SriovNetSupport"]}},
        "kernel": {"KernelId": {}},
        "ramdisk": {"RamdiskId": {}},
        "productCodes": {"ProductCodes": []},
    }


@action()
def modify_image_attribute(
    ctx: Context,
    image_id: str,
    attribute: str = "",
    value: str | None = None,
    description: AttributeValue | None = None,
    launch_permission: LaunchPermissions | None = None,
    operation_type: str = "",
    user_groups: list[str] | None = None,
    user_ids: list[str] | None = None,
) -> Result:
    """Change an own image's description, or who may launch instances from it."""
    if attribute not in ("", "description", "launchPermission"):
        raise invalid(attribute, "attribute", "description and launchPermission can be changed.")
    text = description.get("Value", "") if description is not None else value
    named = _by_name(operation_type, user_groups or [], user_ids or [])
    if text is None and not launch_permission and not named:
        raise Refusal("InvalidParameterCombination", "No attributes specified.")
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        if text is not None:
            image.change(tx, row.id, description=described(text, "image"))
        for permissions in (launch_permission or {}, named):
            _open(tx, row, permissions.get("Add") or [], permissions.get("Remove") or [])
    return {}


@action()
def get_instance_uefi_data(ctx: Context, instance_id: str) -> Result:
    """Not to be had; Terraform asks it of images too, and takes a refusal for "none"."""
    with ctx.read() as tx:
        row = one(tx, ctx.account, instance_id)
    raise Refusal("UnsupportedOperation", f"The UEFI variables of '{row.id}' are not shown by this cloud.")


def _by_name(operation: str, groups: list[str], users: list[str]) -> LaunchPermissions:
    """The older form: OperationType with UserGroup.N and UserId.N."""
    given: list[LaunchPermission] = [{"Group": group} for group in groups]
    given += [{"UserId": user} for user in users]
    if not given:
        return {}
    if operation not in ("add", "remove"):
        raise invalid(operation, "operationType", "Expecting add or remove.")
    return {"Add": given} if operation == "add" else {"Remove": given}


def _open(tx: Tx, row: Row, add: list[LaunchPermission], remove: list[LaunchPermission]) -> None:
    for permission in [*add, *remove]:
        _check(tx, permission)
    if any("Group" in permission for permission in [*add, *remove]):
        image.change(tx, row.id, public=any("Group" in permission for permission in add))
    image.close_to(tx, row.id, [permission["UserId"] for permission in remove if "UserId" in permission])
    image.open_to(tx, row.id, [permission["UserId"] for permission in add if "UserId" in permission])


def _check(tx: Tx, permission: LaunchPermission) -> None:
    if "Group" in permission and permission["Group"] != "all":
        raise Refusal(
            "InvalidAMIAttributeItemValue", f"Invalid attribute item value: {permission['Group']}; it is all."
        )
    if "UserId" in permission and account.find(tx, permission["UserId"]) is None:
        raise Refusal(
            "InvalidAMIAttributeItemValue",
            f'Invalid attribute item value "{permission["UserId"]}" for userId item type.',
        )
    if not permission:
        raise Refusal("InvalidAMIAttributeItemValue", "A launch permission names a Group or a UserId.")
