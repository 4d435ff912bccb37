"""Single attributes of an instance: shown, changed and set back."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypedDict, Unpack

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import attribute_changes as change
from cumulet.api.ec2.instance_rows import one, settable
from cumulet.api.ec2.instance_view import disks_of
from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, group, interface
from cumulet.model.database import Row


@action()
def describe_instance_attribute(ctx: Context, instance_id: str, attribute: str) -> Result:
    """The one attribute that is asked for; an empty one where the instance has no such thing."""
    show = _SHOWN.get(attribute)
    if show is None:
        raise invalid(attribute, "attribute", f"Unknown attribute; known are {', '.join(_SHOWN)}.")
    with ctx.read() as tx:
        row = one(tx, ctx.account, instance_id)
        return {"InstanceId": row.id, **show(tx, row)}


def _column(member: str, name: str) -> Callable[[Tx, Row], Result]:
    return lambda tx, row: {member: {"Value": getattr(row, name)}}


def _source_dest_check(tx: Tx, row: Row) -> Result:
    nics = interface.of_instance(tx, row.id)
    return {"SourceDestCheck": {"Value": nics[0].source_dest_check if nics else True}}


def _group_set(tx: Tx, row: Row) -> Result:
    nics = interface.of_instance(tx, row.id)
    found = [group.find(tx, id) for id in interface.groups(tx, nics[0].id)] if nics else []
    return {"Groups": [{"GroupId": one.id, "GroupName": one.name} for one in found if one is not None]}


_SHOWN: dict[str, Callable[[Tx, Row], Result]] = {
    "instanceType": _column("InstanceType", "type"),
    "kernel": lambda tx, row: {"KernelId": {"Value": row.kernel} if row.kernel else {}},
    "ramdisk": lambda tx, row: {"RamdiskId": {"Value": row.ramdisk} if row.ramdisk else {}},
    "userData": lambda tx, row: {"UserData": {"Value": row.user_data} if row.user_data else {}},
    "disableApiTermination": _column("DisableApiTermination", "disable_api_termination"),
    "disableApiStop": _column("DisableApiStop", "disable_api_stop"),
    "instanceInitiatedShutdownBehavior": _column("InstanceInitiatedShutdownBehavior", "shutdown_behavior"),
    "rootDeviceName": _column("RootDeviceName", "root_device"),
    "blockDeviceMapping": lambda tx, row: {"BlockDeviceMappings": disks_of(tx, row)},
    "productCodes": lambda tx, row: {"ProductCodes": []},
    "sourceDestCheck": _source_dest_check,
    "groupSet": _group_set,
    "ebsOptimized": lambda tx, row: {"EbsOptimized": {"Value": row.attributes.get("EbsOptimized", False)}},
    "sriovNetSupport": lambda tx, row: {"SriovNetSupport": {}},
    "enaSupport": lambda tx, row: {"EnaSupport": {"Value": row.attributes.get("EnaSupport", False)}},
    "enclaveOptions": lambda tx, row: {"EnclaveOptions": {"Enabled": False}},
}


class Flag(TypedDict, total=False):
    Value: bool


class Text(TypedDict, total=False):
    Value: str


class Blob(TypedDict, total=False):
    Value: bytes


class Ebs(TypedDict, total=False):
    VolumeId: str
    DeleteOnTermination: bool


class DeviceMapping(TypedDict, total=False):
    DeviceName: str
    Ebs: Ebs


class Changes(TypedDict, total=False):
    attribute: str
    value: str
    source_dest_check: Flag
    disable_api_stop: Flag
    disable_api_termination: Flag
    ebs_optimized: Flag
    instance_initiated_shutdown_behavior: Text
    instance_type: Text
    user_data: Blob
    groups: list[str]
    block_device_mappings: list[DeviceMapping]


@action()
def modify_instance_attribute(ctx: Context, instance_id: str, **request: Unpack[Changes]) -> Result:
    """Change one attribute, given by its name and value or as a parameter of its own."""
    name, value = _the_one(request)
    with ctx.write() as tx:
        _CHANGES[name](ctx, tx, settable(one(tx, ctx.account, instance_id)), value)
    return {}


@action()
def reset_instance_attribute(ctx: Context, instance_id: str, attribute: str) -> Result:
    """Set an attribute back to what it was by default; AWS knows this for sourceDestCheck, kernel and ramdisk."""
    if attribute != "sourceDestCheck":
        raise invalid(attribute, "attribute", "sourceDestCheck can be reset.")
    with ctx.write() as tx:
        change.source_dest_check(ctx, tx, settable(one(tx, ctx.account, instance_id)), True)
    return {}


def _the_one(request: Changes) -> tuple[str, Any]:
    """The attribute that is to be changed, by AWS's name of it, and its value; raises `Refusal` unless it is one."""
    given: list[tuple[str, Any]] = []
    if "attribute" in request:
        given.append(_by_name(request["attribute"], request.get("value")))
    elif "value" in request:
        raise Refusal("InvalidParameterCombination", "The parameter value needs the parameter attribute.")
    given += [(name, wanted) for name, wanted in _typed(request).items() if wanted is not None]
    if not given:
        raise Refusal("InvalidParameterCombination", "No attributes specified.")
    if len(given) > 1:
        raise Refusal("InvalidParameterCombination", "Fields for multiple attribute types specified")
    return given[0]


def _typed(request: Changes) -> dict[str, Any]:
    blob = request.get("user_data")
    return {
        "sourceDestCheck": _value(request.get("source_dest_check")),
        "disableApiStop": _value(request.get("disable_api_stop")),
        "disableApiTermination": _value(request.get("disable_api_termination")),
        "ebsOptimized": _value(request.get("ebs_optimized")),
        "instanceInitiatedShutdownBehavior": _value(request.get("instance_initiated_shutdown_behavior")),
        "instanceType": _value(request.get("instance_type")),
        "userData": base64.b64encode(blob.get("Value", b"")).decode() if blob is not None else None,
        "groupSet": request.get("groups"),
        "blockDeviceMapping": request.get("block_device_mappings"),
    }


def _value(given: Flag | Text | None) -> Any:
    if given is None:
        return None
    if "Value" not in given:
        raise Refusal("MissingParameter", "The request must contain the parameter Value of the attribute")
    return given["Value"]


def _by_name(name: str, value: str | None) -> tuple[str, Any]:
    if name not in _CHANGES or name in ("groupSet", "blockDeviceMapping"):
        changeable = ", ".join(known for known in _CHANGES if known not in ("groupSet", "blockDeviceMapping"))
        raise invalid(name, "attribute", f"By name and value these can be changed: {changeable}.")
    if name not in _FLAGS:
        return name, value or ""
    if (value or "").lower() not in ("true", "false"):
        raise invalid(value, "value", "Expecting true or false.")
    return name, (value or "").lower() == "true"


_FLAGS = ("sourceDestCheck", "disableApiStop", "disableApiTermination", "ebsOptimized")
_CHANGES: dict[str, Callable[[Context, Tx, Row, Any], None]] = {
    "sourceDestCheck": change.source_dest_check,
    "disableApiStop": change.disable_api_stop,
    "disableApiTermination": change.disable_api_termination,
    "ebsOptimized": change.ebs_optimized,
    "instanceInitiatedShutdownBehavior": change.shutdown,
    "instanceType": change.instance_type,
    "userData": change.user_data,
    "groupSet": change.groups,
    "blockDeviceMapping": change.block_devices,
}
