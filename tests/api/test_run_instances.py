"""Launching instances: what a request asks for is written down, made, and shown."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.launching import described, launched, one_of, shown, volume_of
from support.orders import instance_order, interface_order
from support.refusals import code

from cumulet.lib.config import InstanceType


def tags_of(item: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags", item.get("TagSet", []))}


def test_a_launched_instance_is_pending_at_first_and_then_runs(cloud: Any, ec2: Any) -> None:
    answer = ec2.run_instances(**one_of(cloud))
    (made,) = answer["Instances"]
    assert answer["ReservationId"].startswith("r-")
    assert answer["OwnerId"] == cloud.admin.id
    assert made["State"] == {"Code": 0, "Name": "pending"}
    assert made["StateReason"] == {"Code": "pending", "Message": "pending"}
    assert made["PrivateIpAddress"].startswith("172.31.")
    cloud.settle()
    after = shown(ec2, made["InstanceId"])
    assert after["State"] == {"Code": 16, "Name": "running"}
    assert "StateReason" not in after
    order = instance_order(cloud, made["InstanceId"])
    assert order is not None
    assert (order.vcpus, order.memory_mib, order.power) == (1, 512, "on")


def test_an_instance_without_a_type_is_an_m1_small(cloud: Any, ec2: Any) -> None:
    (made,) = ec2.run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1)["Instances"]
    assert made["InstanceType"] == "m1.small"


def test_instances_launched_together_share_a_reservation_and_differ_in_index_and_address(cloud: Any, ec2: Any) -> None:
    answer = ec2.run_instances(**one_of(cloud, MinCount=5, MaxCount=5))
    made = answer["Instances"]
    assert [instance["AmiLaunchIndex"] for instance in made] == [0, 1, 2, 3, 4]
    assert len({instance["PrivateIpAddress"] for instance in made}) == 5
    (reservation,) = ec2.describe_instances()["Reservations"]
    assert reservation["ReservationId"] == answer["ReservationId"]
    assert [one["InstanceId"] for one in reservation["Instances"]] == [one["InstanceId"] for one in made]


def test_a_hundred_instances_are_launched_by_one_request(cloud: Any, ec2: Any) -> None:
    made = ec2.run_instances(**one_of(cloud, MinCount=100, MaxCount=100))["Instances"]
    assert len({instance["NetworkInterfaces"][0]["MacAddress"] for instance in made}) == 100
    assert len({instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] for instance in made}) == 100


def test_the_key_is_given_to_the_guest(cloud: Any, ec2: Any) -> None:
    ec2.create_key_pair(KeyName="mine", KeyType="ed25519")
    instance = shown(ec2, launched(cloud, ec2, KeyName="mine"))
    assert instance["KeyName"] == "mine"
    (listed,) = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    order = interface_order(cloud, instance["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert order is not None
    assert order.metadata is not None
    assert order.metadata.key_name == "mine"
    assert order.metadata.public_key.split()[:2] == listed["PublicKey"].split()[:2]


def test_user_data_reaches_the_metadata_as_base64(cloud: Any, ec2: Any) -> None:
    instance = shown(ec2, launched(cloud, ec2, UserData="#!/bin/sh\necho hello\n"))
    order = interface_order(cloud, instance["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert order is not None
    assert order.metadata is not None
    assert base64.b64decode(order.metadata.user_data) == b"#!/bin/sh\necho hello\n"


def test_groups_may_be_named_or_given_by_id(cloud: Any, ec2: Any) -> None:
    one = ec2.create_security_group(GroupName="one", Description="one")["GroupId"]
    two = ec2.create_security_group(GroupName="two", Description="two")["GroupId"]
    by_id = shown(ec2, launched(cloud, ec2, SecurityGroupIds=[one, two]))
    by_name = shown(ec2, launched(cloud, ec2, SecurityGroups=["one"]))
    assert {group["GroupId"] for group in by_id["SecurityGroups"]} == {one, two}
    assert by_name["SecurityGroups"] == [{"GroupId": one, "GroupName": "one"}]


def test_a_launch_without_groups_is_in_the_default_group(cloud: Any, ec2: Any) -> None:
    instance = shown(ec2, launched(cloud, ec2))
    assert [group["GroupName"] for group in instance["SecurityGroups"]] == ["default"]


def test_the_subnet_decides_the_zone(cloud: Any, ec2: Any) -> None:
    subnets = {found["AvailabilityZone"]: found for found in ec2.describe_subnets()["Subnets"]}
    subnet = subnets["us-east-1b"]
    instance = shown(ec2, launched(cloud, ec2, SubnetId=subnet["SubnetId"]))
    assert instance["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert (instance["SubnetId"], instance["VpcId"]) == (subnet["SubnetId"], subnet["VpcId"])


def test_the_zone_decides_the_subnet(cloud: Any, ec2: Any) -> None:
    placement = {"AvailabilityZone": "us-east-1b", "Tenancy": "default"}
    instance = shown(ec2, launched(cloud, ec2, Placement=placement))
    (subnet,) = ec2.describe_subnets(SubnetIds=[instance["SubnetId"]])["Subnets"]
    assert subnet["AvailabilityZone"] == "us-east-1b"


def test_a_private_address_may_be_chosen(cloud: Any, ec2: Any) -> None:
    instance = shown(ec2, launched(cloud, ec2, PrivateIpAddress="172.31.0.77"))
    assert instance["PrivateIpAddress"] == "172.31.0.77"
    assert instance["PrivateDnsName"] == "ip-172-31-0-77.ec2.internal"


def test_a_network_interface_may_be_described_whole(cloud: Any, ec2: Any) -> None:
    group = ec2.create_security_group(GroupName="one", Description="one")["GroupId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    wanted = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "Groups": [group],
        "AssociatePublicIpAddress": False,
        "PrivateIpAddress": "172.31.0.78",
        "DeleteOnTermination": True,
        "Description": "the first",
    }
    instance = shown(ec2, launched(cloud, ec2, NetworkInterfaces=[wanted]))
    (nic,) = instance["NetworkInterfaces"]
    assert (nic["SubnetId"], nic["PrivateIpAddress"], nic["Description"]) == (subnet, "172.31.0.78", "the first")
    assert [one["GroupId"] for one in nic["Groups"]] == [group]
    assert "PublicIpAddress" not in instance


def test_a_primary_address_may_be_in_the_list_of_addresses(cloud: Any, ec2: Any) -> None:
    wanted = {"DeviceIndex": 0, "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": "172.31.0.79"}]}
    instance = shown(ec2, launched(cloud, ec2, NetworkInterfaces=[wanted]))
    assert instance["PrivateIpAddress"] == "172.31.0.79"


def test_a_public_address_comes_as_the_subnet_says(cloud: Any, ec2: Any) -> None:
    instance = shown(ec2, launched(cloud, ec2))
    public = instance["PublicIpAddress"]
    assert public.startswith("198.51.100.")
    assert instance["PublicDnsName"] == f"ec2-{public.replace('.', '-')}.compute-1.amazonaws.com"
    assert instance["NetworkInterfaces"][0]["Association"]["IpOwnerId"] == "amazon"


def test_the_root_disk_is_as_large_and_as_lasting_as_asked(cloud: Any, ec2: Any) -> None:
    ebs = {"VolumeSize": 12, "VolumeType": "gp2", "DeleteOnTermination": False, "Encrypted": False}
    disks = [{"DeviceName": "/dev/sda1", "Ebs": ebs}]
    id = launched(cloud, ec2, BlockDeviceMappings=disks)
    volume = volume_of(ec2, id)
    assert (volume["Size"], volume["VolumeType"], volume["State"]) == (12, "gp2", "in-use")
    (disk,) = shown(ec2, id)["BlockDeviceMappings"]
    assert disk["DeviceName"] == "/dev/sda1"
    assert disk["Ebs"]["DeleteOnTermination"] is False
    assert disk["Ebs"]["VolumeId"] == volume["VolumeId"]


def test_tags_go_to_what_they_are_meant_for(cloud: Any, ec2: Any) -> None:
    kinds = ("instance", "volume", "network-interface")
    wanted = [{"ResourceType": kind, "Tags": [{"Key": "for", "Value": kind}]} for kind in kinds]
    id = launched(cloud, ec2, TagSpecifications=wanted)
    (nic,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert tags_of(shown(ec2, id)) == {"for": "instance"}
    assert tags_of(volume_of(ec2, id)) == {"for": "volume"}
    assert tags_of(nic) == {"for": "network-interface"}


def test_options_are_kept_and_shown(cloud: Any, ec2: Any) -> None:
    id = launched(
        cloud,
        ec2,
        InstanceType="t3.micro",
        Monitoring={"Enabled": True},
        EbsOptimized=True,
        CreditSpecification={"CpuCredits": "standard"},
        MaintenanceOptions={"AutoRecovery": "disabled"},
        CapacityReservationSpecification={"CapacityReservationPreference": "open"},
        HibernationOptions={"Configured": False},
        EnclaveOptions={"Enabled": False},
        PrivateDnsNameOptions={"HostnameType": "ip-name"},
    )
    instance = shown(ec2, id)
    assert instance["Monitoring"]["State"] == "enabled"
    assert instance["EbsOptimized"] is True
    assert instance["MaintenanceOptions"]["AutoRecovery"] == "disabled"
    assert instance["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 2}
    (credits,) = ec2.describe_instance_credit_specifications(InstanceIds=[id])["InstanceCreditSpecifications"]
    assert credits["CpuCredits"] == "standard"


def test_metadata_options_hold_from_the_start(cloud: Any, ec2: Any) -> None:
    wanted = {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 3,
        "HttpEndpoint": "enabled",
        "InstanceMetadataTags": "enabled",
    }
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]
    instance = shown(ec2, launched(cloud, ec2, MetadataOptions=wanted, TagSpecifications=tags))
    assert instance["MetadataOptions"] == {"State": "applied", "HttpProtocolIpv6": "disabled", **wanted}
    order = interface_order(cloud, instance["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert order is not None
    assert order.metadata is not None
    assert (order.metadata.http_tokens, order.metadata.hop_limit) == ("required", 3)
    assert (order.metadata.tags_enabled, order.metadata.tags) == (True, {"Name": "web"})


def test_fewer_cores_than_the_type_has_may_be_asked_for(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, InstanceType="m5.xlarge", CpuOptions={"CoreCount": 2, "ThreadsPerCore": 1})
    order = instance_order(cloud, id)
    assert order is not None
    assert order.vcpus == 2
    assert shown(ec2, id)["CpuOptions"] == {"CoreCount": 2, "ThreadsPerCore": 1}


def test_the_same_token_gives_the_same_instances(cloud: Any, ec2: Any) -> None:
    first = ec2.run_instances(**one_of(cloud, ClientToken="once"))
    again = ec2.run_instances(**one_of(cloud, ClientToken="once"))
    assert again["ReservationId"] == first["ReservationId"]
    assert again["Instances"][0]["ClientToken"] == "once"
    assert len(described(ec2)) == 1


def test_the_same_token_with_other_parameters_is_refused(cloud: Any, ec2: Any) -> None:
    ec2.run_instances(**one_of(cloud, ClientToken="once"))
    other = one_of(cloud, ClientToken="once", InstanceType="m1.small")
    assert code(ec2.run_instances, **other) == "IdempotentParameterMismatch"


def test_the_token_of_a_terminated_instance_is_refused(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, ClientToken="once")
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert code(ec2.run_instances, **one_of(cloud, ClientToken="once")) == "IdempotentInstanceTerminated"


def test_another_account_may_use_the_same_token(cloud: Any, ec2: Any) -> None:
    first = ec2.run_instances(**one_of(cloud, ClientToken="once"))
    other = cloud.account("other").client().run_instances(**one_of(cloud, ClientToken="once"))
    assert other["ReservationId"] != first["ReservationId"]


def test_a_dry_run_launches_nothing(cloud: Any, ec2: Any) -> None:
    assert code(ec2.run_instances, **one_of(cloud, DryRun=True)) == "DryRunOperation"
    assert described(ec2) == []
    assert ec2.describe_volumes()["Volumes"] == []


@pytest.mark.parametrize("cloud", [{"quota_instances": 3}], indirect=True)
def test_as_many_are_launched_as_the_quota_allows_but_not_fewer_than_the_least(cloud: Any, ec2: Any) -> None:
    assert len(ec2.run_instances(**one_of(cloud, MinCount=1, MaxCount=2))["Instances"]) == 2
    assert code(ec2.run_instances, **one_of(cloud, MinCount=2, MaxCount=5)) == "InstanceLimitExceeded"
    assert len(ec2.run_instances(**one_of(cloud, MinCount=1, MaxCount=5))["Instances"]) == 1
    assert code(ec2.run_instances, **one_of(cloud)) == "InstanceLimitExceeded"
    assert len(cloud.account("other").client().run_instances(**one_of(cloud))["Instances"]) == 1


@pytest.mark.parametrize("cloud", [{"quota_instances": 1}], indirect=True)
def test_a_terminated_instance_does_not_count(cloud: Any, ec2: Any) -> None:
    ec2.terminate_instances(InstanceIds=[launched(cloud, ec2)])
    assert len(ec2.run_instances(**one_of(cloud))["Instances"]) == 1


@pytest.mark.parametrize("cloud", [{"vpc_cidr": "10.9.0.0/27"}], indirect=True)
def test_as_many_are_launched_as_the_subnet_has_addresses(cloud: Any, ec2: Any) -> None:
    assert len(ec2.run_instances(**one_of(cloud, MinCount=1, MaxCount=20))["Instances"]) == 11
    refused = one_of(cloud, Placement={"AvailabilityZone": "us-east-1a"})
    assert code(ec2.run_instances, **refused) == "InsufficientFreeAddressesInSubnet"
    assert len(described(ec2)) == 11


HUGE = {"instance_types": {"x1.huge": InstanceType(vcpus=3, memory_mib=700)}}


@pytest.mark.parametrize("cloud", [HUGE], indirect=True)
def test_the_operators_own_types_can_be_launched(cloud: Any, ec2: Any) -> None:
    order = instance_order(cloud, launched(cloud, ec2, InstanceType="x1.huge"))
    assert order is not None
    assert (order.vcpus, order.memory_mib) == (3, 700)
