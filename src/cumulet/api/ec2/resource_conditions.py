"""What policies may ask of the resources that a request is about: their tags, and by their type what they are.

Source: "Resource types defined by Amazon EC2" in the Service Authorization Reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cumulet.api.context import Context
from cumulet.api.ec2 import volume_conditions
from cumulet.api.ec2.image_view import ALIAS
from cumulet.api.ec2.instance_view import METADATA_DEFAULTS
from cumulet.api.ec2.validation import arn
from cumulet.model import (
    Tx,
    address,
    entity,
    group,
    image,
    instance,
    interface,
    key_pair,
    placement_group,
    profile,
    subnet,
    tag,
)
from cumulet.model.database import Row

Conditions = dict[str, Any]


def of_present(tx: Tx, ctx: Context, kind: str, id: str) -> Conditions:
    """The keys of a resource that is there; what is not, or is not open to the account, has none."""
    keys: Conditions = {}
    for key, value in _own_tags(tx, ctx, id).items():
        keys |= {f"aws:ResourceTag/{key}": value, f"ec2:ResourceTag/{key}": value}
    known = _KINDS.get(kind)
    return keys | (known(tx, ctx, id) if known is not None else {})


def _own_tags(tx: Tx, ctx: Context, id: str) -> dict[str, str]:
    """The tags that this account has given to a resource."""
    mine = tag.tag
    rows = tx.all(mine.select().where(mine.c.resource == id, mine.c.account == ctx.account))
    return {row.key: row.value for row in rows}


def _of_instance(tx: Tx, ctx: Context, id: str) -> Conditions:
    rows = instance.of_ids(tx, ctx.account, [id])
    if not rows:
        return {}
    keys = {"ec2:InstanceID": id, "ec2:InstanceType": rows[0].type, "ec2:AvailabilityZone": rows[0].zone}
    keys |= {"ec2:Tenancy": rows[0].tenancy, "ec2:RootDeviceType": "ebs"}
    keys |= {"ec2:MetadataHttpTokens": {**METADATA_DEFAULTS, **rows[0].metadata_options}["HttpTokens"]}
    held = profile.of_instance(tx, id)
    return keys | ({"ec2:InstanceProfile": held.arn} if held is not None else {})


def _of_image(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = image.usable(tx, ctx.account, id)
    if row is None:
        return {}
    is_machine = row.kind == "machine"
    return {
        "ec2:ImageID": id,
        "ec2:ImageType": row.kind,
        "ec2:Owner": ALIAS if row.public and row.provided else row.account,
        "ec2:Public": "true" if row.public else "false",
        "ec2:RootDeviceType": "ebs" if is_machine else "instance-store",
    }


def _of_volume(tx: Tx, ctx: Context, id: str) -> Conditions:
    keys = volume_conditions.of_present(tx, ctx, "volume", id)
    return {**keys, "ec2:VolumeID": id} if keys else {}


def _of_snapshot(tx: Tx, ctx: Context, id: str) -> Conditions:
    keys = volume_conditions.of_present(tx, ctx, "snapshot", id)
    return {**keys, "ec2:SnapshotID": id} if keys else {}


def _of_subnet(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = subnet.find(tx, ctx.account, id)
    if row is None:
        return {}
    return {"ec2:SubnetID": id, "ec2:Vpc": arn(ctx, "vpc", row.vpc), "ec2:AvailabilityZone": row.zone}


def _of_group(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = group.find(tx, id)
    if row is None or row.account != ctx.account:
        return {}
    return {"ec2:SecurityGroupID": id, "ec2:Vpc": arn(ctx, "vpc", row.vpc)}


def _of_interface(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = interface.find(tx, id)
    if row is None or row.account != ctx.account:
        return {}
    keys = _of_subnet(tx, ctx, row.subnet)
    keys.pop("ec2:SubnetID", None)
    return {**keys, "ec2:NetworkInterfaceID": id, "ec2:Subnet": arn(ctx, "subnet", row.subnet)}


def _of_address(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = address.elastic(tx, ctx.account, allocation=id)
    if row is None:
        return {}
    return {"ec2:AllocationId": id, "ec2:Domain": "vpc", "ec2:PublicIpAddress": row.public_ip}


def _of_key_pair(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = key_pair.find(tx, ctx.account, id)
    return {"ec2:KeyPairName": row.name, "ec2:KeyPairType": row.type} if row is not None else {}


def _of_placement_group(tx: Tx, ctx: Context, id: str) -> Conditions:
    row = next((one for one in placement_group.of_account(tx, ctx.account) if one.id == id), None)
    if row is None:
        return {}
    return {"ec2:PlacementGroupName": row.name, "ec2:PlacementGroupStrategy": row.strategy}


def of_launched(tx: Tx, ctx: Context, parameters: dict[str, Any], kind: str) -> Conditions:
    """What a launch says of what it makes."""
    placement = parameters.get("Placement") or {}
    zone = placement.get("AvailabilityZone") or parameters.get("AvailabilityZone")
    keys: Conditions = {"ec2:AvailabilityZone": zone} if zone else {}
    net = parameters.get("SubnetId")
    if kind == "network-interface" and net and (told := _of_subnet(tx, ctx, net)):
        keys |= {"ec2:Subnet": arn(ctx, "subnet", net), "ec2:Vpc": told["ec2:Vpc"]}
    if kind == "instance":
        options = parameters.get("MetadataOptions") or {}
        keys |= {"ec2:InstanceType": parameters.get("InstanceType") or "m1.small", "ec2:RootDeviceType": "ebs"}
        keys |= {"ec2:Tenancy": placement.get("Tenancy", "default")}
        keys |= {"ec2:MetadataHttpTokens": options["HttpTokens"]} if "HttpTokens" in options else {}
        held = named_profile(tx, ctx, parameters.get("IamInstanceProfile") or {})
        keys |= {"ec2:InstanceProfile": entity.arn_of(held)} if held is not None else {}
    return keys


def named_profile(tx: Tx, ctx: Context, named: dict[str, str]) -> Row | None:
    """The account's instance profile that a request names, if there is one."""
    name = named.get("Name") or named.get("Arn", "").rpartition("/")[2]
    return entity.named(tx, ctx.account, "instance-profile", name) if name else None


_KINDS: dict[str, Callable[[Tx, Context, str], Conditions]] = {
    "elastic-ip": _of_address,
    "image": _of_image,
    "instance": _of_instance,
    "key-pair": _of_key_pair,
    "network-interface": _of_interface,
    "placement-group": _of_placement_group,
    "security-group": _of_group,
    "snapshot": _of_snapshot,
    "subnet": _of_subnet,
    "volume": _of_volume,
}
