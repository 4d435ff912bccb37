"""Snapshots that are copied, shared with other accounts, and made into disks of new instances."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, one_of, shown
from support.more_hosts import add_host
from support.refusals import code

ZONE = "us-east-1a"


def taken(cloud: Any, ec2: Any, size: int = 2) -> str:
    """The id of a completed snapshot of a new volume."""
    volume = ec2.create_volume(AvailabilityZone=ZONE, Size=size)["VolumeId"]
    cloud.settle()
    id = str(ec2.create_snapshot(VolumeId=volume, Description="first")["SnapshotId"])
    cloud.settle()
    return id


def ids(ec2: Any, **parameters: Any) -> list[str]:
    return [one["SnapshotId"] for one in ec2.describe_snapshots(**parameters)["Snapshots"]]


def permissions(ec2: Any, id: str) -> Any:
    answer = ec2.describe_snapshot_attribute(SnapshotId=id, Attribute="createVolumePermission")
    return answer["CreateVolumePermissions"]


def open_to(ec2: Any, id: str, **permission: str) -> None:
    ec2.modify_snapshot_attribute(
        SnapshotId=id, Attribute="createVolumePermission", CreateVolumePermission={"Add": [permission]}
    )


def copied(ec2: Any, id: str, **more: Any) -> str:
    return str(ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=id, **more)["SnapshotId"])


def test_a_copy_outlives_what_it_was_copied_from(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "copy"}]}]
    copy = copied(ec2, id, Description="second", TagSpecifications=tags)
    ec2.delete_snapshot(SnapshotId=id)  # while the copy is still to be made
    cloud.settle()
    (found,) = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert (found["SnapshotId"], found["State"], found["VolumeSize"]) == (copy, "completed", 2)
    assert (found["Description"], found["VolumeId"], found["Tags"]) == ("second", "vol-ffffffff", tags[0]["Tags"])
    ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=copy)
    cloud.settle()
    assert [one["State"] for one in ec2.describe_volumes()["Volumes"]] == ["available"] * 2


def test_a_copy_that_cannot_be_is_refused(cloud: Any, ec2: Any) -> None:
    id, absent = taken(cloud, ec2), "snap-0123456789abcdef0"
    assert code(ec2.copy_snapshot, SourceRegion="eu-west-1", SourceSnapshotId=id) == "InvalidParameterValue"
    assert code(ec2.copy_snapshot, SourceRegion="us-east-1", SourceSnapshotId=absent) == "InvalidSnapshot.NotFound"
    wanted = {"SourceRegion": "us-east-1", "SourceSnapshotId": id, "Encrypted": True}
    assert code(ec2.copy_snapshot, **wanted, KmsKeyId="alias/mine") == "InvalidParameterValue"
    unmade = copied(ec2, id)
    assert code(ec2.copy_snapshot, SourceRegion="us-east-1", SourceSnapshotId=unmade) == "IncorrectState"


def test_a_copy_of_what_is_lost_is_in_error(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    cloud.cloud.parts["volume"].driver.remove(id)
    copy = copied(ec2, id)
    cloud.settle()
    (found,) = ec2.describe_snapshots(SnapshotIds=[copy])["Snapshots"]
    assert (found["State"], id in found["StateMessage"]) == ("error", True)


def test_a_snapshot_waits_for_the_volumes_that_are_being_made_from_it(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    made = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=id)["VolumeId"]
    ec2.delete_snapshot(SnapshotId=id)
    assert ids(ec2) == []
    cloud.settle()
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"
    assert cloud.cloud.parts["volume"].driver.look(id) is None


def test_a_snapshot_is_opened_to_one_account_for_making_volumes_and_nothing_else(cloud: Any, ec2: Any) -> None:
    id, friend, stranger = taken(cloud, ec2), cloud.account("friend"), cloud.account("stranger")
    ec2.create_tags(Resources=[id], Tags=[{"Key": "secret", "Value": "of mine"}])
    open_to(ec2, id, UserId=friend.id)
    theirs = friend.client()
    (found,) = theirs.describe_snapshots()["Snapshots"]
    assert (found["SnapshotId"], found["OwnerId"], found["Tags"]) == (id, cloud.admin.id, [])
    assert ids(theirs, RestorableByUserIds=["self"]) == ids(theirs, OwnerIds=[cloud.admin.id]) == [id]
    assert ids(theirs, OwnerIds=["self"]) == ids(theirs, RestorableByUserIds=["all"]) == []
    assert ids(ec2, RestorableByUserIds=[friend.id]) == ids(ec2, RestorableByUserIds=["self"]) == [id]
    assert ids(ec2, RestorableByUserIds=[stranger.id]) == ids(stranger.client()) == []
    theirs.create_volume(AvailabilityZone=ZONE, SnapshotId=id)
    copy = copied(theirs, id)
    cloud.settle()
    assert [one["State"] for one in theirs.describe_volumes()["Volumes"]] == ["available"]
    assert ids(theirs, OwnerIds=["self"]) == [copy]
    assert code(theirs.delete_snapshot, SnapshotId=id) == "AuthFailure"
    assert code(theirs.describe_snapshot_attribute, SnapshotId=id, Attribute="productCodes") == "AuthFailure"
    reset = {"SnapshotId": id, "Attribute": "createVolumePermission"}
    assert code(theirs.reset_snapshot_attribute, **reset) == "AuthFailure"
    ec2.modify_snapshot_attribute(**reset, OperationType="remove", UserIds=[friend.id])
    assert code(theirs.create_volume, AvailabilityZone=ZONE, SnapshotId=id) == "InvalidSnapshot.NotFound"


def test_a_snapshot_is_opened_to_all_and_closed_again(cloud: Any, ec2: Any) -> None:
    id, friend = taken(cloud, ec2), cloud.account("friend")
    theirs = friend.client()
    open_to(ec2, id, UserId=friend.id)
    ec2.modify_snapshot_attribute(SnapshotId=id, OperationType="add", GroupNames=["all"])
    assert permissions(ec2, id) == [{"Group": "all"}, {"UserId": friend.id}]
    assert ids(theirs, RestorableByUserIds=["all"]) == ids(cloud.account("other").client()) == [id]
    ec2.reset_snapshot_attribute(SnapshotId=id, Attribute="createVolumePermission")
    assert permissions(ec2, id) == ids(theirs) == []


def test_permissions_that_cannot_be_are_refused(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    for permission in ({"Group": "some"}, {"UserId": "123456789012"}, {}):
        wanted = {"Add": [permission]}
        assert code(ec2.modify_snapshot_attribute, SnapshotId=id, CreateVolumePermission=wanted) in (
            "InvalidParameterValue",
            "InvalidParameterCombination",
        )
    assert code(ec2.modify_snapshot_attribute, SnapshotId=id) == "InvalidParameterCombination"
    assert code(ec2.modify_snapshot_attribute, SnapshotId=id, UserIds=["x"]) == "InvalidParameterValue"
    wrong = {"SnapshotId": id, "Attribute": "productCodes"}
    assert code(ec2.modify_snapshot_attribute, **wrong, UserIds=["x"]) == "InvalidParameterValue"
    assert code(ec2.reset_snapshot_attribute, **wrong) == "InvalidParameterValue"
    assert permissions(ec2, id) == []


def mapping(id: str, **ebs: Any) -> list[dict[str, Any]]:
    return [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": id, **ebs}}]


def test_an_instance_is_launched_with_a_disk_from_a_snapshot(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    made = ec2.run_instances(**one_of(cloud, BlockDeviceMappings=mapping(id, DeleteOnTermination=True)))
    ec2.delete_snapshot(SnapshotId=id)
    cloud.settle()
    guest = shown(ec2, made["Instances"][0]["InstanceId"])
    assert guest["State"]["Name"] == "running"
    (disk,) = [one["Ebs"] for one in guest["BlockDeviceMappings"] if one["DeviceName"] == "/dev/sdf"]
    (volume,) = ec2.describe_volumes(VolumeIds=[disk["VolumeId"]])["Volumes"]
    assert (volume["SnapshotId"], volume["Size"], volume["State"]) == (id, 2, "in-use")
    assert disk["DeleteOnTermination"] is True


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "ID"}}], "InvalidBlockDeviceMapping"),
        ([{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "ID", "VolumeSize": 1}}], "InvalidBlockDeviceMapping"),
        ([{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}], "InvalidSnapshot.NotFound"),
    ],
)
def test_a_disk_from_a_snapshot_that_cannot_be_is_refused(cloud: Any, ec2: Any, wrong: Any, expected: str) -> None:
    wrong[0]["Ebs"]["SnapshotId"] = wrong[0]["Ebs"]["SnapshotId"].replace("ID", taken(cloud, ec2))
    assert code(ec2.run_instances, **one_of(cloud, BlockDeviceMappings=wrong)) == expected


@pytest.mark.parametrize("cloud", [{"zones": ["us-east-1b", "us-east-1a"]}], indirect=True)
def test_a_host_that_others_do_not_reach_keeps_what_is_made_of_its_snapshots(cloud: Any, ec2: Any) -> None:
    with cloud.database.write() as tx:
        tx.connection.exec_driver_sql("UPDATE host SET zones = '[\"us-east-1a\"]'")
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    cloud.settle()
    refused = code(ec2.create_volume, AvailabilityZone="us-east-1b", SnapshotId=id)
    assert refused == "InsufficientVolumeCapacity"
    add_host(cloud, "h2", zones=["us-east-1b"])
    disk = {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": id}}]}
    there = shown(ec2, launched(cloud, ec2, **disk, Placement={"AvailabilityZone": "us-east-1b"}))
    assert there["State"]["Name"] == "terminated"
    assert "1 without a snapshot of its disks, whose host has no tunnel_address" in there["StateReason"]["Message"]
    here = launched(cloud, ec2, **disk, Placement={"AvailabilityZone": "us-east-1a"})
    assert shown(ec2, here)["State"]["Name"] == "running"


def test_the_word_on_io_is_kept(cloud: Any, ec2: Any) -> None:
    taken(cloud, ec2)
    (volume,) = ec2.describe_volumes()["Volumes"]
    id = {"VolumeId": volume["VolumeId"]}
    assert ec2.describe_volume_attribute(**id, Attribute="autoEnableIO")["AutoEnableIO"]["Value"] is False
    ec2.modify_volume_attribute(**id, AutoEnableIO={"Value": True})
    assert ec2.describe_volume_attribute(**id, Attribute="autoEnableIO")["AutoEnableIO"]["Value"] is True
    assert code(ec2.modify_volume_attribute, **id) == "MissingParameter"
    assert code(ec2.get_ebs_default_kms_key_id) == "UnsupportedOperation"
