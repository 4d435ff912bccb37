"""The rules of security groups: AWS's forms, answers and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from support.refusals import code, message

ANY = [{"CidrIp": "0.0.0.0/0"}]
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ANY}


@pytest.fixture
def group(ec2: Any) -> str:
    return str(ec2.create_security_group(GroupName="web", Description="a group")["GroupId"])


def ingress(ec2: Any, id: str) -> list[dict[str, Any]]:
    return list(ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"][0]["IpPermissions"])


def rules(ec2: Any, id: str, egress: bool = False) -> list[dict[str, Any]]:
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [id]}])
    return [rule for rule in found["SecurityGroupRules"] if rule["IsEgress"] is egress]


def permission(protocol: str, low: int | None = None, high: int | None = None, **peer: Any) -> list[dict[str, Any]]:
    ports = {} if low is None else {"FromPort": low}
    ports |= {} if high is None else {"ToPort": high}
    return [{"IpProtocol": protocol, **ports, **(peer or {"IpRanges": ANY})}]


def test_a_permission_becomes_one_rule_for_each_peer(ec2: Any, group: str) -> None:
    peers = {
        "IpRanges": [{"CidrIp": "10.0.0.5/24", "Description": "office"}, {"CidrIp": "10.1.0.0/16"}],
        "Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/32"}],
        "UserIdGroupPairs": [{"GroupId": group, "Description": "each other"}],
    }
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "1"}]}]
    asked = permission("tcp", 80, 90, **peers)
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=asked, TagSpecifications=tags)
    assert made["Return"] is True
    found = {rule["SecurityGroupRuleId"]: rule for rule in rules(ec2, group)}
    assert found == {rule["SecurityGroupRuleId"]: rule for rule in made["SecurityGroupRules"]}
    assert [rule.get("CidrIpv4") for rule in made["SecurityGroupRules"]] == ["10.0.0.0/24", "10.1.0.0/16", None, None]
    assert made["SecurityGroupRules"][2]["CidrIpv6"] == "2001:db8::/32"
    assert made["SecurityGroupRules"][3]["ReferencedGroupInfo"]["GroupId"] == group
    for rule in found.values():
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 80, 90)
        assert rule["Tags"] == [{"Key": "a", "Value": "1"}]
        assert rule["SecurityGroupRuleArn"].endswith(f":security-group-rule/{rule['SecurityGroupRuleId']}")


def test_rules_of_the_same_protocol_and_ports_are_shown_as_one_permission(ec2: Any, group: str) -> None:
    for cidr in ("10.0.0.0/8", "192.168.0.0/16"):
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=permission("tcp", 1, 2, IpRanges=[{"CidrIp": cidr}])
        )
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission("-1"))
    found = {one["IpProtocol"]: one for one in ingress(ec2, group)}
    assert {peer["CidrIp"] for peer in found["tcp"]["IpRanges"]} == {"10.0.0.0/8", "192.168.0.0/16"}
    assert "FromPort" not in found["-1"]
    assert found["-1"]["UserIdGroupPairs"] == found["-1"]["Ipv6Ranges"] == found["-1"]["PrefixListIds"] == []


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (("tcp", 0, 65535), ("tcp", 0, 65535)),
        (("TCP", 0, 0), ("tcp", 0, 0)),
        (("6", 22, 22), ("tcp", 22, 22)),
        (("17", 53, 53), ("udp", 53, 53)),
        (("1", -1, -1), ("icmp", -1, -1)),
        (("icmp", 8, -1), ("icmp", 8, -1)),
        (("icmp", 3, 4), ("icmp", 3, 4)),
        (("icmpv6", -1, -1), ("icmpv6", -1, -1)),
        (("icmpv6", None, None), ("icmpv6", -1, -1)),
        (("58", 128, 0), ("icmpv6", 128, 0)),
        (("-1", None, None), ("-1", None, None)),
        (("-1", 22, 22), ("-1", None, None)),
        (("-1", -1, -1), ("-1", None, None)),
        (("50", None, None), ("50", None, None)),
        (("50", 0, 0), ("50", None, None)),
    ],
)
def test_protocols_and_ports_mean_what_they_mean_in_aws(ec2: Any, group: str, asked: Any, shown: Any) -> None:
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission(*asked))
    (found,) = ingress(ec2, group)
    assert (found["IpProtocol"], found.get("FromPort"), found.get("ToPort")) == shown
    (rule,) = rules(ec2, group)
    assert (rule["FromPort"], rule["ToPort"]) == tuple(-1 if port is None else port for port in shown[1:])


@pytest.mark.parametrize(
    "asked",
    [
        ("tcp", None, None),
        ("tcp", 22, None),
        ("tcp", -1, -1),
        ("tcp", 90, 80),
        ("udp", 0, 65536),
        ("icmp", None, None),
        ("icmp", 256, 0),
        ("icmp", -1, 0),
        ("icmp", 8, 256),
        ("256", None, None),
        ("-2", None, None),
        ("sctp", 1, 1),
    ],
)
def test_protocols_and_ports_that_cannot_be_are_refused(ec2: Any, group: str, asked: Any) -> None:
    call = ec2.authorize_security_group_ingress
    assert code(call, GroupId=group, IpPermissions=permission(*asked)) == "InvalidParameterValue"
    assert ingress(ec2, group) == []


@pytest.mark.parametrize("cidr", ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/255.0.0.0", "all", "::/0"])
def test_a_range_that_cannot_be_is_refused(ec2: Any, group: str, cidr: str) -> None:
    asked = {"GroupId": group, "IpPermissions": permission("-1", IpRanges=[{"CidrIp": cidr}])}
    assert message(ec2.authorize_security_group_ingress, **asked) == f"CIDR block {cidr} is malformed"
    assert code(ec2.authorize_security_group_ingress, **asked) == "InvalidParameterValue"


@pytest.mark.parametrize("cidr", ["::", "::/129", "10.0.0.0/8", "fe80::%1/64", "fe80::/64%1"])
def test_an_ipv6_range_that_cannot_be_is_refused(ec2: Any, group: str, cidr: str) -> None:
    asked = {"GroupId": group, "IpPermissions": permission("-1", Ipv6Ranges=[{"CidrIpv6": cidr}])}
    assert code(ec2.authorize_security_group_ingress, **asked) == "InvalidParameterValue"


def test_a_permission_for_nobody_or_without_a_protocol_is_refused(ec2: Any, group: str) -> None:
    call = ec2.authorize_security_group_ingress
    assert code(call, GroupId=group, IpPermissions=[{"IpProtocol": "-1"}]) == "InvalidPermission.Malformed"
    assert code(call, GroupId=group, IpPermissions=[{"IpRanges": ANY}]) == "MissingParameter"
    assert code(call, GroupId=group) == "MissingParameter"
    assert code(call, GroupId=group, IpPermissions=permission("-1", UserIdGroupPairs=[{"Description": "x"}])) == (
        "MissingParameter"
    )


def test_a_prefix_list_is_refused_by_its_name(ec2: Any, group: str) -> None:
    asked = permission("-1", PrefixListIds=[{"PrefixListId": "pl-1"}])
    said = message(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=asked)
    assert said == "The parameter IpPermissions.PrefixListIds is not supported by this cloud."


def test_a_rule_is_there_once(ec2: Any, group: str) -> None:
    call = ec2.authorize_security_group_ingress
    call(GroupId=group, IpPermissions=[SSH])
    said = message(call, GroupId=group, IpPermissions=[SSH])
    assert said == 'the specified rule "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW" already exists'
    same = {**SSH, "IpRanges": [{"CidrIp": "1.2.3.4/0", "Description": "other words"}]}
    assert code(call, GroupId=group, IpPermissions=[same]) == "InvalidPermission.Duplicate"
    assert code(call, GroupId=group, IpPermissions=permission("-1") * 2) == "InvalidParameterValue"
    assert len(rules(ec2, group)) == 1


@pytest.mark.parametrize(
    ("asked", "peer"),
    [
        (("-1", None, None), "ALL, ALLOW"),
        (("icmp", -1, -1), "ICMP, type: ALL, code: ALL, ALLOW"),
        (("icmp", 8, 0), "ICMP, type: 8, code: 0, ALLOW"),
        (("50", None, None), "50, ALLOW"),
    ],
)
def test_a_second_rule_is_named_in_awss_words(ec2: Any, group: str, asked: Any, peer: str) -> None:
    call = ec2.authorize_security_group_egress
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=permission("-1"))
    call(GroupId=group, IpPermissions=permission(*asked))
    said = message(call, GroupId=group, IpPermissions=permission(*asked))
    assert said == f'the specified rule "peer: 0.0.0.0/0, {peer}" already exists'


def test_the_old_form_has_one_range_in_the_request_itself(ec2: Any, group: str) -> None:
    asked = {"GroupName": "web", "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "10.0.0.0/8"}
    ec2.authorize_security_group_ingress(**asked)
    assert [rule["CidrIpv4"] for rule in rules(ec2, group)] == ["10.0.0.0/8"]
    ec2.revoke_security_group_ingress(**asked)
    assert rules(ec2, group) == []


def test_the_old_form_with_a_group_alone_lets_all_of_tcp_udp_and_icmp_in(ec2: Any, group: str) -> None:
    (owner,) = {one["OwnerId"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    asked = {"SourceSecurityGroupName": "default", "SourceSecurityGroupOwnerId": owner}
    ec2.authorize_security_group_ingress(GroupName="web", **asked)
    found = {(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in rules(ec2, group)}
    assert found == {("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1)}
    ec2.authorize_security_group_ingress(GroupName="web", IpProtocol="-1", **asked)
    assert len(rules(ec2, group)) == 4


def test_the_two_forms_are_not_mixed(ec2: Any, group: str) -> None:
    call = ec2.authorize_security_group_ingress
    both = {"GroupId": group, "IpPermissions": [SSH], "IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}
    assert code(call, **both) == "InvalidParameterCombination"
    two = {"GroupId": group, "IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "SourceSecurityGroupName": "default"}
    assert code(call, **two) == "InvalidParameterCombination"
    assert code(call, GroupId=group, CidrIp="0.0.0.0/0") == "MissingParameter"
    assert code(call, GroupId=group, IpProtocol="-1") == "MissingParameter"


def test_a_peer_group_is_of_the_same_account_and_is_there(cloud: Any, ec2: Any, group: str) -> None:
    theirs = cloud.account("other").client("ec2").describe_security_groups()["SecurityGroups"][0]
    call = ec2.authorize_security_group_ingress
    for pair in (
        {"GroupId": theirs["GroupId"]},
        {"GroupId": theirs["GroupId"], "UserId": theirs["OwnerId"]},
        {"GroupName": "default", "UserId": theirs["OwnerId"]},
        {"GroupId": "sg-01234567890123456"},
        {"GroupName": "nowhere"},
    ):
        asked = permission("-1", UserIdGroupPairs=[pair])
        assert code(call, GroupId=group, IpPermissions=asked) == "InvalidGroup.NotFound"


def test_a_rule_is_revoked_by_its_values_or_its_id(ec2: Any, group: str) -> None:
    call = ec2.authorize_security_group_ingress
    made = call(GroupId=group, IpPermissions=permission("tcp", 1, 1))["SecurityGroupRules"][0]
    gone = ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[made["SecurityGroupRuleId"]])
    assert [rule["SecurityGroupRuleId"] for rule in gone["RevokedSecurityGroupRules"]] == [made["SecurityGroupRuleId"]]
    call(GroupId=group, IpPermissions=permission("tcp", 1, 1, IpRanges=[{"CidrIp": "1.2.3.4/32", "Description": "x"}]))
    ec2.revoke_security_group_ingress(
        GroupId=group, IpPermissions=permission("tcp", 1, 1, IpRanges=[{"CidrIp": "1.2.3.4/32"}])
    )
    assert rules(ec2, group) == []
    call(GroupId=group, IpPermissions=permission("udp", 5, 6, UserIdGroupPairs=[{"GroupId": group}]))
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=ingress(ec2, group))
    assert rules(ec2, group) == []


def test_the_rule_for_everything_out_can_be_revoked_as_terraform_does(ec2: Any, group: str) -> None:
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=permission("-1", 0, 0))
    assert rules(ec2, group, egress=True) == []
    second = permission("-1", 0, 0, Ipv6Ranges=[{"CidrIpv6": "::/0"}])
    assert code(ec2.revoke_security_group_egress, GroupId=group, IpPermissions=second) == "InvalidPermission.NotFound"


def test_all_of_a_revocation_is_there_or_nothing_is_revoked(ec2: Any, group: str) -> None:
    call = ec2.revoke_security_group_ingress
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[SSH])
    said = message(call, GroupId=group, IpPermissions=[SSH, *permission("tcp", 23, 23)])
    assert said == "The specified rule does not exist in this security group."
    assert code(call, GroupId=group, IpPermissions=permission("tcp", 23, 23)) == "InvalidPermission.NotFound"
    assert code(call, GroupId=group, SecurityGroupRuleIds=["sgr-00000001"]) == "InvalidSecurityGroupRuleId.NotFound"
    outward = rules(ec2, group, egress=True)[0]["SecurityGroupRuleId"]
    assert code(call, GroupId=group, SecurityGroupRuleIds=[outward]) == "InvalidSecurityGroupRuleId.NotFound"
    assert code(call, GroupId=group) == "MissingParameter"
    assert len(rules(ec2, group)) == 1


def test_rules_are_found_by_id_group_and_tag(ec2: Any, group: str) -> None:
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[SSH])["SecurityGroupRules"][0]
    id = made["SecurityGroupRuleId"]
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "1"}])
    assert len(ec2.describe_security_group_rules()["SecurityGroupRules"]) == 4
    for asked in (
        {"SecurityGroupRuleIds": [id]},
        {"Filters": [{"Name": "security-group-rule-id", "Values": [id]}]},
        {"Filters": [{"Name": "tag:a", "Values": ["1"]}]},
    ):
        found = ec2.describe_security_group_rules(**asked)["SecurityGroupRules"]
        assert [rule["SecurityGroupRuleId"] for rule in found] == [id]
    call = ec2.describe_security_group_rules
    assert code(call, SecurityGroupRuleIds=["sgr-00000001"]) == "InvalidSecurityGroupRuleId.NotFound"
    assert code(call, SecurityGroupRuleIds=["x"]) == "InvalidSecurityGroupRuleId.Malformed"


def modify(ec2: Any, group: str, id: str, **rule: Any) -> Any:
    changes = [{"SecurityGroupRuleId": id, "SecurityGroupRule": rule}]
    return {"GroupId": group, "SecurityGroupRules": changes}


def test_a_rule_is_modified_under_its_id(ec2: Any, group: str) -> None:
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[SSH])["SecurityGroupRules"][0]
    id = made["SecurityGroupRuleId"]
    call = ec2.modify_security_group_rules
    ports = {"IpProtocol": "udp", "FromPort": 5, "ToPort": 6}
    call(**modify(ec2, group, id, **ports, CidrIpv4="10.0.0.0/8", Description="new"))
    (rule,) = rules(ec2, group)
    assert (rule["SecurityGroupRuleId"], rule["CidrIpv4"], rule["Description"]) == (id, "10.0.0.0/8", "new")
    call(**modify(ec2, group, id, **ports, ReferencedGroupId=group))
    (rule,) = rules(ec2, group)
    assert rule["ReferencedGroupInfo"]["GroupId"] == group
    assert "CidrIpv4" not in rule and "Description" not in rule
    call(**modify(ec2, group, id, IpProtocol="-1", CidrIpv6="::/0"))
    assert rules(ec2, group)[0]["CidrIpv6"] == "::/0"


def test_a_modification_that_cannot_be_is_refused(ec2: Any, group: str) -> None:
    asked = [SSH, *permission("-1")]
    ssh, everything = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=asked)["SecurityGroupRules"]
    call, id = ec2.modify_security_group_rules, everything["SecurityGroupRuleId"]
    same = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "0.0.0.0/0"}
    assert code(call, **modify(ec2, group, id, **same)) == "InvalidPermission.Duplicate"
    assert code(call, **modify(ec2, group, "sgr-00000001", **same)) == "InvalidSecurityGroupRuleId.NotFound"
    assert code(call, **modify(ec2, group, id, IpProtocol="-1")) == "MissingParameter"
    both = {"IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0", "CidrIpv6": "::/0"}
    assert code(call, **modify(ec2, group, id, **both)) == "InvalidParameterCombination"
    assert code(call, **modify(ec2, group, id, IpProtocol="-1", PrefixListId="pl-1")) == "UnsupportedOperation"
    empty = {"GroupId": group, "SecurityGroupRules": [{"SecurityGroupRuleId": id}]}
    assert code(call, **empty) == "MissingParameter"
    call(**modify(ec2, group, ssh["SecurityGroupRuleId"], **same))


def test_a_rules_description_is_changed_by_its_values_or_its_id(ec2: Any, group: str) -> None:
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[SSH])["SecurityGroupRules"][0]
    said = permission("tcp", 22, 22, IpRanges=[{"CidrIp": "0.0.0.0/0", "Description": "all the world"}])
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=said)
    assert rules(ec2, group)[0]["Description"] == "all the world"
    by_id = [{"SecurityGroupRuleId": made["SecurityGroupRuleId"], "Description": "again"}]
    ec2.update_security_group_rule_descriptions_ingress(GroupName="web", SecurityGroupRuleDescriptions=by_id)
    assert ingress(ec2, group)[0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0", "Description": "again"}]
    out = permission("-1", IpRanges=[{"CidrIp": "0.0.0.0/0", "Description": "out"}])
    ec2.update_security_group_rule_descriptions_egress(GroupId=group, IpPermissions=out)
    assert rules(ec2, group, egress=True)[0]["Description"] == "out"


def test_a_description_that_cannot_be_is_refused(ec2: Any, group: str) -> None:
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[SSH])["SecurityGroupRules"][0]
    call = ec2.update_security_group_rule_descriptions_ingress
    for description in ("é", "x" * 256):
        wrong = [{"SecurityGroupRuleId": made["SecurityGroupRuleId"], "Description": description}]
        assert code(call, GroupId=group, SecurityGroupRuleDescriptions=wrong) == "InvalidParameterValue"
    nowhere = [{"SecurityGroupRuleId": "sgr-00000001", "Description": "x"}]
    assert code(call, GroupId=group, SecurityGroupRuleDescriptions=nowhere) == "InvalidSecurityGroupRuleId.NotFound"
    assert code(call, GroupId=group, IpPermissions=permission("-1")) == "InvalidPermission.NotFound"
    assert code(call, GroupId=group) == "MissingParameter"


@pytest.mark.parametrize("cloud", [{"quota_rules": 3}], indirect=True)
def test_a_group_has_no_more_rules_than_the_operator_allows(ec2: Any, group: str) -> None:
    ranges = [{"CidrIp": f"10.{number}.0.0/16"} for number in range(4)]
    call = ec2.authorize_security_group_ingress
    said = code(call, GroupId=group, IpPermissions=permission("-1", IpRanges=ranges))
    assert said == "RulesPerSecurityGroupLimitExceeded"
    call(GroupId=group, IpPermissions=permission("-1", IpRanges=ranges[:3]))
