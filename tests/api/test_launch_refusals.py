"""Launches that cannot be: refused with AWS's code, and nothing is left of them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.launching import described, launched, one_of
from support.refusals import code, message

from cumulet.model import image

TAGS = [{"Key": "Name", "Value": "x"}]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "foo"}, "InvalidAMIID.Malformed"),
        ({"ImageId": ""}, "MissingParameter"),
        ({"InstanceType": "m9.enormous"}, "InvalidParameterValue"),
        ({"KeyName": "nobodys"}, "InvalidKeyPair.NotFound"),
        ({"SecurityGroups": ["nobodys"]}, "InvalidGroup.NotFound"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"SecurityGroupIds": ["foo"]}, "InvalidGroupId.Malformed"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"MinCount": 0, "MaxCount": 0}, "InvalidParameterValue"),
        ({"MaxCount": 0}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterCombination"),
        ({"UserData": base64.b64encode(b"x" * 16385)}, "InvalidParameterValue"),
        ({"InstanceInitiatedShutdownBehavior": "explode"}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue"),
        ({"Placement": {"Tenancy": "mine"}}, "InvalidParameterValue"),
        ({"Placement": {"GroupName": "together"}}, "InvalidPlacementGroup.Unknown"),
        ({"Placement": {"GroupId": "pg-0123456789abcdef0"}}, "InvalidPlacementGroup.Unknown"),
        ({"Placement": {"GroupName": "a", "GroupId": "pg-1"}}, "InvalidParameterCombination"),
        ({"Placement": {"PartitionNumber": 1}}, "InvalidParameterCombination"),
        ({"Placement": {"HostId": "h-1"}}, "InvalidHostID.NotFound"),
        ({"Placement": {"HostId": "h1", "Tenancy": "default"}}, "InvalidParameterCombination"),
        ({"Placement": {"Affinity": "host"}}, "InvalidParameterCombination"),
        ({"Placement": {"Affinity": "love", "Tenancy": "host"}}, "InvalidParameterValue"),
        ({"Placement": {"HostResourceGroupArn": "arn:x"}}, "UnsupportedOperation"),
        ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation"),
        ({"EnclaveOptions": {"Enabled": True}}, "UnsupportedOperation"),
        ({"PrivateDnsNameOptions": {"HostnameType": "resource-name"}}, "UnsupportedOperation"),
        ({"IamInstanceProfile": {"Name": "admin"}}, "InvalidParameterValue"),
        ({"KernelId": "aki-00000001"}, "InvalidAMIID.NotFound"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
        ({"CreditSpecification": {"CpuCredits": "unlimited"}}, "InvalidParameterCombination"),
        ({"InstanceType": "t2.nano", "CreditSpecification": {"CpuCredits": "much"}}, "InvalidParameterValue"),
        ({"CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 1}}, "InvalidParameterCombination"),
        ({"MaintenanceOptions": {"AutoRecovery": "always"}}, "InvalidParameterValue"),
        ({"MetadataOptions": {"HttpTokens": "maybe"}}, "InvalidParameterValue"),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
        ({"MetadataOptions": {"HttpProtocolIpv6": "enabled"}}, "UnsupportedOperation"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": TAGS}]}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.0.0.9"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.0.2"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "somewhere"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.0.9", "MaxCount": 2}, "InvalidParameterCombination"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(cloud: Any, ec2: Any, wrong: Any, expected: str) -> None:
    assert code(ec2.run_instances, **one_of(cloud, **wrong)) == expected
    assert described(ec2) == []


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 0}}, "InvalidBlockDeviceMapping"),
        ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 99999}}, "InvalidBlockDeviceMapping"),
        ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "sc1"}}, "InvalidBlockDeviceMapping"),
        ({"DeviceName": "/dev/sda1", "Ebs": {"KmsKeyId": "alias/aws/ebs"}}, "InvalidParameterDependency"),
        ({"DeviceName": "/dev/sda1", "Ebs": {"Iops": 9000}}, "InvalidBlockDeviceMapping"),
        ({"DeviceName": "/dev/sda1", "VirtualName": "ephemeral0"}, "UnsupportedOperation"),
    ],
)
def test_a_disk_that_cannot_be_is_refused(cloud: Any, ec2: Any, disk: Any, expected: str) -> None:
    assert code(ec2.run_instances, **one_of(cloud, BlockDeviceMappings=[disk])) == expected


@pytest.mark.parametrize(
    ("nic", "expected"),
    [
        ({"Description": "no index"}, "MissingParameter"),
        ({"DeviceIndex": 1}, "InvalidParameterValue"),
        ({"DeviceIndex": 0, "InterfaceType": "efa"}, "UnsupportedOperation"),
        ({"DeviceIndex": 0, "DeleteOnTermination": False}, "UnsupportedOperation"),
        ({"DeviceIndex": 0, "NetworkInterfaceId": "eni-1"}, "UnsupportedOperation"),
        ({"DeviceIndex": 0, "Groups": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"DeviceIndex": 0, "SubnetId": "subnet-0"}, "InvalidSubnetID.NotFound"),
        (
            {
                "DeviceIndex": 0,
                "PrivateIpAddress": "172.31.0.9",
                "PrivateIpAddresses": [{"PrivateIpAddress": "172.31.0.9"}],
            },
            "InvalidParameterCombination",
        ),
    ],
)
def test_an_interface_that_cannot_be_is_refused(cloud: Any, ec2: Any, nic: Any, expected: str) -> None:
    assert code(ec2.run_instances, **one_of(cloud, NetworkInterfaces=[nic])) == expected


@pytest.mark.parametrize(
    "top", [{"SubnetId": "subnet-0"}, {"SecurityGroupIds": ["sg-0"]}, {"PrivateIpAddress": "172.31.0.9"}]
)
def test_an_interface_and_the_same_at_the_top_contradict(cloud: Any, ec2: Any, top: Any) -> None:
    refused = one_of(cloud, NetworkInterfaces=[{"DeviceIndex": 0}], **top)
    assert code(ec2.run_instances, **refused) == "InvalidParameterCombination"


def test_two_interfaces_are_refused(cloud: Any, ec2: Any) -> None:
    two = [{"DeviceIndex": 0}, {"DeviceIndex": 1}]
    assert code(ec2.run_instances, **one_of(cloud, NetworkInterfaces=two)) == "UnsupportedOperation"


def test_the_words_are_awss(cloud: Any, ec2: Any) -> None:
    wrong = one_of(cloud, ImageId="ami-0123456789abcdef0")
    assert message(ec2.run_instances, **wrong) == "The image id '[ami-0123456789abcdef0]' does not exist"
    wrong = one_of(cloud, KeyName="nobodys")
    assert message(ec2.run_instances, **wrong) == "The key pair 'nobodys' does not exist"
    wrong = one_of(cloud, InstanceType="m9.enormous")
    text = "The following supplied instance types do not exist: [m9.enormous]"
    assert message(ec2.run_instances, **wrong) == text


def test_a_taken_address_is_refused(cloud: Any, ec2: Any) -> None:
    launched(cloud, ec2, PrivateIpAddress="172.31.0.50")
    assert code(ec2.run_instances, **one_of(cloud, PrivateIpAddress="172.31.0.50")) == "InvalidIPAddress.InUse"


def test_names_of_groups_do_not_go_with_a_subnet(cloud: Any, ec2: Any) -> None:
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    refused = one_of(cloud, SubnetId=subnet, SecurityGroups=["default"])
    assert code(ec2.run_instances, **refused) == "InvalidParameterCombination"


def test_a_subnet_of_another_zone_is_refused(cloud: Any, ec2: Any) -> None:
    subnets = {found["AvailabilityZone"]: found["SubnetId"] for found in ec2.describe_subnets()["Subnets"]}
    refused = one_of(cloud, SubnetId=subnets["us-east-1a"], Placement={"AvailabilityZone": "us-east-1b"})
    assert code(ec2.run_instances, **refused) == "InvalidParameterCombination"


def test_user_data_that_is_not_base64_is_refused(cloud: Any, ec2: Any) -> None:
    def send_as_it_is(params: dict[str, Any], **more: Any) -> None:
        params["body"]["UserData"] = "*** not base64 ***"

    ec2.meta.events.register("before-call.ec2.RunInstances", send_as_it_is)
    assert code(ec2.run_instances, **one_of(cloud)) == "InvalidUserData.Malformed"


def test_a_tag_that_has_no_place_in_the_metadata_is_refused(cloud: Any, ec2: Any) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": "x"}]}]
    refused = one_of(cloud, MetadataOptions={"InstanceMetadataTags": "enabled"}, TagSpecifications=tags)
    assert code(ec2.run_instances, **refused) == "InvalidParameterValue"


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_an_image_that_is_not_available_cannot_be_launched(cloud: Any, ec2: Any, state: str) -> None:
    files = image.image_file
    with cloud.database.write() as tx:
        tx.change(files.update().values(state=state))
    assert code(ec2.run_instances, **one_of(cloud)) == "InvalidAMIID.Unavailable"


def test_what_is_another_accounts_is_not_there(cloud: Any, ec2: Any) -> None:
    other = cloud.account("other").client()
    subnet = other.describe_subnets()["Subnets"][0]["SubnetId"]
    group = other.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    other.create_key_pair(KeyName="theirs", KeyType="ed25519")
    assert code(ec2.run_instances, **one_of(cloud, SubnetId=subnet)) == "InvalidSubnetID.NotFound"
    assert code(ec2.run_instances, **one_of(cloud, SecurityGroupIds=[group])) == "InvalidGroup.NotFound"
    assert code(ec2.run_instances, **one_of(cloud, KeyName="theirs")) == "InvalidKeyPair.NotFound"
