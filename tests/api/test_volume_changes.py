"""Volumes that grow and change their kind, used or not; what else clients ask of volumes; and the operator's list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.launching import launched
from support.operating import invoked
from support.refusals import code

from cumulet.model import capacity

ZONE = "us-east-1a"


def created(cloud: Any, ec2: Any, **more: Any) -> str:
    id = str(ec2.create_volume(**{"AvailabilityZone": ZONE, "Size": 10, **more})["VolumeId"])
    cloud.settle()
    return id


def modification(ec2: Any, id: str) -> dict[str, Any]:
    (found,) = ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    return dict(found)


def size_on_host(cloud: Any, id: str) -> int:
    return int(cloud.cloud.parts["volume"].driver._world.get("volume", id)["size_gib"])


@pytest.mark.parametrize("where", ["free", "running", "stopped"])
def test_a_volume_grows_wherever_it_is(cloud: Any, ec2: Any, where: str) -> None:
    id = created(cloud, ec2)
    if where != "free":
        guest = launched(cloud, ec2)
        ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
        cloud.settle()
    if where == "stopped":
        ec2.stop_instances(InstanceIds=[guest], Force=True)
        cloud.settle()
    answer = ec2.modify_volume(VolumeId=id, Size=20)["VolumeModification"]
    assert (answer["ModificationState"], answer["OriginalSize"], answer["TargetSize"]) == ("modifying", 10, 20)
    assert code(ec2.modify_volume, VolumeId=id, Size=30) == "IncorrectModificationState"
    cloud.settle()
    cloud.pass_time(3)
    found = modification(ec2, id)
    assert (found["ModificationState"], found["Progress"], found["StartTime"]) == (
        "completed",
        100,
        answer["StartTime"],
    )
    assert (ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["Size"], size_on_host(cloud, id)) == (20, 20)
    with cloud.database.read() as tx:
        assert capacity.counted(tx)["h1"].disk_gib == (20 if where == "free" else 21)


def test_a_volume_changes_its_kind_and_speed(cloud: Any, ec2: Any) -> None:
    id = created(cloud, ec2)
    ec2.modify_volume(VolumeId=id, VolumeType="io1", Iops=300)
    found = modification(ec2, id)
    assert (found["OriginalVolumeType"], found["OriginalIops"]) == ("gp3", 3000)
    assert (found["TargetVolumeType"], found["TargetIops"], found["ModificationState"]) == ("io1", 300, "completed")
    ec2.modify_volume(VolumeId=id, Size=11)
    (volume,) = ec2.describe_volumes()["Volumes"]
    assert (volume["VolumeType"], volume["Iops"], volume["Size"]) == ("io1", 300, 11)


def test_what_cannot_be_modified_is_refused(cloud: Any, ec2: Any) -> None:
    id = created(cloud, ec2)
    assert code(ec2.modify_volume, VolumeId=id, Size=9) == "InvalidParameterValue"
    assert code(ec2.modify_volume, VolumeId=id) == "InvalidParameterValue"
    assert code(ec2.modify_volume, VolumeId=id, VolumeType="io1") == "MissingParameter"
    assert code(ec2.modify_volume, VolumeId=id, Size=16384) == "InsufficientVolumeCapacity"
    assert code(ec2.modify_volume, VolumeId=id, MultiAttachEnabled=True) == "UnsupportedOperation"
    assert code(ec2.modify_volume, VolumeId="vol-0123456789abcdef0", Size=1) == "InvalidVolume.NotFound"
    assert ec2.describe_volumes_modifications()["VolumesModifications"] == []
    assert code(ec2.describe_volumes_modifications, VolumeIds=[id]) == "InvalidVolumeModification.NotFound"
    assert code(ec2.describe_volumes_modifications, VolumeIds=["vol-x"]) == "InvalidParameterValue"


def test_a_volume_is_healthy_once_it_has_been_made(cloud: Any, ec2: Any) -> None:
    id = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    (status,) = ec2.describe_volume_status()["VolumeStatuses"]
    assert status["VolumeStatus"]["Status"] == "insufficient-data"
    cloud.settle()
    (status,) = ec2.describe_volume_status(VolumeIds=[id])["VolumeStatuses"]
    assert (status["VolumeId"], status["VolumeStatus"]["Status"], status["AvailabilityZone"]) == (id, "ok", ZONE)
    assert ec2.describe_volume_attribute(VolumeId=id, Attribute="autoEnableIO")["AutoEnableIO"] == {"Value": False}
    assert code(ec2.describe_volume_attribute, VolumeId=id, Attribute="colour") == "InvalidParameterValue"


def test_there_is_no_key_of_a_kms_by_default(ec2: Any) -> None:
    assert code(ec2.get_ebs_default_kms_key_id) == "UnsupportedOperation"


def test_a_snapshot_is_shared_with_nobody(cloud: Any, ec2: Any) -> None:
    taken = ec2.create_snapshot(VolumeId=created(cloud, ec2))["SnapshotId"]
    shown = ec2.describe_snapshot_attribute(SnapshotId=taken, Attribute="createVolumePermission")
    assert shown["CreateVolumePermissions"] == []
    assert code(ec2.describe_snapshot_attribute, SnapshotId=taken, Attribute="colour") == "InvalidParameterValue"


def test_the_operator_lists_all_volumes(cloud: Any, ec2: Any) -> None:
    id, guest = created(cloud, ec2), launched(cloud, ec2)
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    said = invoked(cloud, "volume", "list", "--json")
    found = {one["id"]: one for one in json.loads(said.output)}
    assert (found[id]["account"], found[id]["size_gib"], found[id]["host"]) == ("admin", 10, "h1")
    assert (found[id]["instance"], found[id]["device"], found[id]["attachment"]) == (guest, "/dev/sdf", "attached")
    assert len(found) == 2
    assert f"{guest} /dev/sdf (attached)" in invoked(cloud, "volume", "list").output
