"""Security groups: made, named, found and deleted as in AWS."""

from __future__ import annotations

from typing import Any

import pytest
from support.refusals import code, message

WEB = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def create(ec2: Any, name: str = "web", **more: Any) -> str:
    return str(ec2.create_security_group(GroupName=name, Description="a group", **more)["GroupId"])


def one(ec2: Any, id: str) -> dict[str, Any]:
    (found,) = ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"]
    return dict(found)


def default(ec2: Any) -> str:
    return str(ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"])


def test_an_account_begins_with_a_group_that_lets_its_members_in_and_everything_out(ec2: Any) -> None:
    (group,) = ec2.describe_security_groups()["SecurityGroups"]
    assert (group["GroupName"], group["Description"]) == ("default", "default VPC security group")
    (inside,), (outside,) = group["IpPermissions"], group["IpPermissionsEgress"]
    assert inside["IpProtocol"] == outside["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in inside["UserIdGroupPairs"]] == [group["GroupId"]]
    assert outside["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]


def test_a_new_group_lets_nothing_in_and_everything_out(ec2: Any) -> None:
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "1"}]}]
    made = ec2.create_security_group(GroupName="web", Description="a group", TagSpecifications=tags)
    group = one(ec2, made["GroupId"])
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert group["IpPermissions"] == []
    assert [(rule["IpProtocol"], rule["IpRanges"]) for rule in group["IpPermissionsEgress"]] == [
        ("-1", [{"CidrIp": "0.0.0.0/0"}])
    ]
    assert group["VpcId"] == vpc["VpcId"]
    assert group["Tags"] == made["Tags"] == [{"Key": "a", "Value": "1"}]
    assert group["SecurityGroupArn"] == made["SecurityGroupArn"]
    assert made["SecurityGroupArn"].endswith(f":{group['OwnerId']}:security-group/{made['GroupId']}")


def test_a_name_is_used_once_in_a_vpc(ec2: Any) -> None:
    create(ec2)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    said = message(ec2.create_security_group, GroupName="web", Description="x", VpcId=vpc)
    assert said == f"The security group 'web' already exists for VPC '{vpc}'"
    for name in ("web", "WEB", "web  "):
        assert code(ec2.create_security_group, GroupName=name, Description="x") == "InvalidGroup.Duplicate"


@pytest.mark.parametrize("name", ["sg-web", "é", "a" * 256, "a\tb", " a", "a|b"])
def test_a_name_that_cannot_be_is_refused(ec2: Any, name: str) -> None:
    assert code(ec2.create_security_group, GroupName=name, Description="x") == "InvalidParameterValue"


def test_a_description_that_cannot_be_is_refused(ec2: Any) -> None:
    for description in ("é", "x" * 256, "a|b"):
        assert code(ec2.create_security_group, GroupName="x", Description=description) == "InvalidParameterValue"


def test_spaces_at_the_end_of_a_name_are_cut_off(ec2: Any) -> None:
    id = ec2.create_security_group(GroupName="a web ", Description="x")["GroupId"]
    assert ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"][0]["GroupName"] == "a web"


def test_a_group_has_a_description(ec2: Any) -> None:
    assert code(ec2.create_security_group, GroupName="x", Description="") == "MissingParameter"


def test_the_name_default_is_reserved(ec2: Any) -> None:
    assert code(ec2.create_security_group, GroupName="default", Description="x") == "InvalidGroup.Reserved"


def test_a_group_in_a_vpc_that_is_not_there_is_refused(cloud: Any, ec2: Any) -> None:
    theirs = cloud.account("other").client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    for vpc in ("vpc-01234567890123456", theirs):
        assert code(ec2.create_security_group, GroupName="x", Description="x", VpcId=vpc) == "InvalidVpcID.NotFound"


def test_groups_are_found_by_id_name_and_filter(ec2: Any) -> None:
    id = create(ec2)
    mine = default(ec2)
    ec2.create_tags(Resources=[id], Tags=[{"Key": "tier", "Value": "front"}])
    peers = {"IpRanges": [{"CidrIp": "10.0.0.0/8"}], "UserIdGroupPairs": [{"GroupId": mine}]}
    ec2.authorize_security_group_ingress(
        GroupId=id, IpPermissions=[{"IpProtocol": "udp", "FromPort": 53, "ToPort": 54, **peers}]
    )
    owner = one(ec2, id)["OwnerId"]
    for name, value in {
        "description": "a group",
        "group-id": id,
        "group-name": "we*",
        "ip-permission.cidr": "10.0.0.0/8",
        "ip-permission.from-port": "53",
        "ip-permission.protocol": "udp",
        "ip-permission.to-port": "54",
        "tag:tier": "front",
        "tag-key": "tier",
    }.items():
        found = ec2.describe_security_groups(Filters=[{"Name": name, "Values": [value]}])["SecurityGroups"]
        assert [group["GroupId"] for group in found] == [id], name
    for name, value in {
        "owner-id": owner,
        "vpc-id": one(ec2, id)["VpcId"],
        "egress.ip-permission.cidr": "0.0.0.0/0",
        "egress.ip-permission.protocol": "-1",
        "ip-permission.group-id": mine,
        "ip-permission.group-name": "default",
        "ip-permission.user-id": owner,
    }.items():
        found = ec2.describe_security_groups(Filters=[{"Name": name, "Values": [value]}])["SecurityGroups"]
        assert {group["GroupId"] for group in found} == {id, mine}, name
    for name in ("ip-permission.ipv6-cidr", "ip-permission.prefix-list-id", "egress.ip-permission.group-name"):
        assert ec2.describe_security_groups(Filters=[{"Name": name, "Values": ["*"]}])["SecurityGroups"] == []
    assert [group["GroupId"] for group in ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]] == [id]


def test_an_unknown_filter_is_refused(ec2: Any) -> None:
    said = code(ec2.describe_security_groups, Filters=[{"Name": "colour", "Values": ["red"]}])
    assert said == "InvalidParameterValue"


def test_groups_come_in_pages(ec2: Any) -> None:
    made = {create(ec2, f"g{number}") for number in range(6)} | {default(ec2)}
    first = ec2.describe_security_groups(MaxResults=5)
    rest = ec2.describe_security_groups(MaxResults=5, NextToken=first["NextToken"])
    assert len(first["SecurityGroups"]) == 5
    assert "NextToken" not in rest
    assert {group["GroupId"] for group in first["SecurityGroups"] + rest["SecurityGroups"]} == made


def test_what_is_not_there_is_refused_by_its_name(ec2: Any) -> None:
    assert code(ec2.describe_security_groups, GroupIds=["web"]) == "InvalidGroupId.Malformed"
    assert code(ec2.describe_security_groups, GroupIds=["sg-01234567890123456"]) == "InvalidGroup.NotFound"
    assert (
        message(ec2.describe_security_groups, GroupIds=["sg-00000001"])
        == "The security group 'sg-00000001' does not exist"
    )
    assert code(ec2.describe_security_groups, GroupNames=["web"]) == "InvalidGroup.NotFound"
    assert code(ec2.delete_security_group, GroupName="web") == "InvalidGroup.NotFound"
    assert code(ec2.delete_security_group, GroupId="sg-00000001") == "InvalidGroup.NotFound"
    assert code(ec2.delete_security_group, GroupId="web") == "InvalidGroupId.Malformed"
    assert code(ec2.delete_security_group) == "MissingParameter"
    assert code(ec2.delete_security_group, GroupId="sg-00000001", GroupName="x") == "InvalidParameterCombination"


def test_a_deleted_group_is_gone_at_once_and_its_name_is_free(cloud: Any, ec2: Any) -> None:
    id = create(ec2)
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "1"}])
    assert ec2.delete_security_group(GroupId=id)["GroupId"] == id
    assert code(ec2.describe_security_groups, GroupIds=[id]) == "InvalidGroup.NotFound"
    assert ec2.describe_tags()["Tags"] == []
    again = create(ec2)
    cloud.settle()
    assert [group["GroupId"] for group in ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]] == [again]
    ec2.delete_security_group(GroupName="web")
    cloud.settle()
    assert [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]


def test_the_default_group_stays(ec2: Any) -> None:
    assert code(ec2.delete_security_group, GroupName="default") == "CannotDelete"


def test_a_group_that_another_names_stays_and_its_own_rule_is_no_obstacle(ec2: Any) -> None:
    web, data = create(ec2, "web"), create(ec2, "data")
    pair = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]}]
    for id in (web, data):
        ec2.authorize_security_group_ingress(GroupId=id, IpPermissions=pair)
    assert code(ec2.delete_security_group, GroupId=web) == "DependencyViolation"
    ec2.delete_security_group(GroupId=data)
    ec2.delete_security_group(GroupId=web)
    assert len(ec2.describe_security_groups()["SecurityGroups"]) == 1


def test_a_dry_run_changes_nothing(ec2: Any) -> None:
    id = create(ec2)
    assert code(ec2.create_security_group, GroupName="x", Description="x", DryRun=True) == "DryRunOperation"
    assert code(ec2.delete_security_group, GroupId=id, DryRun=True) == "DryRunOperation"
    asked = {"GroupId": id, "IpPermissions": [WEB]}
    assert code(ec2.authorize_security_group_ingress, **asked, DryRun=True) == "DryRunOperation"
    assert one(ec2, id)["IpPermissions"] == []


def test_nobody_sees_or_changes_the_groups_of_another_account(cloud: Any, ec2: Any) -> None:
    id = create(ec2)
    other = cloud.account("other").client("ec2")
    mine = {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    theirs = {group["GroupId"] for group in other.describe_security_groups()["SecurityGroups"]}
    assert len(theirs) == 1
    assert not mine & theirs
    for call in (other.delete_security_group, other.authorize_security_group_ingress):
        permissions = {"IpPermissions": [WEB]} if "authorize" in str(call) else {}
        assert code(call, GroupId=id, **permissions) == "InvalidGroup.NotFound"
    assert code(other.describe_security_groups, GroupIds=[id]) == "InvalidGroup.NotFound"
    assert code(other.create_tags, Resources=[id], Tags=[{"Key": "a", "Value": "b"}]) == "InvalidGroup.NotFound"
    pair = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": id}]}]
    asked = {"GroupId": theirs.pop(), "IpPermissions": pair}
    assert code(other.authorize_security_group_ingress, **asked) == "InvalidGroup.NotFound"


@pytest.mark.parametrize("cloud", [{"quota_groups": 2}], indirect=True)
def test_a_vpc_has_no_more_groups_than_the_operator_allows(ec2: Any) -> None:
    create(ec2, "one")
    assert code(ec2.create_security_group, GroupName="two", Description="x") == "SecurityGroupLimitExceeded"
