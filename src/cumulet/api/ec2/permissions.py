"""Permissions of security groups: from what a request says to rules, each with one peer, and back.

Source: EC2 API Reference, "IpPermission" and "AuthorizeSecurityGroupIngress".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, NamedTuple, TypedDict

from cumulet.api.actions import Item
from cumulet.api.ec2.validation import described, group_in_vpc, missing, named_group
from cumulet.lib.errors import Refusal
from cumulet.model import Tx
from cumulet.model.database import Row

PROTOCOLS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "icmp": "icmp", "1": "icmp", "icmpv6": "58"}
SHOWN = {"58": "icmpv6"}
MOST_PROTOCOLS, MOST_PORT, MOST_ICMP = 255, 65535, 255


class IpRange(TypedDict, total=False):
    CidrIp: str
    Description: str


class Ipv6Range(TypedDict, total=False):
    CidrIpv6: str
    Description: str


class UserIdGroupPair(TypedDict, total=False):
    GroupId: str
    GroupName: str
    UserId: str
    Description: str


class IpPermission(TypedDict, total=False):
    IpProtocol: str
    FromPort: int
    ToPort: int
    IpRanges: list[IpRange]
    Ipv6Ranges: list[Ipv6Range]
    UserIdGroupPairs: list[UserIdGroupPair]


class Flat(NamedTuple):
    """The old form of a permission: one peer, in parameters of the request itself."""

    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str
    source_name: str
    source_owner: str


class Rule(NamedTuple):
    """As it is written down; two rules are the same if all but `description` is."""

    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str | None = None
    cidr_ipv6: str | None = None
    source_group: str | None = None
    description: str | None = None

    def same(self) -> tuple[Any, ...]:
        return self[:6]


def rule_of(row: Row) -> Rule:
    return Rule(*(getattr(row, name) for name in Rule._fields))


def given(permissions: list[IpPermission] | None, flat: Flat) -> list[IpPermission]:
    """The request's permissions, whichever form it has; raises `Refusal` for both forms at once."""
    if not any(value not in ("", None) for value in flat):
        return permissions or []
    if permissions:
        raise Refusal(
            "InvalidParameterCombination", "The parameter ipPermissions cannot be used with the parameter ipProtocol"
        )
    if flat.cidr and flat.source_name:
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter cidrIp cannot be used with the parameter sourceSecurityGroupName",
        )
    if flat.source_name:
        return _from_group(flat)
    if not flat.protocol:
        raise missing("ipProtocol")
    if not flat.cidr:
        raise missing("cidrIp or sourceSecurityGroupName")
    return [{**_match(flat), "IpRanges": [{"CidrIp": flat.cidr}]}]


def _from_group(flat: Flat) -> list[IpPermission]:
    """A named group alone stands for all of TCP, UDP and ICMP."""
    peer: UserIdGroupPair = {"GroupName": flat.source_name}
    if flat.source_owner:
        peer["UserId"] = flat.source_owner
    if flat.protocol:
        return [{**_match(flat), "UserIdGroupPairs": [peer]}]
    whole = {"tcp": (0, MOST_PORT), "udp": (0, MOST_PORT), "icmp": (-1, -1)}
    return [
        {"IpProtocol": name, "FromPort": low, "ToPort": high, "UserIdGroupPairs": [peer]}
        for name, (low, high) in whole.items()
    ]


def _match(flat: Flat) -> IpPermission:
    match: IpPermission = {"IpProtocol": flat.protocol}
    if flat.from_port is not None:
        match["FromPort"] = flat.from_port
    if flat.to_port is not None:
        match["ToPort"] = flat.to_port
    return match


def rules(tx: Tx, group: Row, permissions: Iterable[IpPermission]) -> list[Rule]:
    """One rule for each peer of each permission; raises `Refusal` for what cannot be, and for the same one twice."""
    found = [rule for permission in permissions for rule in _rules(tx, group, permission)]
    if len({rule.same() for rule in found}) < len(found):
        raise Refusal("InvalidParameterValue", "The same permission must not appear multiple times")
    return found


def _rules(tx: Tx, group: Row, permission: IpPermission) -> list[Rule]:
    match = matched(permission.get("IpProtocol"), permission.get("FromPort"), permission.get("ToPort"))
    found = [
        Rule(*match, cidr=range4(one.get("CidrIp")), description=_said(one.get("Description")))
        for one in permission.get("IpRanges") or []
    ]
    found += [
        Rule(*match, cidr_ipv6=range6(one.get("CidrIpv6")), description=_said(one.get("Description")))
        for one in permission.get("Ipv6Ranges") or []
    ]
    found += [
        Rule(*match, source_group=_source(tx, group, one), description=_said(one.get("Description")))
        for one in permission.get("UserIdGroupPairs") or []
    ]
    if not found:
        raise Refusal(
            "InvalidPermission.Malformed",
            "A permission names no peer: it has IpRanges, Ipv6Ranges or UserIdGroupPairs (in the request: Groups).",
        )
    return found


def _said(description: str | None) -> str | None:
    return described(description, "rule") if description else None


def matched(protocol: str | None, low: int | None, high: int | None) -> tuple[str, int | None, int | None]:
    """Protocol, first and last port (ICMP: type and code) as they are written down; raises `Refusal`."""
    if not protocol:
        raise missing("ipProtocol")
    name = _protocol(protocol)
    if name in ("tcp", "udp"):
        return (name, *_ports(low, high))
    if name == "58" and low is None and high is None:
        return name, -1, -1
    if name in ("icmp", "58"):
        return (name, *_icmp(low, high))
    return name, None, None


def _protocol(text: str) -> str:
    name = PROTOCOLS.get(text.lower(), text)
    if name in ("-1", *PROTOCOLS.values()):
        return name
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= MOST_PROTOCOLS:
        return str(int(text))
    raise Refusal("InvalidParameterValue", f"Invalid value '{text}' for IP protocol. Unknown protocol.")


def _ports(low: int | None, high: int | None) -> tuple[int, int]:
    if low is None or high is None:
        raise Refusal(
            "InvalidParameterValue",
            "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
        )
    if not 0 <= low <= high <= MOST_PORT:
        raise Refusal("InvalidParameterValue", f"Invalid TCP/UDP port range ({low}:{high})")
    return low, high


def _icmp(type: int | None, code: int | None) -> tuple[int, int]:
    if type is None or code is None:
        raise Refusal(
            "InvalidParameterValue", "Invalid value 'Must specify both type and code with ICMP.' for portRange."
        )
    if not -1 <= type <= MOST_ICMP:
        raise Refusal("InvalidParameterValue", f"ICMP type ({type}) out of range")
    if not -1 <= code <= MOST_ICMP or type == -1 != code:
        raise Refusal("InvalidParameterValue", f"ICMP code ({code}) out of range")
    return type, code


def range4(text: str | None) -> str:
    """The range as it is written down, without bits of a host; raises `Refusal`."""
    return _range(text, ipaddress.IPv4Network)


def range6(text: str | None) -> str:
    return _range(text, ipaddress.IPv6Network)


def _range(text: str | None, network: type[ipaddress.IPv4Network] | type[ipaddress.IPv6Network]) -> str:
    address, _, prefix = (text or "").partition("/")
    try:
        if not (prefix.isascii() and prefix.isdigit()) or "%" in address:
            raise ValueError(text)
        return str(network(f"{address}/{prefix}", strict=False))
    except ValueError:
        raise Refusal("InvalidParameterValue", f"CIDR block {text} is malformed") from None


def _source(tx: Tx, group: Row, pair: UserIdGroupPair) -> str:
    id, name = pair.get("GroupId"), pair.get("GroupName")
    if not id and not name:
        raise missing("groupId")
    if pair.get("UserId") not in (None, "", group.account):
        raise Refusal("InvalidGroup.NotFound", f"The security group '{id or name}' does not exist")
    if id:
        return str(group_in_vpc(tx, group.account, group.vpc, id).id)
    return str(named_group(tx, group.account, group.vpc, name or "").id)


def named(rule: Rule) -> str:
    """The rule in the words of AWS's message about duplicates."""
    peer = rule.cidr or rule.cidr_ipv6 or rule.source_group
    if rule.protocol == "-1":
        return f"peer: {peer}, ALL, ALLOW"
    protocol = SHOWN.get(rule.protocol, rule.protocol).upper()
    if rule.protocol in ("tcp", "udp"):
        return f"peer: {peer}, {protocol}, from port: {rule.from_port}, to port: {rule.to_port}, ALLOW"
    if rule.from_port is None:
        return f"peer: {peer}, {protocol}, ALLOW"
    type, code = ("ALL" if number == -1 else number for number in (rule.from_port, rule.to_port))
    return f"peer: {peer}, {protocol}, type: {type}, code: {code}, ALLOW"


def shown(rows: Iterable[Row]) -> list[Item]:
    """Rules as IpPermissions: those of the same protocol and ports are one."""
    found: dict[tuple[Any, ...], Item] = {}
    for row in rows:
        key = row.protocol, row.from_port, row.to_port
        if key not in found:
            found[key] = _empty(row)
        said = {"Description": row.description} if row.description else {}
        if row.cidr is not None:
            found[key]["IpRanges"].append({"CidrIp": row.cidr, **said})
        elif row.cidr_ipv6 is not None:
            found[key]["Ipv6Ranges"].append({"CidrIpv6": row.cidr_ipv6, **said})
        else:
            pair = {"UserId": row.account, "GroupId": row.source_group}
            found[key]["UserIdGroupPairs"].append({**pair, **said})
    return list(found.values())


def _empty(row: Row) -> Item:
    ports = {} if row.from_port is None else {"FromPort": row.from_port, "ToPort": row.to_port}
    peers: Item = {"UserIdGroupPairs": [], "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": []}
    return {"IpProtocol": SHOWN.get(row.protocol, row.protocol), **ports, **peers}
