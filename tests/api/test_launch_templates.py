"""Launch templates: their versions, and what is launched of them."""

from __future__ import annotations

from typing import Any

import pytest
from support.identity import code as denied
from support.identity import document, user
from support.launching import shown
from support.refusals import code, message

DATA = {"InstanceType": "t2.nano", "UserData": "aGVsbG8="}


def made(ec2: Any, name: str = "web", **data: Any) -> str:
    return str(
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=DATA | data)["LaunchTemplate"][
            "LaunchTemplateId"
        ]
    )


def run(cloud: Any, ec2: Any, **more: Any) -> dict[str, Any]:
    id = ec2.run_instances(MinCount=1, MaxCount=1, **more)["Instances"][0]["InstanceId"]
    cloud.settle()
    return dict(shown(ec2, id))


def tags_of(item: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in item["Tags"]}


def test_a_template_has_versions_of_which_one_is_meant_where_none_is_named(cloud: Any, ec2: Any) -> None:
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "k", "Value": "v"}]}]
    asked = {"LaunchTemplateName": "web", "LaunchTemplateData": DATA, "VersionDescription": "first"}
    first = ec2.create_launch_template(**asked, ClientToken="t", TagSpecifications=tags)["LaunchTemplate"]
    assert (first["DefaultVersionNumber"], first["LatestVersionNumber"], first["Tags"]) == (1, 1, tags[0]["Tags"])
    assert first["CreatedBy"] == f"arn:aws:iam::{cloud.admin.id}:root"
    again = ec2.create_launch_template(**asked, ClientToken="t", TagSpecifications=tags)["LaunchTemplate"]
    assert again["LaunchTemplateId"] == first["LaunchTemplateId"]
    named = {"LaunchTemplateName": "web"}
    more = {"LaunchTemplateData": {"InstanceType": "m1.small"}}
    second = ec2.create_launch_template_version(**named, **more, SourceVersion="1")["LaunchTemplateVersion"]
    assert (second["VersionNumber"], second["DefaultVersion"]) == (2, False)
    assert second["LaunchTemplateData"] == DATA | more["LaunchTemplateData"]
    found = ec2.describe_launch_template_versions(**named)["LaunchTemplateVersions"]
    assert [(one["VersionNumber"], one["DefaultVersion"]) for one in found] == [(2, False), (1, True)]
    assert found[1]["VersionDescription"] == "first"
    ec2.modify_launch_template(**named, DefaultVersion="2")
    (item,) = ec2.describe_launch_templates(LaunchTemplateNames=["web"])["LaunchTemplates"]
    assert (item["DefaultVersionNumber"], item["LatestVersionNumber"], item["Tags"]) == (2, 2, tags[0]["Tags"])
    gone = ec2.delete_launch_template_versions(**named, Versions=["1", "2", "7"])
    assert [one["VersionNumber"] for one in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    failed = gone["UnsuccessfullyDeletedLaunchTemplateVersions"]
    codes = ["unexpectedError", "launchTemplateVersionDoesNotExist"]
    assert [one["ResponseError"]["Code"] for one in failed] == codes
    assert ec2.delete_launch_template(**named)["LaunchTemplate"]["LaunchTemplateId"] == first["LaunchTemplateId"]
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert ec2.describe_tags()["Tags"] == []


def test_versions_are_chosen_by_number_by_word_and_by_filters_page_by_page(ec2: Any) -> None:
    id, other = made(ec2), made(ec2, "other")
    for kind in ("m1.small", "m1.tiny"):
        ec2.create_launch_template_version(LaunchTemplateId=id, LaunchTemplateData={"InstanceType": kind})

    def numbers(**asked: Any) -> list[int]:
        found = ec2.describe_launch_template_versions(LaunchTemplateId=id, **asked)["LaunchTemplateVersions"]
        return [one["VersionNumber"] for one in found]

    assert numbers(Versions=["$Latest", "$Default"]) == [3, 1]
    assert numbers(Versions=["2"]) == [2]
    assert numbers(MinVersion="2") == [3, 2]
    assert numbers(MinVersion="2", MaxVersion="2") == [2]
    assert numbers(Filters=[{"Name": "instance-type", "Values": ["m1.*"]}]) == [3, 2]
    assert numbers(Filters=[{"Name": "is-default-version", "Values": ["true"]}]) == [1]
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateId=id, PaginationConfig={"PageSize": 5}
    )
    assert [one["VersionNumber"] for page in pages for one in page["LaunchTemplateVersions"]] == [3, 2, 1]
    both = ec2.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"]
    assert [(one["LaunchTemplateId"], one["VersionNumber"]) for one in both] == [(id, 3), (other, 1)]
    assert code(lambda: numbers(Versions=["9"])) == "InvalidLaunchTemplateId.VersionNotFound"
    assert code(ec2.describe_launch_template_versions) == "MissingParameter"


def test_an_instance_is_launched_of_a_template_but_for_what_the_request_says(cloud: Any, ec2: Any) -> None:
    specs = [
        {"ResourceType": "instance", "Tags": [{"Key": "Team", "Value": "red"}, {"Key": "Name", "Value": "x"}]},
        {"ResourceType": "volume", "Tags": [{"Key": "Kept", "Value": "yes"}]},
        {"ResourceType": "spot-instances-request", "Tags": [{"Key": "Not", "Value": "here"}]},
    ]
    root = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 9}}]
    id = made(ec2, ImageId=cloud.image, BlockDeviceMappings=root, TagSpecifications=specs)
    guest = run(cloud, ec2, LaunchTemplate={"LaunchTemplateName": "web"})
    assert (guest["InstanceType"], guest["ImageId"]) == ("t2.nano", cloud.image)
    system = {"aws:ec2launchtemplate:id": id, "aws:ec2launchtemplate:version": "1"}
    assert tags_of(guest) == {"Team": "red", "Name": "x", **system}
    volume = ec2.describe_volumes(VolumeIds=[guest["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"][0]
    assert (volume["Size"], tags_of(volume)) == (9, {"Kept": "yes"})
    own = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "mine"}]}]
    asked = {"LaunchTemplate": {"LaunchTemplateId": id, "Version": "$Latest"}, "TagSpecifications": own}
    other = run(cloud, ec2, **asked, InstanceType="m1.small")
    assert other["InstanceType"] == "m1.small"
    assert tags_of(other) == {"Team": "red", "Name": "mine", **system}
    ec2.delete_tags(Resources=[other["InstanceId"]])
    assert tags_of(shown(ec2, other["InstanceId"])) == system
    reserved = {"Resources": [other["InstanceId"]], "Tags": [{"Key": "aws:ec2launchtemplate:id"}]}
    assert code(ec2.delete_tags, **reserved) == "InvalidParameterValue"


def test_a_request_changes_the_block_devices_of_a_template_by_their_names(cloud: Any, ec2: Any) -> None:
    root, one = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 9}}, {"VolumeSize": 2, "VolumeType": "gp3"}
    two = {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 3}}
    made(ec2, ImageId=cloud.image, BlockDeviceMappings=[root, {"DeviceName": "/dev/sdb", "Ebs": one}, two])
    own: list[Any] = [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeType": "gp2"}}, {"DeviceName": "/dev/sdc"}]
    own[1]["NoDevice"] = ""
    own.append({"DeviceName": "/dev/sdd", "Ebs": {"VolumeSize": 4}})
    guest = run(cloud, ec2, LaunchTemplate={"LaunchTemplateName": "web"}, BlockDeviceMappings=own)
    found = {
        volume["Attachments"][0]["Device"]: (volume["Size"], volume["VolumeType"])
        for volume in ec2.describe_volumes(
            Filters=[{"Name": "attachment.instance-id", "Values": [guest["InstanceId"]]}]
        )["Volumes"]
    }
    assert found == {"/dev/sda1": (9, "gp3"), "/dev/sdb": (2, "gp2"), "/dev/sdd": (4, "gp3")}


def test_the_same_token_launches_once_whatever_has_become_of_the_template(cloud: Any, ec2: Any) -> None:
    id = made(ec2, ImageId=cloud.image)
    asked = {"LaunchTemplate": {"LaunchTemplateId": id}, "ClientToken": "once"}
    first = run(cloud, ec2, **asked)
    ec2.create_launch_template_version(LaunchTemplateId=id, LaunchTemplateData={"ImageId": cloud.image})
    ec2.modify_launch_template(LaunchTemplateId=id, DefaultVersion="2")
    assert run(cloud, ec2, **asked)["InstanceId"] == first["InstanceId"]


def test_what_cannot_be_is_refused(cloud: Any, ec2: Any) -> None:
    id = made(ec2)
    asked = {"LaunchTemplateName": "web", "LaunchTemplateData": DATA}
    assert code(ec2.create_launch_template, **asked) == "InvalidLaunchTemplateName.AlreadyExistsException"
    bad = code(ec2.create_launch_template, **asked | {"LaunchTemplateName": "no spaces"})
    assert bad == "InvalidLaunchTemplateName.MalformedException"
    assert code(ec2.create_launch_template, **asked | {"LaunchTemplateData": {}}) == "MissingParameter"
    market = {"InstanceMarketOptions": {"MarketType": "spot"}}
    said = message(ec2.create_launch_template, **asked | {"LaunchTemplateData": market})
    assert "LaunchTemplateData.InstanceMarketOptions" in said
    gone, malformed = "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed"
    launch = {"MinCount": 1, "MaxCount": 1, "ImageId": cloud.image}
    for wrong, refusal in (("lt-0123456789abcdef0", gone), ("lt-x", malformed)):
        assert code(ec2.run_instances, **launch, LaunchTemplate={"LaunchTemplateId": wrong}) == refusal
        assert code(ec2.delete_launch_template, LaunchTemplateId=wrong) == refusal
        assert code(ec2.describe_launch_templates, LaunchTemplateIds=[wrong]) == refusal
    nobody = {"LaunchTemplateName": "nobody"}
    assert code(ec2.run_instances, **launch, LaunchTemplate=nobody) == "InvalidLaunchTemplateName.NotFoundException"
    version = {"LaunchTemplateId": id, "Version": "3"}
    assert code(ec2.run_instances, **launch, LaunchTemplate=version) == "InvalidLaunchTemplateId.VersionNotFound"
    only = {"MinCount": 1, "MaxCount": 1, "LaunchTemplate": {"LaunchTemplateId": id}}
    assert code(ec2.run_instances, **only) == "MissingParameter"
    assert code(ec2.modify_launch_template, LaunchTemplateId=id) == "MissingParameter"
    other = cloud.account("other").client()
    assert code(other.delete_launch_template, LaunchTemplateId=id) == gone


@pytest.mark.parametrize("overrides", [False, True])
def test_a_policy_allows_launches_by_a_template_alone(cloud: Any, ec2: Any, overrides: bool) -> None:
    id, other = made(ec2, ImageId=cloud.image), made(ec2, "other", ImageId=cloud.image)
    mine = f"arn:aws:ec2:us-east-1:{cloud.admin.id}:launch-template/{id}"
    condition = {"ArnLike": {"ec2:LaunchTemplate": mine}, "Bool": {"ec2:IsLaunchTemplateResource": "true"}}
    ann = user(cloud, "ann", document(Action="ec2:RunInstances", Condition=condition)).client()
    launch: dict[str, Any] = {"MinCount": 1, "MaxCount": 1, "DryRun": True}
    launch |= {"ImageId": cloud.image} if overrides else {}
    wanted = "UnauthorizedOperation" if overrides else "DryRunOperation"
    assert denied(lambda: ann.run_instances(**launch, LaunchTemplate={"LaunchTemplateName": "web"})) == wanted
    refused = "UnauthorizedOperation"
    assert denied(lambda: ann.run_instances(**launch, LaunchTemplate={"LaunchTemplateId": other})) == refused
    assert denied(lambda: ann.run_instances(**launch | {"ImageId": cloud.image})) == refused


def test_who_may_change_one_template_may_not_change_another(cloud: Any, ec2: Any) -> None:
    id, other = made(ec2), made(ec2, "other")
    arn = f"arn:aws:ec2:*:*:launch-template/{id}"
    ann = user(cloud, "ann", document(Action="ec2:*", Resource=arn)).client()
    more = {"LaunchTemplateData": {"ImageId": cloud.image, "SecurityGroupIds": ["sg-0123456789abcdef0"]}}
    ann.create_launch_template_version(LaunchTemplateName="web", **more)
    for named in ({"LaunchTemplateId": other}, {"LaunchTemplateName": "other"}):
        assert denied(lambda: ann.create_launch_template_version(**named, **more)) == "UnauthorizedOperation"  # noqa: B023
        assert denied(lambda: ann.delete_launch_template(**named)) == "UnauthorizedOperation"  # noqa: B023
    ann.delete_launch_template(LaunchTemplateId=id)


def test_the_same_token_makes_one_version(ec2: Any) -> None:
    id = made(ec2)
    asked = {"LaunchTemplateId": id, "LaunchTemplateData": {"InstanceType": "m1.small"}, "ClientToken": "once"}
    found = [ec2.create_launch_template_version(**asked)["LaunchTemplateVersion"]["VersionNumber"] for _ in range(2)]
    assert found == [2, 2]
    assert ec2.describe_launch_templates()["LaunchTemplates"][0]["LatestVersionNumber"] == 2


def test_an_instance_gives_the_data_by_which_others_like_it_are_launched(cloud: Any, ec2: Any) -> None:
    ebs = {"VolumeSize": 9, "VolumeType": "gp3", "Iops": 4000, "DeleteOnTermination": True}
    disks = [{"DeviceName": "/dev/sdf", "Ebs": ebs}]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Team", "Value": "red"}]}]
    ec2.create_key_pair(KeyName="mine", KeyType="ed25519")
    like = {"InstanceType": "t2.nano", "KeyName": "mine", "UserData": "#!/bin/sh", "EbsOptimized": True}
    one = run(cloud, ec2, ImageId=cloud.image, BlockDeviceMappings=disks, TagSpecifications=tags, **like)
    data = ec2.get_launch_template_data(InstanceId=one["InstanceId"])["LaunchTemplateData"]
    assert (data["InstanceType"], data["ImageId"], data["KeyName"]) == ("t2.nano", cloud.image, "mine")
    assert data["BlockDeviceMappings"][1]["Ebs"] == ebs
    ec2.create_launch_template(LaunchTemplateName="like", LaunchTemplateData=data)
    other = run(cloud, ec2, LaunchTemplate={"LaunchTemplateName": "like"})
    for same in ("InstanceType", "KeyName", "SubnetId", "EbsOptimized", "MetadataOptions", "SecurityGroups"):
        assert other[same] == one[same]
    assert tags_of(other)["Team"] == "red"
    assert [len(guest["BlockDeviceMappings"]) for guest in (one, other)] == [2, 2]
    again = ec2.get_launch_template_data(InstanceId=other["InstanceId"])["LaunchTemplateData"]
    assert again == data
