"""What a request to EC2 needs: its action, on the ARN of each resource that it names or makes.

Source: "Actions, resources, and condition keys for Amazon EC2" in the Service Authorization Reference. What only looks
(Describe…) has no resources there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cumulet.api.authorise import Keys, Need, needs
from cumulet.api.context import Context
from cumulet.api.ec2 import volume_conditions
from cumulet.api.ec2.resource_conditions import named_profile, of_launched, of_present
from cumulet.api.ec2.template_rows import applied
from cumulet.api.ec2.validation import arn
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import (
    Tx,
    address,
    entity,
    group,
    key_pair,
    launch_template,
    placement_group,
    profile,
    vpc,
)

LOOKS = re.compile("Describe|List|Search|Get(?!Console|Instance|Password)")
PARAMETERS = {
    "AllocationId": "elastic-ip",
    "DhcpOptionsId": "dhcp-options",
    "GroupId": "security-group",
    "ImageId": "image",
    "InstanceId": "instance",
    "InternetGatewayId": "internet-gateway",
    "KeyName": "key-pair",
    "KeyPairId": "key-pair",
    "LaunchTemplateId": "launch-template",
    "LaunchTemplateName": "launch-template",
    "NatGatewayId": "natgateway",
    "NetworkAclId": "network-acl",
    "NetworkInterfaceId": "network-interface",
    "RouteTableId": "route-table",
    "SecurityGroupId": "security-group",
    "SnapshotId": "snapshot",
    "SourceImageId": "image",
    "SourceSnapshotId": "snapshot",
    "SubnetId": "subnet",
    "VolumeId": "volume",
    "VpcId": "vpc",
    "VpcPeeringConnectionId": "vpc-peering-connection",
}
"""By parameter, in the singular: the type of the resource."""
MADE = {
    "AllocateAddress": ("elastic-ip",),
    "CopyImage": ("image", "snapshot"),
    "CopySnapshot": ("snapshot",),
    "CreateImage": ("image", "snapshot"),
    "CreateSnapshots": ("snapshot",),
    "CreateNatGateway": ("natgateway",),
    "ExportImage": ("export-image-task",),
    "ImportImage": ("image", "import-image-task"),
    "ImportKeyPair": ("key-pair",),
    "ImportSnapshot": ("snapshot", "import-snapshot-task"),
    "RegisterImage": ("image",),
    "RunInstances": ("instance", "volume", "network-interface"),
}
TASKS = {"import_image": "import-image-task", "import_snapshot": "import-snapshot-task"}
TASKS |= {"export_image": "export-image-task"}
MAKES_NAMED = ("CreateKeyPair", "ImportKeyPair", "CreatePlacementGroup", "CreateLaunchTemplate")
"""Their names are of what will be."""
NO_RESOURCE = ("CreateTags", "CreateDefaultVpc", "CreateDefaultSubnet", "CreateLaunchTemplateVersion")
NOT_ABOUT = ("IpPermissions", "SecurityGroupRules", "Filters", "LaunchTemplateData")
"""Parameters that name things which the action is not about."""
PREFIXES = {"ipv4pool": "ipv4pool-ec2", "nat": "natgateway", "rtb": "route-table", "acl": "network-acl"}
_OF_TEMPLATE = "ec2:IsLaunchTemplateResource"
_WORD = re.compile("(?<=[a-z0-9])(?=[A-Z])")


@needs("ec2")
def of_ec2(ctx: Context, name: str, parameters: dict[str, Any]) -> list[Need]:
    """One for each resource, and `ec2:CreateTags` for what is made with tags."""
    region: Keys = {"ec2:Region": ctx.config.region}
    if LOOKS.match(name):
        return [Need(f"ec2:{name}", "*", region)]
    with ctx.read() as tx:
        own = set(_named(name, parameters))
        if parameters.get("LaunchTemplate"):
            parameters, of_template = _with_template(tx, ctx, parameters)
            region = {**region, **of_template}
        texts = dict.fromkeys([*_named(name, parameters), *_implied(tx, ctx, name, parameters)])
        named = [(kind, *_names(tx, ctx, kind, text)) for kind, text in texts]
        said = [_overrides(region, text in own and text[0] != "launch-template") for text in texts]
        tags = _tags_of(parameters.get("Tags"))
        found = [
            Need(f"ec2:{name}", arn(ctx, kind, shown), {**keys, **of_present(tx, ctx, kind, id), **tags})
            for (kind, id, shown), keys in zip(named, said, strict=True)
        ]
        guests = [id for kind, id, _ in named if kind == "instance"]
        found += _passed(tx, ctx, parameters.get("IamInstanceProfile") or {}, next(iter(guests), "*"))
        found += _made(tx, ctx, name, parameters, region)
    return found or [Need(f"ec2:{name}", "*", {**region, **_tags_of(parameters.get("Tags"))})]


def _named(name: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The type and id of each resource that the parameters name, however deep."""
    if name in ("CreateTags", "DeleteTags"):
        for id in parameters.get("Resources") or []:
            yield _type_of(id), id
        return
    for parameter, value in parameters.items():
        if parameter in NOT_ABOUT or name in MAKES_NAMED:
            continue
        kind = _kind(parameter, name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _named(name, one)
            elif kind and isinstance(one, str) and one:
                yield kind, one


def _implied(tx: Tx, ctx: Context, name: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the action is about besides, of which the parameters name something else: an instance's volumes, the
    instance of an association, a task."""
    if name == "CreateSnapshots":
        wanted = parameters.get("InstanceSpecification") or {}
        yield from (("volume", disk.id) for disk in volume_conditions.taken_of(tx, ctx, wanted))
    if "IamInstanceProfileAssociation" in name or name == "DisassociateIamInstanceProfile":
        row = profile.find(tx, ctx.account, parameters.get("AssociationId") or "")
        if row is not None:
            yield "instance", row.instance
    cancelled = {"CancelImportTask": "ImportTaskId", "CancelExportTask": "ExportTaskId"}
    task = parameters.get(cancelled.get(name, ""))
    if task:
        yield _type_of(task), task


def _kind(parameter: str, name: str) -> str:
    if "PlacementGroup" in name or parameter in ("GroupName", "Placement") and name == "RunInstances":
        return "placement-group" if parameter in ("GroupName", "GroupId") else ""
    if parameter in ("Groups", "SecurityGroups", "GroupName") and name != "CreateSecurityGroup":
        return "security-group"
    if parameter in ("PublicIp", "AssociationId") and "Address" in name:
        return "elastic-ip"
    return PARAMETERS.get(parameter) or PARAMETERS.get(parameter.removesuffix("s"), "")


def _type_of(id: str) -> str:
    """AWS's resource type, by the prefix of an id."""
    prefix = id.rpartition("-")[0]
    known = ids.KINDS.get(prefix)
    types = {"group": "security-group", "rule": "security-group-rule", "allocation": "elastic-ip"}
    types |= {"interface": "network-interface", **TASKS}
    return types.get(known or "", (known or PREFIXES.get(prefix, prefix) or "unknown").replace("_", "-"))


def _with_template(tx: Tx, ctx: Context, parameters: dict[str, Any]) -> tuple[dict[str, Any], Keys]:
    """A launch with what its template says, and what policies may ask of that; as it is where there is no such one."""
    try:
        whole, version = applied(tx, ctx.account, parameters)
    except Refusal:
        return parameters, {}
    return whole, {"ec2:LaunchTemplate": arn(ctx, "launch-template", version.template), _OF_TEMPLATE: "true"}


def _overrides(keys: Keys, by_request: bool) -> Keys:
    """The keys for what the request names itself, in its template's stead or beside it."""
    return {**keys, _OF_TEMPLATE: "false"} if _OF_TEMPLATE in keys and by_request else keys


def _names(tx: Tx, ctx: Context, kind: str, text: str) -> tuple[str, str]:
    """The id of what a text names, and what stands for it in an ARN: a denial must not be got round by another name."""
    if kind == "key-pair":
        row = next((one for one in key_pair.of_account(tx, ctx.account) if text in (one.id, one.name)), None)
        return (row.id, row.name) if row is not None else (text, text)
    if kind == "launch-template" and not text.startswith("lt-"):
        row = launch_template.named(tx, ctx.account, text)
        return (row.id, row.id) if row is not None else (text, text)
    if kind == "placement-group":
        rows = placement_group.of_account(tx, ctx.account)
        row = next((one for one in rows if text in (one.id, one.name)), None)
        return (row.id, row.name) if row is not None else (text, text)
    if kind == "security-group" and not text.startswith("sg-"):
        router = vpc.default(tx, ctx.account)
        row = group.named(tx, ctx.account, router.id, text) if router is not None else None
        return (row.id, row.id) if row is not None else (text, text)
    if kind == "elastic-ip" and not text.startswith("eipalloc-"):
        row = address.elastic(tx, ctx.account, association=text) or address.elastic(tx, ctx.account, public_ip=text)
        return (row.allocation, row.allocation) if row is not None else (text, text)
    return text, text


def _passed(tx: Tx, ctx: Context, named: dict[str, str], guest: str) -> list[Need]:
    """Whoever gives an instance, or what will be one (`*`), a profile gives it the profile's role."""
    row = named_profile(tx, ctx, named)
    roles = entity.members(tx, row.id) if row is not None else []
    to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com", "iam:AssociatedResourceArn": arn(ctx, "instance", guest)}
    return [Need("iam:PassRole", entity.arn_of(role), to_ec2) for role in roles]


def _made(tx: Tx, ctx: Context, name: str, parameters: dict[str, Any], region: Keys) -> Iterator[Need]:
    """What the action makes: ARNs that end with `*`, since there is no id yet, or with the name that it will have."""
    for kind in _made_by(name):
        tags = _specified(parameters, kind)
        id = parameters.get("KeyName") or "*" if kind == "key-pair" else "*"
        id = parameters.get("GroupName") or "*" if kind == "placement-group" else id
        for own in volume_conditions.of_made(tx, ctx, name, kind, parameters):
            keys = {**region, **_tags_of(tags), **of_launched(tx, ctx, parameters, kind), **own}
            yield Need(f"ec2:{name}", arn(ctx, kind, id), keys)
            if tags:
                yield Need("ec2:CreateTags", arn(ctx, kind, id), {**keys, "ec2:CreateAction": name})


def _made_by(name: str) -> tuple[str, ...]:
    """The types of what an action makes."""
    if name in MADE:
        return MADE[name]
    if not name.startswith("Create") or name in NO_RESOURCE:
        return ()
    return (_WORD.sub("-", name.removeprefix("Create")).lower(),)


def _specified(parameters: dict[str, Any], kind: str) -> list[dict[str, str]]:
    specifications = parameters.get("TagSpecifications") or []
    return [one for spec in specifications if spec.get("ResourceType") == kind for one in spec.get("Tags") or []]


def _tags_of(tags: list[dict[str, str]] | None) -> dict[str, Any]:
    if not tags:
        return {}
    keys: dict[str, Any] = {"aws:TagKeys": [one.get("Key", "") for one in tags]}
    return keys | {f"aws:RequestTag/{one.get('Key', '')}": one.get("Value", "") for one in tags}
