"""The rules of security groups: written down one by one; every change is on the hosts a moment later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.permissions import (
    SHOWN,
    Flat,
    IpPermission,
    Rule,
    given,
    matched,
    named,
    range4,
    range6,
    rule_of,
    rules,
)
from cumulet.api.ec2.security_groups import the_group
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import arn, described, exactly_one, found_group, group_in_vpc, missing
from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, group, tag
from cumulet.model.database import Row


class RuleRequest(TypedDict, total=False):
    IpProtocol: str
    FromPort: int
    ToPort: int
    CidrIpv4: str
    CidrIpv6: str
    ReferencedGroupId: str
    Description: str


class RuleUpdate(TypedDict, total=False):
    SecurityGroupRuleId: str
    SecurityGroupRule: RuleRequest


class RuleDescription(TypedDict, total=False):
    SecurityGroupRuleId: str
    Description: str


@action()
def authorize_security_group_ingress(
    ctx: Context,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: list[IpPermission] | None = None,
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Let in what these permissions say."""
    flat = Flat(ip_protocol, from_port, to_port, cidr_ip, source_security_group_name, source_security_group_owner_id)
    tags = tags_for(tag_specifications, "security-group-rule")
    with ctx.write() as tx:
        row = the_group(tx, ctx.account, group_id, group_name)
        return _authorize(ctx, tx, row, False, given(ip_permissions, flat), tags)


@action()
def authorize_security_group_egress(
    ctx: Context,
    group_id: str,
    ip_permissions: list[IpPermission] | None = None,
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Let out what these permissions say."""
    flat = Flat(ip_protocol, from_port, to_port, cidr_ip, source_security_group_name, source_security_group_owner_id)
    tags = tags_for(tag_specifications, "security-group-rule")
    with ctx.write() as tx:
        return _authorize(ctx, tx, found_group(tx, ctx.account, group_id), True, given(ip_permissions, flat), tags)


@action()
def revoke_security_group_ingress(
    ctx: Context,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: list[IpPermission] | None = None,
    security_group_rule_ids: list[str] | None = None,
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
) -> Result:
    """Take back what was let in; all of it is there, or nothing is taken back."""
    flat = Flat(ip_protocol, from_port, to_port, cidr_ip, source_security_group_name, source_security_group_owner_id)
    with ctx.write() as tx:
        row = the_group(tx, ctx.account, group_id, group_name)
        return _revoke(tx, row, False, given(ip_permissions, flat), security_group_rule_ids or [])


@action()
def revoke_security_group_egress(
    ctx: Context,
    group_id: str,
    ip_permissions: list[IpPermission] | None = None,
    security_group_rule_ids: list[str] | None = None,
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
) -> Result:
    """Take back what was let out; all of it is there, or nothing is taken back."""
    flat = Flat(ip_protocol, from_port, to_port, cidr_ip, source_security_group_name, source_security_group_owner_id)
    with ctx.write() as tx:
        row = found_group(tx, ctx.account, group_id)
        return _revoke(tx, row, True, given(ip_permissions, flat), security_group_rule_ids or [])


@describes(
    "SecurityGroupRules",
    id="SecurityGroupRuleId",
    ids="security_group_rule_ids",
    missing="InvalidSecurityGroupRuleId.NotFound",
    malformed="InvalidSecurityGroupRuleId.Malformed",
    prefix="sgr-",
    filters={"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"},
)
def describe_security_group_rules(ctx: Context) -> list[Item]:
    """All the rules of the account's groups."""
    with ctx.read() as tx:
        rows = group.rules_of_account(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["security-group-rule"])
    return [_item(ctx, row, tags.get(row.id, [])) for row in rows]


@action()
def modify_security_group_rules(ctx: Context, group_id: str, security_group_rules: list[RuleUpdate]) -> Result:
    """Put others in the place of these rules, under the same ids."""
    with ctx.write() as tx:
        row = found_group(tx, ctx.account, group_id)
        there = {rule.id: rule for rule in group.rules(tx, row.id)}
        wanted = {one["SecurityGroupRuleId"]: _requested(tx, row, one) for one in security_group_rules}
        _check_there(there, wanted)
        after = {id: (rule.egress, wanted.get(id) or rule_of(rule)) for id, rule in there.items()}
        _refuse_same(list(after.values()))
        group.wake_with_references(tx, row.id)
        for id, rule in wanted.items():
            group.change_rule(tx, id, rule._asdict())
        group.wake_with_references(tx, row.id)
    return {"Return": True}


@action()
def update_security_group_rule_descriptions_ingress(
    ctx: Context,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: list[IpPermission] | None = None,
    security_group_rule_descriptions: list[RuleDescription] | None = None,
) -> Result:
    """Say something else about what is let in."""
    return _describe(ctx, group_id, group_name, False, ip_permissions, security_group_rule_descriptions)


@action()
def update_security_group_rule_descriptions_egress(
    ctx: Context,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: list[IpPermission] | None = None,
    security_group_rule_descriptions: list[RuleDescription] | None = None,
) -> Result:
    """Say something else about what is let out."""
    return _describe(ctx, group_id, group_name, True, ip_permissions, security_group_rule_descriptions)


def _authorize(
    ctx: Context, tx: Tx, row: Row, egress: bool, permissions: list[IpPermission], tags: dict[str, str]
) -> Result:
    if not permissions:
        raise missing("ipPermissions")
    wanted = rules(tx, row, permissions)
    there = _side(tx, row.id, egress)
    known = {rule_of(rule).same() for rule in there}
    for rule in wanted:
        if rule.same() in known:
            raise _duplicate(rule)
    most = ctx.quota(tx, "rules")
    if len(there) + len(wanted) > most:
        raise Refusal(
            "RulesPerSecurityGroupLimitExceeded",
            f"The maximum number of rules per security group has been reached: it is {most}.",
        )
    added = group.add_rules(tx, row, egress, [rule._asdict() for rule in wanted])
    for new in added:
        tag.put(tx, ctx.account, new.id, "security-group-rule", tags)
    group.wake_with_references(tx, row.id)
    return {"Return": True, "SecurityGroupRules": [_item(ctx, new, shown(tags)) for new in added]}


def _revoke(tx: Tx, row: Row, egress: bool, permissions: list[IpPermission], rule_ids: list[str]) -> Result:
    if not permissions and not rule_ids:
        raise Refusal("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
    there = {rule.id: rule for rule in _side(tx, row.id, egress)}
    _check_there(there, rule_ids)
    found = {rule.id for rule in _like(there.values(), rules(tx, row, permissions))}
    gone = [rule for rule in there.values() if rule.id in found or rule.id in rule_ids]
    for rule in gone:
        tag.remove(tx, rule.id)
    group.drop_rules(tx, row.id, [rule.id for rule in gone])
    return {"Return": True, "RevokedSecurityGroupRules": [_revoked(rule) for rule in gone]}


def _describe(
    ctx: Context,
    group_id: str,
    group_name: str,
    egress: bool,
    permissions: list[IpPermission] | None,
    descriptions: list[RuleDescription] | None,
) -> Result:
    exactly_one(ipPermissions=permissions, securityGroupRuleDescriptions=descriptions)
    with ctx.write() as tx:
        row = the_group(tx, ctx.account, group_id, group_name)
        there = {rule.id: rule for rule in _side(tx, row.id, egress)}
        wanted = rules(tx, row, permissions or [])
        said = {old.id: rule.description for old, rule in zip(_like(there.values(), wanted), wanted, strict=True)}
        for one in descriptions or []:
            said[one.get("SecurityGroupRuleId", "")] = described(one.get("Description", ""), "rule") or None
        _check_there(there, said)
        for id, description in said.items():
            group.change_rule(tx, id, {"description": description})
    return {"Return": True}


def _side(tx: Tx, id: str, egress: bool) -> list[Row]:
    return [rule for rule in group.rules(tx, id) if rule.egress is egress]


def _like(there: Iterable[Row], wanted: list[Rule]) -> list[Row]:
    """The rules that are there for those wanted, in their order; raises `Refusal` if one is not."""
    known = {rule_of(row).same(): row for row in there}
    if any(rule.same() not in known for rule in wanted):
        raise Refusal("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    return [known[rule.same()] for rule in wanted]


def _check_there(there: dict[str, Row], wanted: Iterable[str]) -> None:
    for id in wanted:
        check_id(id, "InvalidSecurityGroupRuleId.Malformed", "sgr-")
        if id not in there:
            raise Refusal("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{id}' does not exist")


def _requested(tx: Tx, row: Row, update: RuleUpdate) -> Rule:
    asked = update.get("SecurityGroupRule")
    if not asked:
        raise missing("SecurityGroupRule")
    exactly_one(
        cidrIpv4=asked.get("CidrIpv4"),
        cidrIpv6=asked.get("CidrIpv6"),
        referencedGroupId=asked.get("ReferencedGroupId"),
    )
    source = asked.get("ReferencedGroupId")
    return Rule(
        *matched(asked.get("IpProtocol"), asked.get("FromPort"), asked.get("ToPort")),
        cidr=range4(asked["CidrIpv4"]) if asked.get("CidrIpv4") else None,
        cidr_ipv6=range6(asked["CidrIpv6"]) if asked.get("CidrIpv6") else None,
        source_group=group_in_vpc(tx, row.account, row.vpc, source).id if source else None,
        description=described(asked.get("Description", ""), "rule") or None,
    )


def _refuse_same(after: list[tuple[bool, Rule]]) -> None:
    times = Counter((egress, rule.same()) for egress, rule in after)
    for egress, rule in after:
        if times[egress, rule.same()] > 1:
            raise _duplicate(rule)


def _duplicate(rule: Rule) -> Refusal:
    return Refusal("InvalidPermission.Duplicate", f'the specified rule "{named(rule)}" already exists')


def _revoked(row: Row) -> Item:
    peer = {"CidrIpv4": row.cidr, "CidrIpv6": row.cidr_ipv6, "ReferencedGroupId": row.source_group}
    return {
        "SecurityGroupRuleId": row.id,
        "GroupId": row.group_id,
        "IsEgress": row.egress,
        "IpProtocol": SHOWN.get(row.protocol, row.protocol),
        "FromPort": -1 if row.from_port is None else row.from_port,
        "ToPort": -1 if row.to_port is None else row.to_port,
        **{member: value for member, value in peer.items() if value is not None},
        "Description": row.description,
    }


def _item(ctx: Context, row: Row, tags: list[dict[str, str]]) -> Item:
    item = _revoked(row)
    source = item.pop("ReferencedGroupId", None)
    if source is not None:
        item["ReferencedGroupInfo"] = {"GroupId": source, "UserId": row.account}
    about = {"GroupOwnerId": row.account, "SecurityGroupRuleArn": arn(ctx, "security-group-rule", row.id)}
    return {**item, **about, "Tags": tags}
