"""Volumes: made, looked up and deleted; the disks of a launch."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, one_of, volume_of
from support.refusals import code

from cumulet.model import capacity

ZONE = "us-east-1a"


def found(ec2: Any, **filters: str) -> list[str]:
    wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    return [volume["VolumeId"] for volume in ec2.describe_volumes(Filters=wanted)["Volumes"]]


def test_a_root_disk_is_a_volume(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    volume = volume_of(ec2, id)
    assert (volume["State"], volume["Size"], volume["VolumeType"], volume["Encrypted"]) == ("in-use", 1, "gp3", False)
    (attachment,) = volume["Attachments"]
    assert (attachment["InstanceId"], attachment["Device"], attachment["State"]) == (id, "/dev/sda1", "attached")
    assert attachment["DeleteOnTermination"] is True


def test_a_disk_that_is_not_made_yet_is_being_created(cloud: Any, ec2: Any) -> None:
    (made,) = ec2.run_instances(**one_of(cloud))["Instances"]
    volume = volume_of(ec2, made["InstanceId"])
    assert (volume["State"], volume["Attachments"][0]["State"]) == ("creating", "attaching")


def test_volumes_are_found_by_id_and_filter(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 3}}])
    launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1b"})
    mine = volume_of(ec2, id)["VolumeId"]
    assert found(ec2, **{"attachment.instance-id": id, "attachment.device": "/dev/sda1"}) == [mine]
    assert found(ec2, size="3") == found(ec2, **{"availability-zone": "us-east-1a"}) == [mine]
    assert found(ec2, **{"volume-id": mine, "status": "in-use", "attachment.status": "attached"}) == [mine]
    assert found(ec2, **{"volume-id": mine, "create-time": "20*", "attachment.attach-time": "20*"}) == [mine]
    assert found(ec2, **{"availability-zone-id": "use1-az1"}) == [mine]
    assert found(ec2, encrypted="true") == []
    assert [one["VolumeId"] for one in ec2.describe_volumes(VolumeIds=[mine])["Volumes"]] == [mine]


def test_a_volume_that_is_not_there_is_refused(cloud: Any, ec2: Any) -> None:
    absent = "vol-0123456789abcdef0"
    assert code(ec2.describe_volumes, VolumeIds=[absent]) == "InvalidVolume.NotFound"
    assert code(ec2.describe_volumes, VolumeIds=["foo"]) == "InvalidParameterValue"
    assert code(ec2.delete_volume, VolumeId=absent) == "InvalidVolume.NotFound"


def test_another_accounts_volumes_are_not_there(cloud: Any, ec2: Any) -> None:
    mine = volume_of(ec2, launched(cloud, ec2))["VolumeId"]
    other = cloud.account("other").client()
    assert other.describe_volumes()["Volumes"] == []
    assert code(other.describe_volumes, VolumeIds=[mine]) == "InvalidVolume.NotFound"
    assert code(other.delete_volume, VolumeId=mine) == "InvalidVolume.NotFound"


def test_a_volume_is_created_with_what_was_asked_for(cloud: Any, ec2: Any) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    made = ec2.create_volume(AvailabilityZone=ZONE, Size=10, VolumeType="io1", Iops=200, TagSpecifications=tags)
    assert (made["State"], made["Size"], made["VolumeType"], made["Iops"]) == ("creating", 10, "io1", 200)
    assert (made["AvailabilityZone"], made["Tags"]) == (ZONE, [{"Key": "Name", "Value": "data"}])
    cloud.settle()
    (volume,) = ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"]
    assert (volume["State"], volume["Attachments"], volume["CreateTime"]) == ("available", [], made["CreateTime"])
    assert found(ec2, **{"tag:Name": "data", "status": "available"}) == [made["VolumeId"]]
    ec2.delete_volume(VolumeId=made["VolumeId"])
    assert ec2.describe_volumes()["Volumes"][0]["State"] == "deleting"
    cloud.settle()
    assert ec2.describe_volumes()["Volumes"] == []


def test_the_same_token_gives_the_same_volume(cloud: Any, ec2: Any) -> None:
    asked = {"AvailabilityZone": ZONE, "Size": 1, "ClientToken": "once"}
    first = ec2.create_volume(**asked)["VolumeId"]
    assert ec2.create_volume(**asked)["VolumeId"] == first
    assert code(ec2.create_volume, **{**asked, "Size": 2}) == "IdempotentParameterMismatch"
    assert len(ec2.describe_volumes()["Volumes"]) == 1


def test_a_gp3_volume_has_500_iops_a_gib_and_2000_mib_a_second(cloud: Any, ec2: Any) -> None:
    made = ec2.create_volume(AvailabilityZone=ZONE, Size=40, VolumeType="gp3", Iops=20000, Throughput=2000)
    assert (made["Iops"], made["Throughput"]) == (20000, 2000)


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"Size": 0}, "InvalidParameterValue"),
        ({"Size": 65537}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "Size": 16385}, "InvalidParameterValue"),
        ({"Size": 200, "Iops": 80001}, "InvalidParameterValue"),
        ({"Size": 16, "Iops": 8000, "Throughput": 2001}, "InvalidParameterValue"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
        ({"VolumeType": "floppy"}, "UnknownVolumeType"),
        ({"VolumeType": "st1"}, "InvalidParameterValue"),
        ({"VolumeType": "io1", "Size": 10}, "MissingParameter"),
        ({"VolumeType": "io1", "Size": 10, "Iops": 501}, "InvalidParameterValue"),
        ({"VolumeType": "gp3", "Iops": 2999}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination"),
        ({"VolumeType": "gp2", "Throughput": 125}, "InvalidParameterCombination"),
        ({"VolumeType": "gp3", "Throughput": 1000}, "InvalidParameterValue"),
        ({"AvailabilityZone": "us-east-1z"}, "InvalidZone.NotFound"),
        ({"AvailabilityZoneId": "use1-az1"}, "InvalidParameterCombination"),
        ({"MultiAttachEnabled": True}, "UnsupportedOperation"),
        ({"OutpostArn": "arn:aws:outposts:x"}, "UnsupportedOperation"),
    ],
)
def test_what_cannot_be_is_refused(cloud: Any, ec2: Any, asked: dict[str, Any], refused: str) -> None:
    assert code(ec2.create_volume, **{"AvailabilityZone": ZONE, "Size": 1, **asked}) == refused
    assert ec2.describe_volumes()["Volumes"] == []


def test_a_size_or_a_zone_must_be_given(cloud: Any, ec2: Any) -> None:
    assert code(ec2.create_volume, AvailabilityZone=ZONE) == "MissingParameter"
    assert code(ec2.create_volume, Size=1) == "MissingParameter"
    made = ec2.create_volume(AvailabilityZoneId="use1-az2", Size=1)
    assert made["AvailabilityZone"] == "us-east-1b"


@pytest.mark.parametrize("cloud", [{"disk_overcommit": 0.000001, "quota_volume_gib": 100000}], indirect=True)
def test_a_full_pool_is_refused_at_creation(cloud: Any, ec2: Any) -> None:
    assert code(ec2.create_volume, AvailabilityZone=ZONE, Size=1) == "InsufficientVolumeCapacity"
    assert ec2.describe_volumes()["Volumes"] == []


@pytest.mark.parametrize("cloud", [{"quota_volumes": 2, "quota_volume_gib": 10}], indirect=True)
def test_an_account_has_so_many_volumes_and_so_many_gib(cloud: Any, ec2: Any) -> None:
    assert code(ec2.create_volume, AvailabilityZone=ZONE, Size=11) == "VolumeLimitExceeded"
    ec2.create_volume(AvailabilityZone=ZONE, Size=1)
    disks = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    assert code(ec2.run_instances, **one_of(cloud, BlockDeviceMappings=disks)) == "VolumeLimitExceeded"
    ec2.create_volume(AvailabilityZone=ZONE, Size=1)
    assert code(ec2.create_volume, AvailabilityZone=ZONE, Size=1) == "VolumeLimitExceeded"
    assert cloud.account("other").client().create_volume(AvailabilityZone=ZONE, Size=1)["State"] == "creating"


def test_a_volume_that_is_deleted_gives_its_room_back(cloud: Any, ec2: Any) -> None:
    def promised() -> float:
        with cloud.database.read() as tx:
            return capacity.counted(tx)["h1"].disk_gib

    id = ec2.create_volume(AvailabilityZone=ZONE, Size=7)["VolumeId"]
    assert promised() == 7
    cloud.settle()
    ec2.delete_volume(VolumeId=id)
    cloud.settle()
    assert promised() == 0


def test_an_instance_is_launched_with_several_disks(cloud: Any, ec2: Any) -> None:
    disks = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250}},
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 3}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 4, "DeleteOnTermination": True}},
        {"DeviceName": "/dev/sdh", "NoDevice": ""},
    ]
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]
    guest = launched(cloud, ec2, BlockDeviceMappings=disks, TagSpecifications=tags)
    wanted = [{"Name": "attachment.instance-id", "Values": [guest]}]
    made = {one["Attachments"][0]["Device"]: one for one in ec2.describe_volumes(Filters=wanted)["Volumes"]}
    assert {device: one["Size"] for device, one in made.items()} == {"/dev/sda1": 3, "/dev/sdf": 20, "/dev/sdg": 4}
    assert (made["/dev/sdf"]["Iops"], made["/dev/sdf"]["Throughput"]) == (4000, 250)
    assert all(one["Tags"] == [{"Key": "a", "Value": "b"}] and one["State"] == "in-use" for one in made.values())
    goes = {device: one["Attachments"][0]["DeleteOnTermination"] for device, one in made.items()}
    assert goes == {"/dev/sda1": True, "/dev/sdf": False, "/dev/sdg": True}
    ec2.terminate_instances(InstanceIds=[guest])
    cloud.settle()
    assert [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]] == [made["/dev/sdf"]["VolumeId"]]


@pytest.mark.parametrize(
    ("disks", "refused"),
    [
        ([{"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}], "UnsupportedOperation"),
        ([{"DeviceName": "/dev/sda1", "NoDevice": ""}], "InvalidBlockDeviceMapping"),
        ([{"DeviceName": "/dev/sdf", "Ebs": {}}], "InvalidBlockDeviceMapping"),
        ([{"DeviceName": "/dev/hdf", "Ebs": {"VolumeSize": 1}}], "InvalidBlockDeviceMapping"),
        (
            [{"DeviceName": f"/dev/{name}", "Ebs": {"VolumeSize": 1}} for name in ("sdf", "vdf")],
            "InvalidBlockDeviceMapping",
        ),
        ([{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}] * 2, "InvalidBlockDeviceMapping"),
        ([{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "VolumeType": "io1"}}], "InvalidBlockDeviceMapping"),
    ],
)
def test_disks_that_cannot_be_are_not_launched(cloud: Any, ec2: Any, disks: list[Any], refused: str) -> None:
    assert code(ec2.run_instances, **one_of(cloud, BlockDeviceMappings=disks)) == refused
    assert ec2.describe_volumes()["Volumes"] == []
