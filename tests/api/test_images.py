"""Images: who sees them, what is known of them, and registering what was imported."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import Session
from support.launching import launched, one_of, shown, volume_of
from support.refusals import code, message

from cumulet.model import image, instance

LOCATION = "cumulet/tiny"


def ids(ec2: Any, **parameters: Any) -> list[str]:
    return [one["ImageId"] for one in ec2.describe_images(**parameters)["Images"]]


def filtered(ec2: Any, **filters: str) -> list[str]:
    return ids(ec2, Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()])


def registered(ec2: Any, name: str = "mine", **more: Any) -> str:
    return str(ec2.register_image(Name=name, ImageLocation=LOCATION, **more)["ImageId"])


def test_an_image_is_shown_with_all_that_is_known_of_it(cloud: Any, ec2: Any) -> None:
    (found,) = ec2.describe_images(ImageIds=[cloud.image])["Images"]
    assert (found["State"], found["ImageType"], found["Public"]) == ("available", "machine", True)
    assert (found["OwnerId"], found["ImageOwnerAlias"]) == (cloud.admin.id, "amazon")
    assert (found["Architecture"], found["VirtualizationType"]) == ("x86_64", "hvm")
    assert (found["RootDeviceType"], found["RootDeviceName"]) == ("ebs", "/dev/sda1")
    (disk,) = found["BlockDeviceMappings"]
    assert (disk["DeviceName"], disk["Ebs"]["VolumeSize"]) == ("/dev/sda1", 1)
    assert found["CreationDate"].startswith("20")


def test_images_are_found_by_owner(cloud: Any, ec2: Any) -> None:
    other = cloud.account("other").client()
    for owners in (["self"], ["amazon"], [cloud.admin.id], ["123456789012", "self"]):
        assert ids(ec2, Owners=owners) == [cloud.image]
    assert ids(other, Owners=["amazon"]) == [cloud.image]
    for owners in (["self"], ["aws-marketplace"], ["123456789012"]):
        assert ids(other, Owners=owners) == []


def test_images_are_found_by_filter(cloud: Any, ec2: Any) -> None:
    mine = registered(ec2, Description="my own")
    assert set(ids(ec2)) == {cloud.image, mine}
    assert filtered(ec2, **{"name": "m?ne", "is-public": "false", "description": "my*"}) == [mine]
    assert filtered(ec2, **{"owner-alias": "amazon"}) == [cloud.image]
    assert filtered(ec2, **{"image-id": mine, "manifest-location": LOCATION}) == [mine]
    every = {"architecture": "x86_64", "root-device-type": "ebs", "virtualization-type": "hvm", "state": "available"}
    assert set(filtered(ec2, **every)) == {cloud.image, mine}
    assert filtered(ec2, **{"image-type": "kernel"}) == []
    assert set(ids(ec2, IncludeDeprecated=True, IncludeDisabled=True)) == {cloud.image, mine}
    wrong = [{"Name": "colour", "Values": ["blue"]}]
    assert code(ec2.describe_images, Filters=wrong) == "InvalidParameterValue"


def test_an_image_that_is_not_there_is_refused(cloud: Any, ec2: Any) -> None:
    absent = "ami-0123456789abcdef0"
    assert code(ec2.describe_images, ImageIds=[absent]) == "InvalidAMIID.NotFound"
    assert code(ec2.describe_images, ImageIds=["foo"]) == "InvalidAMIID.Malformed"
    assert code(ec2.describe_image_attribute, ImageId=absent, Attribute="description") == "InvalidAMIID.NotFound"
    assert code(ec2.deregister_image, ImageId=absent) == "InvalidAMIID.NotFound"


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_an_image_is_in_the_state_of_its_file(cloud: Any, ec2: Any, state: str) -> None:
    files = image.image_file
    reasons = {"reason_code": "Client.InvalidImage", "reason": "it is corrupt"} if state == "failed" else {}
    with cloud.database.write() as tx:
        tx.change(files.update().values(state=state, **reasons))
    (found,) = ec2.describe_images(ImageIds=[cloud.image])["Images"]
    assert found["State"] == state
    reason = {"Code": "Client.InvalidImage", "Message": "it is corrupt"} if state == "failed" else None
    assert found.get("StateReason") == reason


def test_what_was_imported_can_be_registered_again_and_launched(cloud: Any, ec2: Any) -> None:
    tags = [{"ResourceType": "image", "Tags": [{"Key": "Name", "Value": "x"}]}]
    disk = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9, "VolumeType": "gp2", "DeleteOnTermination": False}}]
    id = registered(
        ec2,
        Architecture="x86_64",
        RootDeviceName="/dev/xvda",
        VirtualizationType="hvm",
        EnaSupport=True,
        SriovNetSupport="simple",
        BlockDeviceMappings=disk,
        TagSpecifications=tags,
    )
    (found,) = ec2.describe_images(ImageIds=[id])["Images"]
    assert (found["Name"], found["ImageLocation"], found["Public"]) == ("mine", LOCATION, False)
    assert (found["EnaSupport"], found["SriovNetSupport"], found["RootDeviceName"]) == (True, "simple", "/dev/xvda")
    (shown_disk,) = found["BlockDeviceMappings"]
    assert {name: shown_disk["Ebs"][name] for name in disk[0]["Ebs"]} == disk[0]["Ebs"]
    assert found["Tags"] == tags[0]["Tags"]
    instance = launched(cloud, ec2, ImageId=id)
    volume = volume_of(ec2, instance)
    assert (volume["Size"], volume["VolumeType"]) == (9, "gp2")
    assert volume["Attachments"][0]["DeleteOnTermination"] is False
    assert shown(ec2, instance)["RootDeviceName"] == "/dev/xvda"


def test_a_file_that_was_not_imported_cannot_be_registered(ec2: Any) -> None:
    assert code(ec2.register_image, Name="mine", ImageLocation="nowhere/at-all") == "InvalidManifest"
    assert code(ec2.register_image, Name="mine") == "MissingParameter"


@pytest.mark.parametrize("name", ["ab", "x" * 129, "what?", "tab\there"])
def test_a_name_that_cannot_be_is_refused(cloud: Any, name: str) -> None:
    ec2 = cloud.client(parameter_validation=False)
    assert code(ec2.register_image, Name=name, ImageLocation=LOCATION) == "InvalidAMIName.Malformed"


def test_a_name_is_an_accounts_own(cloud: Any, ec2: Any) -> None:
    first = registered(ec2)
    assert code(ec2.register_image, Name="mine", ImageLocation=LOCATION) == "InvalidAMIName.Duplicate"
    registered(cloud.account("other").client())
    ec2.deregister_image(ImageId=first)
    assert registered(ec2) != first


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"Architecture": "arm64"}, "InvalidParameterValue"),
        ({"VirtualizationType": "paravirtual"}, "UnsupportedOperation"),
        ({"KernelId": "aki-00000001"}, "InvalidAMIID.NotFound"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf"}]}, "InvalidBlockDeviceMapping"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"Description": "\xe9"}, "InvalidParameterValue"),
        ({"BootMode": "floppy"}, "InvalidParameterValue"),
        ({"BootMode": "uefi"}, "InvalidParameterCombination"),  # the file has a kernel
    ],
)
def test_a_registration_that_cannot_be_is_refused(ec2: Any, wrong: Any, expected: str) -> None:
    assert code(ec2.register_image, Name="mine", ImageLocation=LOCATION, **wrong) == expected
    assert len(ids(ec2)) == 1


@pytest.mark.parametrize(("mode", "boot"), [("uefi", "uefi"), ("uefi-preferred", "uefi"), ("legacy-bios", "bios")])
def test_an_image_boots_as_its_registration_says(cloud: Any, ec2: Any, mode: str, boot: str) -> None:
    values = {"account": cloud.admin.id, "name": "disk", "location": "admin/disk", "source": "/", "declared": "raw"}
    with cloud.database.write() as tx:
        image.take_in(tx, values)
    early = ec2.register_image(Name="early", ImageLocation="admin/disk", BootMode=mode)["ImageId"]
    cloud.settle()
    late = ec2.register_image(Name="late", ImageLocation="admin/disk", BootMode=mode)["ImageId"]
    for id in (early, late):
        assert ec2.describe_images(ImageIds=[id])["Images"][0]["BootMode"] == mode
        launched = ec2.run_instances(ImageId=id, InstanceType="t2.nano", MinCount=1, MaxCount=1)["Instances"][0]
        cloud.settle()
        with cloud.database.read() as tx:
            row = instance.find(tx, launched["InstanceId"])
        assert row is not None
        assert (row.boot, row.state) == (boot, "running")


def test_a_deregistered_image_cannot_be_launched_and_its_instances_go_on(cloud: Any, ec2: Any) -> None:
    id = registered(ec2)
    instance = launched(cloud, ec2, ImageId=id)
    ec2.deregister_image(ImageId=id)
    assert code(ec2.describe_images, ImageIds=[id]) == "InvalidAMIID.NotFound"
    assert code(ec2.run_instances, **one_of(cloud, ImageId=id)) == "InvalidAMIID.Unavailable"
    assert code(ec2.deregister_image, ImageId=id) == "InvalidAMIID.Unavailable"
    ec2.stop_instances(InstanceIds=[instance])
    cloud.settle()
    ec2.start_instances(InstanceIds=[instance])
    cloud.settle()
    assert shown(ec2, instance)["State"]["Name"] == "running"


def test_only_its_owner_changes_an_image(cloud: Any, ec2: Any) -> None:
    other = cloud.account("other").client()
    assert code(other.deregister_image, ImageId=cloud.image) == "AuthFailure"
    assert code(other.describe_image_attribute, ImageId=cloud.image, Attribute="launchPermission") == "AuthFailure"
    refused = code(other.modify_image_attribute, ImageId=cloud.image, Description={"Value": "theirs"})
    assert refused == "AuthFailure"
    assert ids(ec2) == [cloud.image]


def test_an_image_is_opened_to_all_and_closed_again(cloud: Any, ec2: Any) -> None:
    id, other = registered(ec2), cloud.account("other").client()
    assert id not in ids(other)
    assert code(other.run_instances, **one_of(cloud, ImageId=id)) == "InvalidAMIID.NotFound"
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"Group": "all"}]})
    assert id in ids(other, ExecutableUsers=["all"])
    found = ec2.describe_image_attribute(ImageId=id, Attribute="launchPermission")
    assert found["LaunchPermissions"] == [{"Group": "all"}]
    launched(cloud, other, ImageId=id)
    ec2.modify_image_attribute(ImageId=id, OperationType="remove", UserGroups=["all"], Attribute="launchPermission")
    assert id not in ids(other)


def test_an_image_is_opened_to_one_account(cloud: Any, ec2: Any) -> None:
    id, friend, stranger = registered(ec2), cloud.account("friend"), cloud.account("stranger")
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": friend.id}]})
    assert ids(friend.client(), ExecutableUsers=["self"]) == [id]
    assert ids(ec2, ExecutableUsers=[friend.id]) == [id]
    assert id not in ids(stranger.client())
    launched(cloud, friend.client(), ImageId=id)
    found = ec2.describe_image_attribute(ImageId=id, Attribute="launchPermission")
    assert found["LaunchPermissions"] == [{"UserId": friend.id}]
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Remove": [{"UserId": friend.id}]})
    assert id not in ids(friend.client())


def test_permissions_that_cannot_be_are_refused(cloud: Any, ec2: Any) -> None:
    id = registered(ec2)
    for permission in ({"Group": "some"}, {"UserId": "123456789012"}):
        refused = code(ec2.modify_image_attribute, ImageId=id, LaunchPermission={"Add": [permission]})
        assert refused == "InvalidAMIAttributeItemValue"
    assert code(ec2.modify_image_attribute, ImageId=id) == "InvalidParameterCombination"
    assert code(ec2.modify_image_attribute, ImageId=id, UserGroups=["all"]) == "InvalidParameterValue"
    assert code(ec2.modify_image_attribute, ImageId=id, Attribute="colour", Value="x") == "InvalidParameterValue"


def test_attributes_of_an_image_are_shown(cloud: Any, ec2: Any) -> None:
    id = registered(ec2)
    ec2.modify_image_attribute(ImageId=id, Attribute="description", Value="changed")

    def read(attribute: str) -> Any:
        answer = ec2.describe_image_attribute(ImageId=id, Attribute=attribute)
        return {name: value for name, value in answer.items() if name not in ("ImageId", "ResponseMetadata")}

    assert read("description") == {"Description": {"Value": "changed"}}
    assert read("kernel") == {"KernelId": {}}
    assert read("blockDeviceMapping")["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda1"
    assert code(ec2.describe_image_attribute, ImageId=id, Attribute="colour") == "InvalidParameterValue"


def test_uefi_variables_are_refused_at_once(cloud: Any, ec2: Any) -> None:
    assert code(ec2.get_instance_uefi_data, InstanceId=cloud.image) == "InvalidInstanceID.Malformed"
    assert code(ec2.get_instance_uefi_data, InstanceId=launched(cloud, ec2)) == "UnsupportedOperation"


def test_the_words_for_an_image_that_is_not_there_are_awss(ec2: Any) -> None:
    absent = "ami-0123456789abcdef0"
    assert message(ec2.describe_images, ImageIds=[absent]) == f"The image id '[{absent}]' does not exist"


def test_each_attribute_that_aws_has_is_answered_even_if_it_is_empty(cloud: Any, ec2: Any) -> None:
    names = Session().get_service_model("ec2").shape_for("ImageAttributeName").enum
    for name in names:
        answer = ec2.describe_image_attribute(ImageId=cloud.image, Attribute=name)
        assert answer["ImageId"] == cloud.image
