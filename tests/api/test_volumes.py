"""Volumes: the root disks of instances, as clients look them up."""

from __future__ import annotations

from typing import Any

from support.launching import launched, one_of, volume_of
from support.refusals import code


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
