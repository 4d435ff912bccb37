"""Placement groups: made, shown, deleted, and what they do to the instances in them."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import described, found, launched, one_of, shown
from support.more_hosts import add_host
from support.refusals import code, message

INSUFFICIENT = "Server.InsufficientInstanceCapacity"


def host_of(ec2: Any, id: str) -> str:
    """As an administrator is shown it."""
    return str(shown(ec2, id)["Placement"].get("HostId", ""))


def launched_into(cloud: Any, ec2: Any, **placement: Any) -> str:
    return launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1a", **placement})


def test_a_group_is_made_and_shown(ec2: Any, cloud: Any) -> None:
    tags = [{"Key": "Name", "Value": "close"}]
    specification = [{"ResourceType": "placement-group", "Tags": tags}]
    made = ec2.create_placement_group(GroupName="close", Strategy="cluster", TagSpecifications=specification)
    (group,) = ec2.describe_placement_groups(GroupNames=["close"])["PlacementGroups"]
    assert made["PlacementGroup"] == group
    assert group.pop("GroupId").startswith("pg-")
    assert group == {
        "GroupName": "close",
        "GroupArn": f"arn:aws:ec2:us-east-1:{cloud.admin.id}:placement-group/close",
        "State": "available",
        "Strategy": "cluster",
        "Tags": tags,
    }


def test_a_group_is_found_by_id_name_and_filter(ec2: Any) -> None:
    one = ec2.create_placement_group(GroupName="one", Strategy="spread", SpreadLevel="host")["PlacementGroup"]
    two = ec2.create_placement_group(GroupName="two", Strategy="partition", PartitionCount=3)["PlacementGroup"]
    ec2.create_tags(Resources=[two["GroupId"]], Tags=[{"Key": "team", "Value": "red"}])

    def names(**wanted: Any) -> list[str]:
        return [group["GroupName"] for group in ec2.describe_placement_groups(**wanted)["PlacementGroups"]]

    assert names() == ["one", "two"]
    assert names(GroupIds=[one["GroupId"]]) == ["one"]
    for name, value, expected in (
        ("strategy", "partition", ["two"]),
        ("spread-level", "host", ["one"]),
        ("group-name", "t*", ["two"]),
        ("group-arn", one["GroupArn"], ["one"]),
        ("state", "available", ["one", "two"]),
        ("tag:team", "red", ["two"]),
    ):
        assert names(Filters=[{"Name": name, "Values": [value]}]) == expected
    assert (one["SpreadLevel"], two["PartitionCount"]) == ("host", 3)


def test_groups_of_another_account_are_not_there(ec2: Any, cloud: Any) -> None:
    id = ec2.create_placement_group(GroupName="mine", Strategy="cluster")["PlacementGroup"]["GroupId"]
    other = cloud.account("other").client()
    assert other.describe_placement_groups()["PlacementGroups"] == []
    assert code(other.describe_placement_groups, GroupIds=[id]) == "InvalidPlacementGroup.Unknown"
    assert code(other.delete_placement_group, GroupName="mine") == "InvalidPlacementGroup.Unknown"
    assert code(other.create_tags, Resources=[id], Tags=[{"Key": "a", "Value": "b"}]) == "InvalidPlacementGroup.Unknown"
    other.create_placement_group(GroupName="mine", Strategy="cluster")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"Strategy": "cluster"}, "MissingParameter"),
        ({"GroupName": "g"}, "MissingParameter"),
        ({"GroupName": "g" * 256, "Strategy": "cluster"}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "scatter"}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "precision-time"}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "cluster", "PartitionCount": 2}, "InvalidParameterCombination"),
        ({"GroupName": "g", "Strategy": "cluster", "SpreadLevel": "host"}, "InvalidParameterCombination"),
        ({"GroupName": "g", "Strategy": "partition", "PartitionCount": 8}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "partition", "PartitionCount": 0}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "spread", "SpreadLevel": "planet"}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "spread", "SpreadLevel": "rack"}, "InvalidParameterValue"),
        ({"GroupName": "taken", "Strategy": "spread"}, "InvalidPlacementGroup.Duplicate"),
        ({"GroupName": "g", "Strategy": "cluster", "LinkedGroupId": "pg-1"}, "UnsupportedOperation"),
    ],
)
def test_a_group_that_cannot_be_is_refused(ec2: Any, wrong: Any, expected: str) -> None:
    ec2.create_placement_group(GroupName="taken", Strategy="cluster")
    assert code(ec2.create_placement_group, **wrong) == expected
    assert len(ec2.describe_placement_groups()["PlacementGroups"]) == 1


def test_a_dry_run_makes_no_group(ec2: Any) -> None:
    assert code(ec2.create_placement_group, GroupName="g", Strategy="cluster", DryRun=True) == "DryRunOperation"
    assert ec2.describe_placement_groups()["PlacementGroups"] == []


def test_a_group_is_deleted_once_no_instance_is_in_it(cloud: Any, ec2: Any) -> None:
    ec2.create_placement_group(GroupName="close", Strategy="cluster")
    id = launched_into(cloud, ec2, GroupName="close")
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    assert code(ec2.delete_placement_group, GroupName="close") == "InvalidPlacementGroup.InUse"
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    ec2.delete_placement_group(GroupName="close")
    assert ec2.describe_placement_groups()["PlacementGroups"] == []
    unknown = {"GroupNames": ["close"]}
    assert code(ec2.describe_placement_groups, **unknown) == "InvalidPlacementGroup.Unknown"
    assert message(ec2.describe_placement_groups, **unknown) == "The Placement Group 'close' is unknown."


def test_an_instance_shows_its_group_and_is_found_by_it(cloud: Any, ec2: Any) -> None:
    group = ec2.create_placement_group(GroupName="parted", Strategy="partition", PartitionCount=2)["PlacementGroup"]
    id = launched_into(cloud, ec2, GroupId=group["GroupId"], PartitionNumber=2)
    placement = shown(ec2, id)["Placement"]
    assert (placement["GroupName"], placement["GroupId"]) == ("parted", group["GroupId"])
    assert (placement["PartitionNumber"], placement["Tenancy"]) == (2, "default")
    launched(cloud, ec2)
    assert found(ec2, placement_group_name="parted") == {id}
    assert found(ec2, placement_group_id=group["GroupId"]) == {id}
    assert found(ec2, placement_partition_number="2") == {id}


@pytest.mark.parametrize(
    ("strategy", "placement", "expected"),
    [
        ("cluster", {"PartitionNumber": 1}, "InvalidParameterCombination"),
        ("partition", {"PartitionNumber": 3}, "InvalidParameterValue"),
        ("partition", {"PartitionNumber": 0}, "InvalidParameterValue"),
        ("spread", {"Tenancy": "dedicated"}, "InvalidParameterCombination"),
        ("cluster", {"Tenancy": "host"}, "InvalidParameterCombination"),
    ],
)
def test_a_place_that_the_group_has_not_is_refused(
    cloud: Any, ec2: Any, strategy: str, placement: Any, expected: str
) -> None:
    ec2.create_placement_group(GroupName="g", Strategy=strategy)
    assert code(ec2.run_instances, **one_of(cloud, Placement={"GroupName": "g", **placement})) == expected
    assert described(ec2) == []


def test_a_cluster_stays_in_one_zone(cloud: Any, ec2: Any) -> None:
    ec2.create_placement_group(GroupName="close", Strategy="cluster")
    launched_into(cloud, ec2, GroupName="close")
    elsewhere = {"GroupName": "close", "AvailabilityZone": "us-east-1b"}
    assert code(ec2.run_instances, **one_of(cloud, Placement=elsewhere)) == "InvalidParameterCombination"


def test_a_cluster_is_on_one_host_while_that_has_room(cloud: Any, ec2: Any) -> None:
    for name in ("h2", "h3"):
        add_host(cloud, name)
    ec2.create_placement_group(GroupName="close", Strategy="cluster")
    ids = [launched_into(cloud, ec2, GroupName="close") for _ in range(3)]
    assert len({host_of(ec2, id) for id in ids}) == 1


def test_instances_that_are_spread_are_on_different_hosts_and_no_more_than_there_are(cloud: Any, ec2: Any) -> None:
    for name in ("h2", "h3"):
        add_host(cloud, name)
    ec2.create_placement_group(GroupName="apart", Strategy="spread")
    made = ec2.run_instances(**one_of(cloud, MinCount=4, MaxCount=4, Placement={"GroupName": "apart"}))
    cloud.settle()
    instances = described(ec2, *(one["InstanceId"] for one in made["Instances"]))
    running = [one["Placement"]["HostId"] for one in instances if one["State"]["Name"] == "running"]
    assert sorted(running) == ["h1", "h2", "h3"]
    (refused,) = [one for one in instances if one["State"]["Name"] == "terminated"]
    assert refused["StateReason"]["Code"] == INSUFFICIENT
    assert "of 3 hosts, 3 barred by its placement group" in refused["StateReason"]["Message"]


def test_a_stopped_instance_keeps_its_place_in_a_spread(cloud: Any, ec2: Any) -> None:
    ec2.create_placement_group(GroupName="apart", Strategy="spread")
    first = launched_into(cloud, ec2, GroupName="apart")
    ec2.stop_instances(InstanceIds=[first])
    cloud.settle()
    second = launched_into(cloud, ec2, GroupName="apart")
    assert shown(ec2, second)["State"]["Name"] == "terminated"
    ec2.start_instances(InstanceIds=[first])
    cloud.settle()
    assert shown(ec2, first)["State"]["Name"] == "running"


@pytest.mark.parametrize("cloud", [{"host_attributes": {"rack": "r1"}}], indirect=True)
def test_instances_that_are_spread_by_rack_are_in_different_racks(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2")
    add_host(cloud, "h3", host_attributes={"rack": "r3"})
    made = ec2.create_placement_group(GroupName="apart", Strategy="spread")["PlacementGroup"]
    assert made["SpreadLevel"] == "rack"
    ids = [launched_into(cloud, ec2, GroupName="apart") for _ in range(3)]
    states = [shown(ec2, id)["State"]["Name"] for id in ids]
    assert states == ["running", "running", "terminated"]
    assert "h3" in {host_of(ec2, id) for id in ids}


def test_partitions_get_as_many_instances_each_and_share_no_host(cloud: Any, ec2: Any) -> None:
    for name in ("h2", "h3"):
        add_host(cloud, name)
    ec2.create_placement_group(GroupName="parted", Strategy="partition", PartitionCount=2)
    placement = {"GroupName": "parted", "AvailabilityZone": "us-east-1a"}
    made = ec2.run_instances(**one_of(cloud, MinCount=4, MaxCount=4, Placement=placement))["Instances"]
    assert [one["Placement"]["PartitionNumber"] for one in made] == [1, 2, 1, 2]
    cloud.settle()
    hosts: dict[int, set[str]] = {1: set(), 2: set()}
    for one in described(ec2):
        assert one["State"]["Name"] == "running"
        hosts[one["Placement"]["PartitionNumber"]].add(one["Placement"]["HostId"])
    assert hosts[1] & hosts[2] == set()
