"""Images of instances, of snapshots and of other images, and instances that are launched from them."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, one_of, shown
from support.refusals import code

ZONE = "us-east-1a"
DATA = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}]


def made(ec2: Any, instance: str, name: str = "mine", **more: Any) -> str:
    return str(ec2.create_image(InstanceId=instance, Name=name, **more)["ImageId"])


def look(ec2: Any, id: str) -> dict[str, Any]:
    return dict(ec2.describe_images(ImageIds=[id])["Images"][0])


def disks(ec2: Any, id: str) -> dict[str, dict[str, Any]]:
    """What the image has, by device."""
    return {one["DeviceName"]: one["Ebs"] for one in look(ec2, id)["BlockDeviceMappings"]}


def snapshots(ec2: Any) -> dict[str, str]:
    """Id to state, of the account's own."""
    return {one["SnapshotId"]: one["State"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}


def taken(cloud: Any, ec2: Any, size: int = 3) -> str:
    """The id of a completed snapshot of a new volume."""
    volume = ec2.create_volume(AvailabilityZone=ZONE, Size=size)["VolumeId"]
    cloud.settle()
    id = str(ec2.create_snapshot(VolumeId=volume)["SnapshotId"])
    cloud.settle()
    return id


@pytest.mark.parametrize("no_reboot", [False, True])
def test_an_image_of_an_instance_has_snapshots_of_its_volumes(cloud: Any, ec2: Any, no_reboot: bool) -> None:
    guest = launched(cloud, ec2, BlockDeviceMappings=DATA)
    tags = [{"ResourceType": kind, "Tags": [{"Key": "k", "Value": kind}]} for kind in ("image", "snapshot")]
    id = made(ec2, guest, NoReboot=no_reboot, Description="of one", TagSpecifications=tags)
    found = look(ec2, id)
    assert (found["State"], found["SourceInstanceId"], found["RootDeviceName"]) == ("pending", guest, "/dev/sda1")
    assert (found["Tags"], found["Description"]) == ([{"Key": "k", "Value": "image"}], "of one")
    assert (found["ImageLocation"], found["OwnerId"]) == (f"{cloud.admin.id}/mine", cloud.admin.id)
    assert code(ec2.run_instances, **one_of(cloud, ImageId=id)) == "InvalidAMIID.Unavailable"
    assert shown(ec2, guest)["State"]["Name"] == "running"
    cloud.pass_time(61)
    cloud.pass_time(3)
    assert look(ec2, id)["State"] == "available"
    assert shown(ec2, guest)["State"]["Name"] == "running"
    with cloud.database.read() as tx:
        starts = tx.connection.exec_driver_sql("SELECT generation FROM instance").scalar()
    assert starts == (1 if no_reboot else 2)
    root, data = disks(ec2, id)["/dev/sda1"], disks(ec2, id)["/dev/sdf"]
    assert (root["VolumeSize"], root["DeleteOnTermination"]) == (1, True)
    assert (data["VolumeSize"], data["DeleteOnTermination"]) == (2, False)
    assert snapshots(ec2) == {root["SnapshotId"]: "completed", data["SnapshotId"]: "completed"}
    (kept,) = ec2.describe_snapshots(SnapshotIds=[root["SnapshotId"]])["Snapshots"]
    assert (kept["Description"], kept["Tags"]) == (
        f"Created by CreateImage({guest}) for {id}",
        [{"Key": "k", "Value": "snapshot"}],
    )


def image_of(cloud: Any, ec2: Any, **more: Any) -> str:
    """The id of an available image of a new instance with two volumes."""
    id = made(ec2, launched(cloud, ec2, BlockDeviceMappings=DATA), NoReboot=True, **more)
    cloud.settle()
    assert look(ec2, id)["State"] == "available"
    return id


def volumes_of(ec2: Any, instance: str) -> dict[str, tuple[str, int, str]]:
    """By device: the snapshot, the size and the type."""
    wanted = [{"Name": "attachment.instance-id", "Values": [instance]}]
    return {
        one["Attachments"][0]["Device"]: (one["SnapshotId"], one["Size"], one["VolumeType"])
        for one in ec2.describe_volumes(Filters=wanted)["Volumes"]
    }


def test_an_instance_of_such_an_image_has_its_disks(cloud: Any, ec2: Any) -> None:
    id = image_of(cloud, ec2)
    kept = {device: ebs["SnapshotId"] for device, ebs in disks(ec2, id).items()}
    guest = launched(cloud, ec2, ImageId=id)
    assert shown(ec2, guest)["State"]["Name"] == "running"
    assert shown(ec2, guest)["ImageId"] == id
    assert volumes_of(ec2, guest) == {
        "/dev/sda1": (kept["/dev/sda1"], 1, "gp3"),
        "/dev/sdf": (kept["/dev/sdf"], 2, "gp3"),
    }
    other = [
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 4, "SnapshotId": kept["/dev/sda1"]}},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5, "VolumeType": "gp2"}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1}},
    ]
    assert volumes_of(ec2, launched(cloud, ec2, ImageId=id, BlockDeviceMappings=other)) == {
        "/dev/sda1": (kept["/dev/sda1"], 4, "gp3"),
        "/dev/sdf": (kept["/dev/sdf"], 5, "gp2"),
        "/dev/sdg": ("", 1, "gp3"),
    }
    without = launched(cloud, ec2, ImageId=id, BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "NoDevice": ""}])
    assert list(volumes_of(ec2, without)) == ["/dev/sda1"]
    smaller = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    assert code(ec2.run_instances, **one_of(cloud, ImageId=id, BlockDeviceMappings=smaller)) == (
        "InvalidBlockDeviceMapping"
    )


def test_an_image_of_an_image_of_an_instance(cloud: Any, ec2: Any) -> None:
    second = launched(cloud, ec2, ImageId=image_of(cloud, ec2))
    id = made(ec2, second, name="second", NoReboot=True)
    cloud.settle()
    third = launched(cloud, ec2, ImageId=id)
    assert volumes_of(ec2, third)["/dev/sdf"][0] == disks(ec2, id)["/dev/sdf"]["SnapshotId"]


def test_the_mappings_of_a_new_image_change_what_it_has(cloud: Any, ec2: Any) -> None:
    guest, kept = launched(cloud, ec2, BlockDeviceMappings=DATA), taken(cloud, ec2)
    wanted = [
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 4, "VolumeType": "gp2", "DeleteOnTermination": False}},
        {"DeviceName": "/dev/sdf", "NoDevice": ""},
        {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": kept}},
        {"DeviceName": "/dev/sdh", "Ebs": {"VolumeSize": 6}},
    ]
    id = made(ec2, guest, BlockDeviceMappings=wanted, NoReboot=True)
    found = disks(ec2, id)
    assert (found["/dev/sda1"]["VolumeSize"], found["/dev/sda1"]["VolumeType"]) == (4, "gp2")
    assert found["/dev/sda1"]["DeleteOnTermination"] is False
    assert (found["/dev/sdg"]["SnapshotId"], found["/dev/sdg"]["VolumeSize"]) == (kept, 3)
    assert "SnapshotId" not in found["/dev/sdh"]
    assert sorted(found) == ["/dev/sda1", "/dev/sdg", "/dev/sdh"]
    assert len(snapshots(ec2)) == 2, "none of what was left out"
    small = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    assert code(ec2.create_image, InstanceId=guest, Name="small", BlockDeviceMappings=small) == (
        "InvalidBlockDeviceMapping"
    )


def test_an_image_that_cannot_be_made_is_refused(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    made(ec2, guest, NoReboot=True)
    assert code(ec2.create_image, InstanceId=guest, Name="mine") == "InvalidAMIName.Duplicate"
    assert code(ec2.create_image, InstanceId=guest, Name="what?") == "InvalidAMIName.Malformed"
    assert code(ec2.create_image, InstanceId="i-0123456789abcdef0", Name="yours") == "InvalidInstanceID.NotFound"
    ec2.terminate_instances(InstanceIds=[guest])
    assert code(ec2.create_image, InstanceId=guest, Name="late") == "IncorrectState"
    cloud.pass_time(3)
    assert [one["State"] for one in ec2.describe_images(Owners=["self"])["Images"]] == ["available"] * 2


def test_an_image_whose_snapshot_is_lost_is_failed(cloud: Any, ec2: Any) -> None:
    id = image_of(cloud, ec2)
    cloud.cloud.parts["volume"].driver.remove(disks(ec2, id)["/dev/sdf"]["SnapshotId"])
    cloud.pass_time(61)
    assert (look(ec2, id)["State"], look(ec2, id)["StateReason"]["Code"]) == (
        "failed",
        "Client.InvalidSnapshot.NotFound",
    )
    assert code(ec2.run_instances, **one_of(cloud, ImageId=id)) == "InvalidAMIID.Unavailable"


def test_a_snapshot_that_an_image_has_cannot_be_deleted(cloud: Any, ec2: Any) -> None:
    id = image_of(cloud, ec2)
    kept = disks(ec2, id)["/dev/sdf"]["SnapshotId"]
    assert code(ec2.delete_snapshot, SnapshotId=kept) == "InvalidSnapshot.InUse"
    guest = launched(cloud, ec2, ImageId=id)
    assert ec2.deregister_image(ImageId=id)["Return"] is True
    assert list(snapshots(ec2).values()) == ["completed"] * 2
    ec2.delete_snapshot(SnapshotId=kept)
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert shown(ec2, guest)["State"]["Name"] == "running"
    assert code(ec2.run_instances, **one_of(cloud, ImageId=id)) == "InvalidAMIID.Unavailable"


def test_the_snapshots_go_with_their_image_where_no_other_has_them(cloud: Any, ec2: Any) -> None:
    id = image_of(cloud, ec2)
    own, shared = (disks(ec2, id)[device]["SnapshotId"] for device in ("/dev/sdf", "/dev/sda1"))
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": shared}}]
    ec2.register_image(Name="other", RootDeviceName="/dev/sda1", BlockDeviceMappings=mapping)
    answer = ec2.deregister_image(ImageId=id, DeleteAssociatedSnapshots=True)
    results = {one["SnapshotId"]: one["ReturnCode"] for one in answer["DeleteSnapshotResults"]}
    assert results == {own: "success", shared: "skipped"}
    cloud.settle()
    assert list(snapshots(ec2)) == [shared]


def test_an_image_is_registered_of_snapshots(cloud: Any, ec2: Any) -> None:
    root, data = taken(cloud, ec2), taken(cloud, ec2, size=2)
    mapping = [
        {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": root, "VolumeSize": 5, "VolumeType": "gp2"}},
        {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": data, "DeleteOnTermination": True}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1}},
    ]
    tags = [{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}]
    values = {"Architecture": "x86_64", "BootMode": "uefi", "EnaSupport": True, "TagSpecifications": tags}
    id = ec2.register_image(Name="mine", RootDeviceName="/dev/xvda", BlockDeviceMappings=mapping, **values)["ImageId"]
    found = look(ec2, id)
    assert (found["State"], found["BootMode"], found["EnaSupport"]) == ("available", "uefi", True)
    assert (found["RootDeviceName"], found["RootDeviceType"], found["Tags"]) == ("/dev/xvda", "ebs", tags[0]["Tags"])
    assert [one["DeviceName"] for one in found["BlockDeviceMappings"]] == ["/dev/xvda", "/dev/sdf", "/dev/sdg"]
    guest = launched(cloud, ec2, ImageId=id)
    assert shown(ec2, guest)["State"]["Name"] == "running"
    assert volumes_of(ec2, guest) == {
        "/dev/xvda": (root, 5, "gp2"),
        "/dev/sdf": (data, 2, "gp3"),
        "/dev/sdg": ("", 1, "gp3"),
    }
    wanted = [{"Name": "block-device-mapping.snapshot-id", "Values": [data]}]
    assert [one["ImageId"] for one in ec2.describe_images(Filters=wanted)["Images"]] == [id]


def test_a_registration_of_snapshots_that_cannot_be_is_refused(cloud: Any, ec2: Any) -> None:
    root, other = taken(cloud, ec2), cloud.account("other")
    ec2.modify_snapshot_attribute(SnapshotId=root, OperationType="add", UserIds=[other.id])

    def refused(who: Any, *mappings: tuple[str, dict[str, Any]], **more: Any) -> str:
        given = [{"DeviceName": device, "Ebs": ebs} for device, ebs in mappings]
        return code(who.register_image, Name="mine", RootDeviceName="/dev/sda1", BlockDeviceMappings=given, **more)

    assert refused(ec2) == "MissingParameter"
    assert refused(ec2, ("/dev/sda1", {"VolumeSize": 1})) == "InvalidBlockDeviceMapping"
    assert refused(ec2, ("/dev/sdf", {"SnapshotId": root})) == "InvalidBlockDeviceMapping"
    assert refused(ec2, ("/dev/sda1", {"SnapshotId": root, "VolumeSize": 1})) == "InvalidBlockDeviceMapping"
    assert refused(ec2, ("/dev/sda1", {"SnapshotId": "snap-0123456789abcdef0"})) == "InvalidSnapshot.NotFound"
    assert refused(other.client(), ("/dev/sda1", {"SnapshotId": root})) == "AuthFailure"
    assert refused(ec2, ("/dev/sda1", {"SnapshotId": root}), BootMode="floppy") == "InvalidParameterValue"


def test_an_image_is_copied_with_its_snapshots(cloud: Any, ec2: Any) -> None:
    id = image_of(cloud, ec2)
    parameters = {"SourceImageId": id, "SourceRegion": "us-east-1", "Name": "copy", "ClientToken": "one"}
    copy = ec2.copy_image(**parameters)["ImageId"]
    assert ec2.copy_image(**parameters)["ImageId"] == copy != id
    ec2.deregister_image(ImageId=id, DeleteAssociatedSnapshots=True)
    cloud.settle()
    cloud.pass_time(3)
    found = look(ec2, copy)
    assert (found["State"], found["SourceImageId"], found["SourceImageRegion"]) == ("available", id, "us-east-1")
    assert sorted(snapshots(ec2)) == sorted(ebs["SnapshotId"] for ebs in disks(ec2, copy).values())
    guest = launched(cloud, ec2, ImageId=copy)
    assert shown(ec2, guest)["State"]["Name"] == "running"


def test_an_image_of_a_file_is_copied_and_keeps_its_tags_if_that_is_asked_for(cloud: Any, ec2: Any) -> None:
    ec2.create_tags(Resources=[cloud.image], Tags=[{"Key": "k", "Value": "v"}])
    parameters = {"SourceImageId": cloud.image, "SourceRegion": "us-east-1"}
    copy = ec2.copy_image(**parameters, Name="copy", CopyImageTags=True)["ImageId"]
    assert (look(ec2, copy)["State"], look(ec2, copy)["Public"]) == ("available", False)
    assert look(ec2, copy)["Tags"] == [{"Key": "k", "Value": "v"}]
    launched(cloud, ec2, ImageId=copy)
    assert code(ec2.copy_image, SourceImageId=copy, SourceRegion="mars", Name="far") == "InvalidParameterValue"
    assert code(ec2.copy_image, **parameters, Name="copy") == "InvalidAMIName.Duplicate"


def test_another_account_launches_what_was_opened_and_copies_it_if_its_storage_was_too(cloud: Any, ec2: Any) -> None:
    id, friend = image_of(cloud, ec2), cloud.account("friend")
    theirs = friend.client()
    copy = {"SourceImageId": id, "SourceRegion": "us-east-1", "Name": "theirs"}
    assert code(theirs.copy_image, **copy) == "InvalidAMIID.NotFound"
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": friend.id}]})
    assert len(volumes_of(theirs, launched(cloud, theirs, ImageId=id))) == 2
    assert code(theirs.copy_image, **copy) == "InvalidRequest"
    for ebs in disks(ec2, id).values():
        ec2.modify_snapshot_attribute(SnapshotId=ebs["SnapshotId"], OperationType="add", UserIds=[friend.id])
    made = theirs.copy_image(**copy)["ImageId"]
    cloud.settle()
    assert (look(theirs, made)["State"], look(theirs, made)["OwnerId"]) == ("available", friend.id)
