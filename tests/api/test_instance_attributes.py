"""Single attributes of an instance: each can be shown, some changed, and the guest's host hears of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.launching import launched, shown, volume_of
from support.orders import instance_order, interface_order
from support.refusals import code, message

ATTRIBUTES = {
    "instanceType": "InstanceType",
    "kernel": "KernelId",
    "ramdisk": "RamdiskId",
    "userData": "UserData",
    "disableApiTermination": "DisableApiTermination",
    "disableApiStop": "DisableApiStop",
    "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    "rootDeviceName": "RootDeviceName",
    "blockDeviceMapping": "BlockDeviceMappings",
    "productCodes": "ProductCodes",
    "sourceDestCheck": "SourceDestCheck",
    "groupSet": "Groups",
    "ebsOptimized": "EbsOptimized",
    "sriovNetSupport": "SriovNetSupport",
    "enaSupport": "EnaSupport",
    "enclaveOptions": "EnclaveOptions",
}


def read(ec2: Any, id: str, attribute: str) -> Any:
    return ec2.describe_instance_attribute(InstanceId=id, Attribute=attribute)[ATTRIBUTES[attribute]]


def stop(cloud: Any, ec2: Any, id: str) -> None:
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()


def test_every_attribute_of_awss_model_is_answered(cloud: Any, ec2: Any) -> None:
    model = ec2.meta.service_model.operation_model("DescribeInstanceAttribute")
    assert set(model.input_shape.members["Attribute"].enum) <= set(ATTRIBUTES)
    id = launched(cloud, ec2)
    found = {attribute: read(ec2, id, attribute) for attribute in ATTRIBUTES}
    assert found["instanceType"] == {"Value": "m1.tiny"}
    assert found["kernel"] == found["ramdisk"] == found["userData"] == found["sriovNetSupport"] == {}
    assert found["disableApiTermination"] == found["disableApiStop"] == found["ebsOptimized"] == {"Value": False}
    assert found["instanceInitiatedShutdownBehavior"] == {"Value": "stop"}
    assert found["rootDeviceName"] == {"Value": "/dev/sda1"}
    assert found["blockDeviceMapping"][0]["Ebs"]["VolumeId"] == volume_of(ec2, id)["VolumeId"]
    assert found["sourceDestCheck"] == {"Value": True}
    assert [group["GroupName"] for group in found["groupSet"]] == ["default"]


def test_an_attribute_that_aws_does_not_have_is_refused(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    assert code(ec2.describe_instance_attribute, InstanceId=id, Attribute="colour") == "InvalidParameterValue"
    refused = code(ec2.modify_instance_attribute, InstanceId=id, Attribute="colour", Value="blue")
    assert refused == "InvalidParameterValue"
    assert code(ec2.reset_instance_attribute, InstanceId=id, Attribute="colour") == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("parameter", "attribute", "value"),
    [
        ("DisableApiTermination", "disableApiTermination", True),
        ("DisableApiStop", "disableApiStop", True),
        ("InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior", "terminate"),
        ("SourceDestCheck", "sourceDestCheck", False),
    ],
)
def test_an_attribute_is_changed_in_both_forms(
    cloud: Any, ec2: Any, parameter: str, attribute: str, value: Any
) -> None:
    id = launched(cloud, ec2)
    before = read(ec2, id, attribute)["Value"]
    ec2.modify_instance_attribute(InstanceId=id, **{parameter: {"Value": value}})
    assert read(ec2, id, attribute) == {"Value": value}
    ec2.modify_instance_attribute(InstanceId=id, Attribute=attribute, Value=str(before).lower())
    assert read(ec2, id, attribute) == {"Value": before}


def test_the_hosts_network_hears_of_the_source_check(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    nic = shown(ec2, id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.modify_instance_attribute(InstanceId=id, SourceDestCheck={"Value": False})
    cloud.settle()
    order = interface_order(cloud, nic)
    assert order is not None
    assert order.source_dest_check is shown(ec2, id)["SourceDestCheck"] is False
    ec2.reset_instance_attribute(InstanceId=id, Attribute="sourceDestCheck")
    cloud.settle()
    order = interface_order(cloud, nic)
    assert order is not None
    assert order.source_dest_check is True


def test_groups_are_changed_while_the_guest_runs(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    group = ec2.create_security_group(GroupName="one", Description="one")["GroupId"]
    ec2.modify_instance_attribute(InstanceId=id, Groups=[group])
    cloud.settle()
    after = shown(ec2, id)
    assert [one["GroupId"] for one in after["SecurityGroups"]] == [group]
    order = interface_order(cloud, after["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert order is not None
    assert order.groups == [group]
    absent = "sg-0123456789abcdef0"
    assert code(ec2.modify_instance_attribute, InstanceId=id, Groups=[absent]) == "InvalidGroup.NotFound"


def test_the_type_is_changed_while_the_instance_is_stopped(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    wanted = {"InstanceId": id, "InstanceType": {"Value": "t2.medium"}}
    assert code(ec2.modify_instance_attribute, **wanted) == "IncorrectInstanceState"
    assert message(ec2.modify_instance_attribute, **wanted) == f"The instance '{id}' is not in the 'stopped' state."
    stop(cloud, ec2, id)
    ec2.modify_instance_attribute(**wanted)
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    order = instance_order(cloud, id)
    assert order is not None
    assert (order.vcpus, order.memory_mib) == (2, 4096)
    assert shown(ec2, id)["InstanceType"] == "t2.medium"


def test_a_type_that_is_not_there_is_refused(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    stop(cloud, ec2, id)
    refused = code(ec2.modify_instance_attribute, InstanceId=id, InstanceType={"Value": "m9.enormous"})
    assert refused == "InvalidParameterValue"


def test_user_data_is_changed_while_the_instance_is_stopped(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, UserData="one")
    wanted = {"InstanceId": id, "UserData": {"Value": b"two"}}
    assert code(ec2.modify_instance_attribute, **wanted) == "IncorrectInstanceState"
    stop(cloud, ec2, id)
    ec2.modify_instance_attribute(**wanted)
    assert base64.b64decode(read(ec2, id, "userData")["Value"]) == b"two"
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    order = interface_order(cloud, shown(ec2, id)["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert order is not None
    assert order.metadata is not None
    assert base64.b64decode(order.metadata.user_data) == b"two"


def test_user_data_by_name_is_base64(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    stop(cloud, ec2, id)
    wanted = {"InstanceId": id, "Attribute": "userData"}
    ec2.modify_instance_attribute(**wanted, Value=base64.b64encode(b"three").decode())
    assert base64.b64decode(read(ec2, id, "userData")["Value"]) == b"three"
    assert code(ec2.modify_instance_attribute, **wanted, Value="***") == "InvalidUserData.Malformed"


def test_ebs_optimisation_is_kept(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    wanted = {"InstanceId": id, "EbsOptimized": {"Value": True}}
    assert code(ec2.modify_instance_attribute, **wanted) == "IncorrectInstanceState"
    stop(cloud, ec2, id)
    ec2.modify_instance_attribute(**wanted)
    assert read(ec2, id, "ebsOptimized") == {"Value": True}


def test_a_disk_may_be_made_to_outlive_its_instance(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    keep = [{"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": False}}]
    ec2.modify_instance_attribute(InstanceId=id, BlockDeviceMappings=keep)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert [volume["State"] for volume in ec2.describe_volumes()["Volumes"]] == ["available"]


def test_a_device_that_is_not_there_is_refused(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    wrong = [{"DeviceName": "/dev/sdq", "Ebs": {"DeleteOnTermination": False}}]
    refused = code(ec2.modify_instance_attribute, InstanceId=id, BlockDeviceMappings=wrong)
    assert refused == "InvalidInstanceAttributeValue"


def test_one_attribute_is_changed_at_a_time(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    two = {"DisableApiStop": {"Value": True}, "SourceDestCheck": {"Value": False}}
    assert code(ec2.modify_instance_attribute, InstanceId=id, **two) == "InvalidParameterCombination"
    assert code(ec2.modify_instance_attribute, InstanceId=id) == "InvalidParameterCombination"
    assert code(ec2.modify_instance_attribute, InstanceId=id, Value="true") == "InvalidParameterCombination"
    assert read(ec2, id, "disableApiStop") == {"Value": False}


def test_a_value_that_cannot_be_is_refused(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    wrong = {"InstanceInitiatedShutdownBehavior": {"Value": "explode"}}
    assert code(ec2.modify_instance_attribute, InstanceId=id, **wrong) == "InvalidParameterValue"
    by_name = {"Attribute": "disableApiStop", "Value": "perhaps"}
    assert code(ec2.modify_instance_attribute, InstanceId=id, **by_name) == "InvalidParameterValue"
    kernel = {"Kernel": {"Value": "aki-1"}}
    assert code(ec2.modify_instance_attribute, InstanceId=id, **kernel) == "UnsupportedOperation"


def test_nothing_is_changed_of_what_is_going(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[id])
    refused = code(ec2.modify_instance_attribute, InstanceId=id, DisableApiStop={"Value": True})
    assert refused == "IncorrectInstanceState"
