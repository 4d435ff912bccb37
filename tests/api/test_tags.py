"""Tags: on every kind of resource, within AWS's limits."""

from __future__ import annotations

from typing import Any

import pytest
from support.orders import interface_order
from support.refusals import code, message


def default_group(ec2: Any) -> str:
    return str(ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"])


def tags(ec2: Any, id: str) -> dict[str, str]:
    found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def put(ec2: Any, id: str, **values: str) -> None:
    ec2.create_tags(Resources=[id], Tags=[{"Key": key, "Value": value} for key, value in values.items()])


def test_every_kind_of_resource_can_have_tags(cloud: Any, ec2: Any) -> None:
    image = {"ImageId": cloud.image}
    guest = ec2.run_instances(**image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)["Instances"][0]
    cloud.settle()
    rule = ec2.describe_security_group_rules()["SecurityGroupRules"][0]
    resources = {
        "elastic-ip": ec2.allocate_address()["AllocationId"],
        "image": cloud.image,
        "instance": guest["InstanceId"],
        "key-pair": ec2.create_key_pair(KeyName="k", KeyType="ed25519")["KeyPairId"],
        "network-interface": ec2.describe_network_interfaces()["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "security-group": default_group(ec2),
        "security-group-rule": rule["SecurityGroupRuleId"],
        "subnet": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        "volume": ec2.describe_volumes()["Volumes"][0]["VolumeId"],
        "vpc": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
    }
    ec2.create_tags(Resources=list(resources.values()), Tags=[{"Key": "team", "Value": "blue"}])
    found = ec2.describe_tags()["Tags"]
    assert {tag["ResourceType"]: tag["ResourceId"] for tag in found} == resources
    assert {(tag["Key"], tag["Value"]) for tag in found} == {("team", "blue")}
    theirs = cloud.account("other").client("ec2")
    assert theirs.describe_tags()["Tags"] == []
    for id in resources.values():
        call = {"Resources": [id], "Tags": [{"Key": "a", "Value": "b"}]}
        assert code(theirs.create_tags, **call).endswith(".NotFound")
        assert code(theirs.delete_tags, **call).endswith(".NotFound")


def test_a_tag_is_replaced_by_a_later_one_with_its_key(ec2: Any) -> None:
    id = default_group(ec2)
    put(ec2, id, a="1", b="2")
    put(ec2, id, a="3", empty="")
    assert tags(ec2, id) == {"a": "3", "b": "2", "empty": ""}


def test_a_tag_is_deleted_by_its_key_or_only_with_its_value(ec2: Any) -> None:
    id = default_group(ec2)
    put(ec2, id, a="1", b="2", c="", d="4")
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "a"}, {"Key": "b", "Value": "x"}, {"Key": "d", "Value": ""}])
    assert tags(ec2, id) == {"b": "2", "c": "", "d": "4"}
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "b", "Value": "2"}, {"Key": "c", "Value": ""}, {"Key": "nowhere"}])
    assert tags(ec2, id) == {"d": "4"}
    ec2.delete_tags(Resources=[id])
    assert tags(ec2, id) == {}


@pytest.mark.parametrize("tag", [{"Key": "aws:x"}, {"Key": "AWS:x"}, {"Key": ""}, {"Value": "x"}, {"Key": "k" * 129}])
def test_a_key_that_cannot_be_is_refused(ec2: Any, tag: dict[str, str]) -> None:
    for call in (ec2.create_tags, ec2.delete_tags):
        assert code(call, Resources=[default_group(ec2)], Tags=[tag]) == "InvalidParameterValue"


def test_a_value_has_at_most_256_characters_and_a_key_is_given_once(ec2: Any) -> None:
    id = default_group(ec2)
    put(ec2, id, **{"k" * 128: "é" * 256})
    long = [{"Key": "a", "Value": "v" * 257}]
    assert code(ec2.create_tags, Resources=[id], Tags=long) == "InvalidParameterValue"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert message(ec2.create_tags, Resources=[id], Tags=twice) == "Duplicate tag key 'a' specified."


def test_a_resource_has_at_most_50_tags(ec2: Any) -> None:
    id = default_group(ec2)
    put(ec2, id, **{f"k{number}": "" for number in range(50)})
    put(ec2, id, k7="again")
    one_more = [{"Key": "k50", "Value": ""}]
    assert code(ec2.create_tags, Resources=[id], Tags=one_more) == "TagLimitExceeded"
    many = [{"Key": f"k{number}", "Value": ""} for number in range(51)]
    specification = [{"ResourceType": "elastic-ip", "Tags": many}]
    assert code(ec2.allocate_address, TagSpecifications=specification) == "TagLimitExceeded"


def test_all_resources_are_tagged_or_none(ec2: Any) -> None:
    id = default_group(ec2)
    wanted = [{"Key": "a", "Value": "1"}]
    missing = {
        "i-01234567890123456": "InvalidInstanceID.NotFound",
        "sg-01234567890123456": "InvalidGroup.NotFound",
        "vol-01234567890123456": "InvalidVolume.NotFound",
        "ami-01234567890123456": "InvalidAMIID.NotFound",
        "subnet-01234567890123456": "InvalidSubnetID.NotFound",
        "vpc-01234567890123456": "InvalidVpcID.NotFound",
        "eni-01234567890123456": "InvalidNetworkInterfaceID.NotFound",
        "eipalloc-01234567890123456": "InvalidAllocationID.NotFound",
        "key-01234567890123456": "InvalidKeyPair.NotFound",
        "sgr-01234567890123456": "InvalidSecurityGroupRuleId.NotFound",
        "nonsense": "InvalidID",
        "i-xyz": "InvalidID",
        "vol-123": "InvalidID",
        "r-01234567890123456": "InvalidID",
    }
    for other, refused in missing.items():
        assert code(ec2.create_tags, Resources=[id, other], Tags=wanted) == refused
        assert code(ec2.delete_tags, Resources=[other], Tags=wanted) == refused
    assert tags(ec2, id) == {}
    assert code(ec2.create_tags, Resources=[id], Tags=wanted, DryRun=True) == "DryRunOperation"
    assert tags(ec2, id) == {}


@pytest.mark.parametrize(
    "specification",
    [
        {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]},
        {"Tags": [{"Key": "a", "Value": "1"}]},
        {"ResourceType": "elastic-ip"},
        {"ResourceType": "elastic-ip", "Tags": [{"Key": "aws:a", "Value": "1"}]},
    ],
)
def test_tags_for_what_an_action_does_not_make_are_refused(ec2: Any, specification: dict[str, Any]) -> None:
    assert code(ec2.allocate_address, TagSpecifications=[specification]) == "InvalidParameterValue"
    assert ec2.describe_addresses()["Addresses"] == []


def test_a_type_of_resource_has_its_tags_in_one_place_of_a_request(ec2: Any) -> None:
    one = {"ResourceType": "elastic-ip", "Tags": [{"Key": "a", "Value": "b"}]}
    said = message(ec2.allocate_address, TagSpecifications=[one, {**one, "Tags": [{"Key": "c", "Value": "d"}]}])
    assert said.startswith("The same resource type may not be specified more than once in tag specifications")


def test_tags_are_found_by_filter(ec2: Any) -> None:
    group, vpc = default_group(ec2), ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    put(ec2, group, team="blue", tier="front")
    put(ec2, vpc, team="red")
    for filters, expected in (
        ({"key": "team"}, {(group, "team"), (vpc, "team")}),
        ({"key": "t*", "value": "blue"}, {(group, "team")}),
        ({"resource-type": "vpc"}, {(vpc, "team")}),
        ({"resource-id": group}, {(group, "team"), (group, "tier")}),
        ({"tag:team": "red"}, {(vpc, "team")}),
    ):
        asked = [{"Name": name, "Values": [value]} for name, value in filters.items()]
        found = ec2.describe_tags(Filters=asked)["Tags"]
        assert {(tag["ResourceId"], tag["Key"]) for tag in found} == expected


def test_tags_come_in_pages(ec2: Any) -> None:
    id = default_group(ec2)
    put(ec2, id, **{f"k{number}": "" for number in range(12)})
    pages = [page["Tags"] for page in ec2.get_paginator("describe_tags").paginate(PaginationConfig={"PageSize": 5})]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert len({tag["Key"] for page in pages for tag in page}) == 12


def test_a_guest_is_told_of_its_tags(cloud: Any, ec2: Any) -> None:
    options = {"InstanceMetadataTags": "enabled"}
    made = ec2.run_instances(
        ImageId=cloud.image, InstanceType="m1.tiny", MinCount=1, MaxCount=1, MetadataOptions=options
    )
    cloud.settle()
    put(ec2, made["Instances"][0]["InstanceId"], team="blue")
    cloud.settle()
    (nic,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    order = interface_order(cloud, nic["NetworkInterfaceId"])
    assert order is not None and order.metadata is not None
    assert order.metadata.tags == {"team": "blue"}
