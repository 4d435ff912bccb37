"""Attaching and detaching: what is answered, what it becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import described, launched, shown
from support.refusals import code, message

ZONE = "us-east-1a"


def created(cloud: Any, ec2: Any, **more: Any) -> str:
    """The id of a volume that is available."""
    made = ec2.create_volume(**{"AvailabilityZone": ZONE, "Size": 1, **more})
    cloud.settle()
    return str(made["VolumeId"])


def volume(ec2: Any, id: str) -> dict[str, Any]:
    (found,) = ec2.describe_volumes(VolumeIds=[id])["Volumes"]
    return dict(found)


def devices(ec2: Any, id: str) -> list[str]:
    return [one["DeviceName"] for one in shown(ec2, id)["BlockDeviceMappings"]]


@pytest.mark.parametrize("device", ["/dev/vdb", "/dev/sdf", "/dev/xvdf", "xvdf", "/dev/xvdba"])
def test_a_volume_is_attached_as_the_device_asked_for(cloud: Any, ec2: Any, device: str) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    answer = ec2.attach_volume(VolumeId=id, InstanceId=guest, Device=device)
    assert (answer["VolumeId"], answer["InstanceId"], answer["Device"]) == (id, guest, device)
    assert (answer["State"], answer["DeleteOnTermination"]) == ("attaching", False)
    assert volume(ec2, id)["State"] == "in-use"
    cloud.settle()
    (attachment,) = volume(ec2, id)["Attachments"]
    assert (attachment["State"], attachment["AttachTime"]) == ("attached", answer["AttachTime"])
    assert devices(ec2, guest) == ["/dev/sda1", device]


def test_a_volume_is_detached_and_attached_to_another_instance(cloud: Any, ec2: Any) -> None:
    first, second, id = launched(cloud, ec2), launched(cloud, ec2), created(cloud, ec2)
    ec2.attach_volume(VolumeId=id, InstanceId=first, Device="/dev/sdf")
    cloud.settle()
    assert ec2.detach_volume(VolumeId=id)["State"] == "detaching"
    assert volume(ec2, id)["Attachments"][0]["State"] == "detaching"
    cloud.settle()
    assert (volume(ec2, id)["State"], volume(ec2, id)["Attachments"]) == ("available", [])
    ec2.attach_volume(VolumeId=id, InstanceId=second, Device="/dev/sdg")
    cloud.settle()
    assert (devices(ec2, first), devices(ec2, second)) == (["/dev/sda1"], ["/dev/sda1", "/dev/sdg"])


def test_a_stopped_instance_has_its_new_volume_when_it_starts(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert volume(ec2, id)["Attachments"][0]["State"] == "attached"
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert shown(ec2, guest)["State"]["Name"] == "running"
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    ec2.detach_volume(VolumeId=id)
    cloud.settle()
    assert volume(ec2, id)["State"] == "available"


def test_a_volume_outlives_its_instance_unless_it_should_go_with_it(cloud: Any, ec2: Any) -> None:
    guest, stays, goes = launched(cloud, ec2), created(cloud, ec2), created(cloud, ec2)
    ec2.attach_volume(VolumeId=stays, InstanceId=guest, Device="/dev/sdf")
    ec2.attach_volume(VolumeId=goes, InstanceId=guest, Device="/dev/sdg")
    change = {"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": True}}
    ec2.modify_instance_attribute(InstanceId=guest, BlockDeviceMappings=[change])
    cloud.settle()
    assert volume(ec2, goes)["Attachments"][0]["DeleteOnTermination"] is True
    ec2.terminate_instances(InstanceIds=[guest])
    cloud.settle()
    assert [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]] == [stays]
    assert volume(ec2, stays)["State"] == "available"


def test_a_volume_in_use_is_not_attached_again_and_not_deleted(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    for _ in range(2):
        assert code(ec2.attach_volume, VolumeId=id, InstanceId=guest, Device="/dev/sdg") == "VolumeInUse"
        assert code(ec2.delete_volume, VolumeId=id) == "VolumeInUse"
        cloud.settle()


def test_a_volume_of_another_zone_or_one_that_is_not_made_yet_is_refused(cloud: Any, ec2: Any) -> None:
    guest, elsewhere = launched(cloud, ec2), created(cloud, ec2, AvailabilityZone="us-east-1b")
    asked = {"InstanceId": guest, "Device": "/dev/sdf"}
    assert code(ec2.attach_volume, VolumeId=elsewhere, **asked) == "InvalidVolume.ZoneMismatch"
    unmade = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert code(ec2.attach_volume, VolumeId=unmade, **asked) == "IncorrectState"
    absent = "vol-0123456789abcdef0"
    assert code(ec2.attach_volume, VolumeId=absent, **asked) == "InvalidVolume.NotFound"
    assert code(ec2.attach_volume, VolumeId="foo", **asked) == "InvalidParameterValue"


def test_a_terminated_instance_gets_no_volume(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    absent = "i-0123456789abcdef0"
    assert code(ec2.attach_volume, VolumeId=id, InstanceId=absent, Device="/dev/sdf") == "InvalidInstanceID.NotFound"
    ec2.terminate_instances(InstanceIds=[guest])
    for _ in range(2):
        assert code(ec2.attach_volume, VolumeId=id, InstanceId=guest, Device="/dev/sdf") == "IncorrectState"
        cloud.settle()


@pytest.mark.parametrize("device", ["/dev/sda", "/dev/hdb", "sdf", "/dev/sdf1", "/dev/sdab", "/dev/xvdda", "/dev/sdF"])
def test_a_device_name_that_cannot_be_is_refused(cloud: Any, ec2: Any, device: str) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    assert code(ec2.attach_volume, VolumeId=id, InstanceId=guest, Device=device) == "InvalidParameterValue"


def test_the_same_place_is_not_taken_twice_under_another_name(cloud: Any, ec2: Any) -> None:
    guest, one, two = launched(cloud, ec2), created(cloud, ec2), created(cloud, ec2)
    ec2.attach_volume(VolumeId=one, InstanceId=guest, Device="/dev/sdf")
    said = message(ec2.attach_volume, VolumeId=two, InstanceId=guest, Device="/dev/xvdf")
    assert "Attachment point /dev/xvdf is already in use" in said


def test_26_volumes_are_in_one_instance(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    slots = [*"bcdefghijklmnopqrstuvwxyz", "ba"]
    for slot in slots:
        ec2.attach_volume(VolumeId=created(cloud, ec2), InstanceId=guest, Device=f"/dev/xvd{slot}")
    cloud.settle()
    states = {one["Ebs"]["Status"] for one in shown(ec2, guest)["BlockDeviceMappings"]}
    assert (len(devices(ec2, guest)), states) == (27, {"attached"})


def test_a_root_disk_is_detached_from_a_stopped_instance_and_comes_back(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    root = shown(ec2, guest)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert code(ec2.detach_volume, VolumeId=root) == "OperationNotPermitted"
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    ec2.detach_volume(VolumeId=root)
    cloud.settle()
    assert "does not have a volume attached at root" in message(ec2.start_instances, InstanceIds=[guest])
    ec2.attach_volume(VolumeId=root, InstanceId=guest, Device="/dev/sda1")
    cloud.settle()
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert shown(ec2, guest)["State"]["Name"] == "running"


def test_what_is_not_attached_there_is_not_detached(cloud: Any, ec2: Any) -> None:
    guest, other, id = launched(cloud, ec2), launched(cloud, ec2), created(cloud, ec2)
    assert code(ec2.detach_volume, VolumeId=id) == "IncorrectState"
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    assert code(ec2.detach_volume, VolumeId=id, InstanceId=other) == "InvalidAttachment.NotFound"
    assert code(ec2.detach_volume, VolumeId=id, Device="/dev/sdg") == "InvalidAttachment.NotFound"
    ec2.detach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert volume(ec2, id)["State"] == "available"


def test_a_guest_that_does_not_let_go_is_busy_and_free_once_it_is_off(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    cloud.cloud.parts["compute"].driver.lets_go = False
    ec2.detach_volume(VolumeId=id)
    cloud.settle()
    assert volume(ec2, id)["Attachments"][0]["State"] == "detaching"
    cloud.pass_time(11)
    assert (volume(ec2, id)["State"], volume(ec2, id)["Attachments"][0]["State"]) == ("in-use", "busy")
    assert described(ec2, guest)[0]["State"]["Name"] == "running"
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    assert volume(ec2, id)["State"] == "available"


def test_force_takes_a_volume_from_a_guest_that_does_not_let_go(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    cloud.cloud.parts["compute"].driver.lets_go = False
    ec2.detach_volume(VolumeId=id)
    cloud.settle()
    ec2.detach_volume(VolumeId=id, Force=True)
    cloud.settle()
    assert volume(ec2, id)["State"] == "available"
    assert shown(ec2, guest)["State"]["Name"] == "running"


def test_dry_runs_change_nothing(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    asked = {"VolumeId": id, "InstanceId": guest, "DryRun": True}
    assert code(ec2.attach_volume, **asked, Device="/dev/sdf") == "DryRunOperation"
    assert code(ec2.delete_volume, VolumeId=id, DryRun=True) == "DryRunOperation"
    assert code(ec2.create_volume, AvailabilityZone=ZONE, Size=1, DryRun=True) == "DryRunOperation"
    cloud.settle()
    assert volume(ec2, id)["State"] == "available"
    assert len(ec2.describe_volumes()["Volumes"]) == 2


def test_another_accounts_volume_or_instance_is_not_there(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), created(cloud, ec2)
    other = cloud.account("other").client()
    mine = created(cloud, other)
    assert code(other.attach_volume, VolumeId=id, InstanceId=guest, Device="/dev/sdf") == "InvalidInstanceID.NotFound"
    assert code(ec2.attach_volume, VolumeId=mine, InstanceId=guest, Device="/dev/sdf") == "InvalidVolume.NotFound"
    assert code(other.detach_volume, VolumeId=id) == "InvalidVolume.NotFound"
