"""Security groups: what may reach a guest, and what it may reach."""

from __future__ import annotations

import re

from sqlalchemy.exc import IntegrityError

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import permissions
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import (
    LONGEST_NAME,
    arn,
    default_vpc,
    described,
    exactly_one,
    found,
    found_group,
    invalid,
    missing,
    named_group,
)
from cumulet.api.filters import Path
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, group, tag, vpc
from cumulet.model.database import Row

_NAME = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]+")
_NAMES = {"IpPermissions": "_ingress_names", "IpPermissionsEgress": "_egress_names"}


def the_group(tx: Tx, account_id: str, id: str, name: str) -> Row:
    """The group that a request names by id, or by its name in the default VPC; raises `Refusal`."""
    exactly_one(groupId=id, groupName=name)
    return found_group(tx, account_id, id) if id else named_group(tx, account_id, default_vpc(tx, account_id).id, name)


@action()
def create_security_group(
    ctx: Context,
    group_name: str,
    description: str,
    vpc_id: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """A new group: nothing may come in, everything may go out. Spaces at the end of its name are cut off, as in AWS."""
    group_name = group_name.rstrip(" ")
    _check_name(group_name)
    if not description:
        raise missing("GroupDescription")
    described(description, "security group")
    tags = tags_for(tag_specifications, "security-group")
    with ctx.write() as tx:
        most = ctx.quota(tx, "groups")
        router = _vpc(tx, ctx.account, vpc_id)
        if group.count_in_vpc(tx, router.id) >= most:
            raise Refusal(
                "SecurityGroupLimitExceeded",
                f"The maximum number of security groups for VPC '{router.id}' has been reached: it is {most}.",
            )
        id = _add(tx, router, group_name, description)
        tag.put(tx, ctx.account, id, "security-group", tags)
    return {"GroupId": id, "Tags": shown(tags), "SecurityGroupArn": arn(ctx, "security-group", id)}


def _filters(prefix: str, member: str) -> dict[str, Path]:
    return {
        f"{prefix}.cidr": f"{member}.IpRanges.CidrIp",
        f"{prefix}.from-port": f"{member}.FromPort",
        f"{prefix}.group-id": f"{member}.UserIdGroupPairs.GroupId",
        f"{prefix}.group-name": _NAMES[member],
        f"{prefix}.ipv6-cidr": f"{member}.Ipv6Ranges.CidrIpv6",
        f"{prefix}.prefix-list-id": f"{member}.PrefixListIds.PrefixListId",
        f"{prefix}.protocol": f"{member}.IpProtocol",
        f"{prefix}.to-port": f"{member}.ToPort",
        f"{prefix}.user-id": f"{member}.UserIdGroupPairs.UserId",
    }


def _answer(items: list[Item]) -> Result:
    """The names of the peers' groups are there for the filters only: AWS's answer does not have them."""
    hidden = set(_NAMES.values())
    return {"SecurityGroups": [{name: item[name] for name in item if name not in hidden} for item in items]}


@describes(
    "SecurityGroups",
    id="GroupId",
    ids="group_ids",
    missing="InvalidGroup.NotFound",
    malformed="InvalidGroupId.Malformed",
    prefix="sg-",
    answer=_answer,
    filters={
        "description": "Description",
        "group-id": "GroupId",
        "group-name": "GroupName",
        "owner-id": "OwnerId",
        "vpc-id": "VpcId",
        **_filters("ip-permission", "IpPermissions"),
        **_filters("egress.ip-permission", "IpPermissionsEgress"),
    },
)
def describe_security_groups(ctx: Context, group_names: list[str] | None = None) -> list[Item]:
    """The account's groups with their rules; `group_names` are names in the default VPC."""
    with ctx.read() as tx:
        rows = group.of_account(tx, ctx.account)
        rules = group.rules_of_account(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["security-group"])
        chosen = {the_group(tx, ctx.account, "", name).id for name in group_names or []}
    names = {row.id: row.name for row in rows}
    of: dict[str, list[Row]] = {}
    for rule in rules:
        of.setdefault(rule.group_id, []).append(rule)
    shown_rows = [row for row in rows if not chosen or row.id in chosen]
    return [_item(ctx, row, of.get(row.id, []), tags.get(row.id, []), names) for row in shown_rows]


@action()
def delete_security_group(ctx: Context, group_id: str = "", group_name: str = "") -> Result:
    """The group should be gone; raises `Refusal` while something is in it or another group's rule names it."""
    with ctx.write() as tx:
        row = the_group(tx, ctx.account, group_id, group_name)
        if row.name == "default":
            raise Refusal(
                "CannotDelete", f'the specified group: "{row.id}" name: "default" cannot be deleted by a user'
            )
        if group.is_used(tx, row.id):
            raise Refusal("DependencyViolation", f"resource {row.id} has a dependent object")
        for gone in (row.id, *(rule.id for rule in group.rules(tx, row.id))):
            tag.remove(tx, gone)
        group.delete(tx, row.id)
    return {"Return": True, "GroupId": row.id}


def _check_name(name: str) -> None:
    if name.startswith("sg-"):
        raise invalid(name, "GroupName", "Group names may not be in the format sg-*.")
    if name.lower() == "default":
        raise Refusal("InvalidGroup.Reserved", f"The security group '{name}' is reserved")
    if not name.isascii():
        raise invalid(name, "GroupName", "Character sets beyond ASCII are not supported.")
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name) or name != name.strip():
        raise invalid(name, "GroupName", "A name has 1 to 255 of: a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*")


def _vpc(tx: Tx, account_id: str, id: str) -> Row:
    if not id:
        return default_vpc(tx, account_id)
    return found(vpc.find(tx, account_id, id), "InvalidVpcID.NotFound", f"The vpc ID '{id}' does not exist")


def _add(tx: Tx, router: Row, name: str, description: str) -> str:
    id = ids.new("group")
    values = {"id": id, "account": router.account, "vpc": router.id, "name": name, "description": description}
    if group.named_alike(tx, router.account, router.id, name):
        raise _duplicate(name, router.id)
    try:
        with tx.attempt():
            tx.insert(group.group, {**values, "created": tx.now})
    except IntegrityError:
        raise _duplicate(name, router.id) from None
    out = {"id": ids.new("rule"), "group_id": id, "account": router.account, "egress": True, "created": tx.now}
    tx.insert(group.rule, {**out, "protocol": "-1", "cidr": "0.0.0.0/0"})
    return id


def _duplicate(name: str, vpc_id: str) -> Refusal:
    return Refusal("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc_id}'")


def _item(ctx: Context, row: Row, rules: list[Row], tags: list[dict[str, str]], names: dict[str, str]) -> Item:
    sides = {"IpPermissions": False, "IpPermissionsEgress": True}
    of = {member: [rule for rule in rules if rule.egress is egress] for member, egress in sides.items()}
    item: Item = {
        "GroupId": row.id,
        "SecurityGroupArn": arn(ctx, "security-group", row.id),
        "OwnerId": row.account,
        "GroupName": row.name,
        "Description": row.description,
        "VpcId": row.vpc,
        "Tags": tags,
    }
    for member, found_rules in of.items():
        item[member] = permissions.shown(found_rules)
        item[_NAMES[member]] = [names.get(rule.source_group) for rule in found_rules if rule.source_group]
    return item
