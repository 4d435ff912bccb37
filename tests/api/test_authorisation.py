"""Who may what over boto3: each action's name, the ARNs of what it names, and the keys of conditions."""

from __future__ import annotations

from typing import Any

import pytest
from support.identity import ALLOW, code, document, message, user
from support.tested_cloud import TestedCloud


@pytest.fixture
def ec2(cloud: TestedCloud) -> Any:
    return cloud.client("ec2")


def launched(cloud: TestedCloud, **more: Any) -> str:
    made = cloud.client().run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, **more)["Instances"][0]
    cloud.settle()
    return str(made["InstanceId"])


def tagged(kind: str, **tags: str) -> dict[str, Any]:
    return {
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ]
    }


def test_a_user_may_nothing_at_first(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann")
    said = message(lambda: ann.client().describe_instances())
    assert said.startswith(
        "You are not authorized to perform this operation. "
        f"User: arn:aws:iam::{cloud.admin.id}:user/ann is not authorized to perform: ec2:DescribeInstances "
        "because no identity-based policy allows the ec2:DescribeInstances action. "
        "Encoded authorization failure message: "
    )
    assert code(lambda: ann.client("iam").list_users()) == "AccessDenied"
    assert ann.client("sts").get_caller_identity()["Account"] == cloud.admin.id


def test_a_change_is_effective_with_the_next_request(cloud: TestedCloud) -> None:
    ann, iam = user(cloud, "ann"), cloud.client("iam")
    for _ in range(2):
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document(Action="ec2:DescribeVpcs"))
        ann.client().describe_vpcs()
        iam.delete_user_policy(UserName="ann", PolicyName="p")
        assert code(lambda: ann.client().describe_vpcs()) == "UnauthorizedOperation"


def test_a_policy_speaks_of_one_instance(cloud: TestedCloud) -> None:
    first, second = launched(cloud), launched(cloud)
    arn = f"arn:aws:ec2:us-east-1:{cloud.admin.id}:instance/{first}"
    ann = user(cloud, "ann", document(Action="ec2:StopInstances", Resource=arn))
    assert code(lambda: ann.client().stop_instances(InstanceIds=[second])) == "UnauthorizedOperation"
    assert code(lambda: ann.client().stop_instances(InstanceIds=[first, second])) == "UnauthorizedOperation"
    assert code(lambda: ann.client().terminate_instances(InstanceIds=[first])) == "UnauthorizedOperation"
    assert ann.client().stop_instances(InstanceIds=[first])["StoppingInstances"][0]["InstanceId"] == first


def test_a_policy_speaks_of_tags(cloud: TestedCloud) -> None:
    red, blue = launched(cloud, **tagged("instance", Team="red")), launched(cloud, **tagged("instance", Team="blue"))
    same = {"StringEquals": {"aws:ResourceTag/Team": "${aws:PrincipalTag/Team}"}}
    ann = user(cloud, "ann", document(Action="ec2:*", Condition=same))
    assert code(lambda: ann.client().stop_instances(InstanceIds=[red])) == "UnauthorizedOperation"
    cloud.client("iam").tag_user(UserName="ann", Tags=[{"Key": "Team", "Value": "red"}])
    assert code(lambda: ann.client().stop_instances(InstanceIds=[blue])) == "UnauthorizedOperation"
    ann.client().stop_instances(InstanceIds=[red])


def test_a_launch_needs_all_that_it_uses_and_makes(cloud: TestedCloud) -> None:
    ann, iam = user(cloud, "ann"), cloud.client("iam")
    parts = ["image/*", "instance/*", "volume/*", "network-interface/*"]
    run = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1, "InstanceType": "t2.nano"}
    for count in range(len(parts) + 1):
        those = [f"arn:aws:ec2:*:*:{part}" for part in parts[:count]] or ["arn:aws:ec2:*:*:nothing/*"]
        put = document(Action="ec2:RunInstances", Resource=those)
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=put)
        if count < len(parts):
            assert code(lambda: ann.client().run_instances(**run)) == "UnauthorizedOperation"
    assert ann.client().run_instances(**run)["Instances"][0]["InstanceType"] == "t2.nano"
    tags = tagged("instance", Team="red")
    assert code(lambda: ann.client().run_instances(**run, **tags)) == "UnauthorizedOperation"
    created = {"StringEquals": {"ec2:CreateAction": "RunInstances", "aws:RequestTag/Team": "red"}}
    iam.put_user_policy(
        UserName="ann", PolicyName="tags", PolicyDocument=document(Action="ec2:CreateTags", Condition=created)
    )
    made = ann.client().run_instances(**run, **tags)["Instances"][0]["InstanceId"]
    blue = {"Resources": [made], "Tags": [{"Key": "Team", "Value": "blue"}]}
    assert code(lambda: ann.client().create_tags(**blue)) == "UnauthorizedOperation"


def test_a_launch_is_limited_by_type_and_region(cloud: TestedCloud) -> None:
    small = {"StringEquals": {"ec2:InstanceType": "t2.nano"}}
    ann = user(cloud, "ann", ALLOW)
    denial = document(
        "Deny",
        Action="ec2:RunInstances",
        Resource="arn:aws:ec2:*:*:instance/*",
        Condition={"StringNotEquals": small["StringEquals"]},
    )
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="small", PolicyDocument=denial)
    run = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1}
    assert code(lambda: ann.client().run_instances(**run, InstanceType="m1.small")) == "UnauthorizedOperation"
    ann.client().run_instances(**run, InstanceType="t2.nano")
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}
    cloud.client("iam").put_user_policy(
        UserName="ann", PolicyName="region", PolicyDocument=document("Deny", Condition=elsewhere)
    )
    ann.client().describe_vpcs()


def needs(cloud: TestedCloud, action: str, parts: list[str], ask: Any) -> None:
    """The action is allowed by all of these ARNs, and by no fewer."""
    ann, iam = user(cloud, "ann"), cloud.client("iam")
    for missing in range(len(parts)):
        those = [f"arn:aws:ec2:*:*:{part}" for number, part in enumerate(parts) if number != missing]
        put = document(Action=f"ec2:{action}", Resource=those or ["arn:aws:ec2:*:*:nothing/*"])
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=put)
        assert code(lambda: ask(ann.client(), DryRun=True)) == "UnauthorizedOperation", parts[missing]
    whole = document(Action=f"ec2:{action}", Resource=[f"arn:aws:ec2:*:*:{part}" for part in parts])
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=whole)
    assert code(lambda: ask(ann.client(), DryRun=True)) == "DryRunOperation"
    iam.delete_user_policy(UserName="ann", PolicyName="p")
    iam.delete_access_key(
        UserName="ann", AccessKeyId=iam.list_access_keys(UserName="ann")["AccessKeyMetadata"][0]["AccessKeyId"]
    )
    iam.delete_user(UserName="ann")


def test_snapshots_and_images_need_what_they_are_made_of_and_what_they_make(cloud: TestedCloud, ec2: Any) -> None:
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}
    guest = launched(cloud, BlockDeviceMappings=[data])
    disks = ec2.describe_instances(InstanceIds=[guest])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    root, more = (disk["Ebs"]["VolumeId"] for disk in disks)
    of = {"InstanceSpecification": {"InstanceId": guest}}
    kept = ["snapshot/*", f"instance/{guest}", f"volume/{root}"]
    needs(cloud, "CreateSnapshots", [*kept, f"volume/{more}"], lambda ec2, **dry: ec2.create_snapshots(**of, **dry))
    without = {"InstanceSpecification": {"InstanceId": guest, "ExcludeDataVolumeIds": [more]}}
    needs(cloud, "CreateSnapshots", kept, lambda ec2, **dry: ec2.create_snapshots(**without, **dry))
    parts = ["image/*", "snapshot/*", f"instance/{guest}"]
    needs(cloud, "CreateImage", parts, lambda ec2, **dry: ec2.create_image(InstanceId=guest, Name="made", **dry))
    image = ec2.create_image(InstanceId=guest, Name="made")["ImageId"]
    cloud.settle()
    copy = {"Name": "copy", "SourceRegion": "us-east-1"}
    ask = {**copy, "SourceImageId": image}
    needs(cloud, "CopyImage", ["image/*", "snapshot/*"], lambda ec2, **dry: ec2.copy_image(**ask, **dry))
    plain = {**copy, "SourceImageId": cloud.image}
    needs(cloud, "CopyImage", ["image/*"], lambda ec2, **dry: ec2.copy_image(**plain, **dry))


def test_tags_of_the_snapshots_of_an_image_need_their_own_permission(cloud: TestedCloud, ec2: Any) -> None:
    guest, ann = launched(cloud), user(cloud, "ann", document(Action=["ec2:CreateImage", "ec2:CreateSnapshots"]))
    tags = {"Tags": [{"Key": "Team", "Value": "red"}]}
    made = {"InstanceId": guest, "Name": "made", "DryRun": True}
    specs = [{"ResourceType": kind, **tags} for kind in ("image", "snapshot")]
    created = {"StringEquals": {"ec2:CreateAction": "CreateImage"}}
    allowed = document(Action="ec2:CreateTags", Resource="arn:aws:ec2:*::image/*", Condition=created)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="tags", PolicyDocument=allowed)
    assert code(lambda: ann.client().create_image(**made, TagSpecifications=specs[:1])) == "DryRunOperation"
    assert code(lambda: ann.client().create_image(**made, TagSpecifications=specs)) == "UnauthorizedOperation"
    several = {"InstanceSpecification": {"InstanceId": guest}, "DryRun": True, "TagSpecifications": specs[1:]}
    assert code(lambda: ann.client().create_snapshots(**several)) == "UnauthorizedOperation"


def test_a_snapshot_is_allowed_by_the_volume_that_it_is_taken_of(cloud: TestedCloud, ec2: Any) -> None:
    first, other = (ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"] for _ in range(2))
    cloud.settle()
    parent = {"ArnLike": {"ec2:ParentVolume": f"arn:aws:ec2:*:*:volume/{first}"}}
    ann = user(cloud, "ann", document(Action="ec2:CreateSnapshot", Resource="arn:aws:ec2:*:*:volume/*"))
    put = document(Action="ec2:CreateSnapshot", Resource="arn:aws:ec2:*::snapshot/*", Condition=parent)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="one", PolicyDocument=put)
    ann.client().create_snapshot(VolumeId=first)
    assert code(lambda: ann.client().create_snapshot(VolumeId=other)) == "UnauthorizedOperation"


def test_a_policy_speaks_of_encryption_as_it_will_be(cloud: TestedCloud) -> None:
    ann, root = user(cloud, "ann", ALLOW), {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}
    condition = {"Bool": {"ec2:Encrypted": "false"}}
    denial = document("Deny", Action="ec2:*", Condition=condition)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=denial)
    ec2, theirs, zone = cloud.client(), ann.client(), {"AvailabilityZone": "us-east-1a", "Size": 1}
    launch = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1}
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}
    old = ec2.create_volume(**zone)["VolumeId"]
    assert code(lambda: theirs.create_volume(**zone)) == "UnauthorizedOperation"
    assert code(lambda: theirs.run_instances(**launch)) == "UnauthorizedOperation"
    assert code(lambda: theirs.run_instances(**launch, BlockDeviceMappings=[root, data])) == "UnauthorizedOperation"
    theirs.run_instances(**launch, BlockDeviceMappings=[root])
    made = theirs.create_volume(**zone, Encrypted=True)["VolumeId"]
    cloud.settle()
    snapshot = theirs.create_snapshot(VolumeId=made)["SnapshotId"]
    assert code(lambda: theirs.create_snapshot(VolumeId=old)) == "UnauthorizedOperation"
    theirs_too = ec2.create_snapshot(VolumeId=old)["SnapshotId"]
    cloud.settle()
    data["Ebs"] = {"SnapshotId": snapshot}
    theirs.run_instances(**launch, BlockDeviceMappings=[root, data])
    assert theirs.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot)["Encrypted"]
    copy = {"SourceRegion": "us-east-1", "SourceSnapshotId": theirs_too}
    assert code(lambda: theirs.copy_snapshot(**copy)) == "UnauthorizedOperation"
    theirs.copy_snapshot(**copy, Encrypted=True)
    ec2.enable_ebs_encryption_by_default()
    theirs.run_instances(**launch)
    assert theirs.create_volume(**zone)["Encrypted"]


def test_a_policy_speaks_of_the_volumes_that_an_image_has(cloud: TestedCloud) -> None:
    ann, condition = user(cloud, "ann", ALLOW), {"NumericGreaterThan": {"ec2:VolumeSize": "4"}}
    denial = document("Deny", Action="ec2:*", Condition=condition)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=denial)
    ec2, theirs, launch = cloud.client(), ann.client(), {"MinCount": 1, "MaxCount": 1}
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5}}]
    guest = launched(cloud, BlockDeviceMappings=data)
    image = ec2.create_image(InstanceId=guest, Name="large")["ImageId"]
    cloud.settle()
    assert code(lambda: theirs.run_instances(**launch, ImageId=image)) == "UnauthorizedOperation"
    theirs.run_instances(**launch, ImageId=cloud.image)
    (volume,) = (one["VolumeId"] for one in ec2.describe_volumes()["Volumes"] if one["Size"] == 5)
    assert code(lambda: theirs.create_snapshot(VolumeId=volume)) == "UnauthorizedOperation"


def test_a_denial_is_not_got_round_by_another_name(cloud: TestedCloud, ec2: Any) -> None:
    group = ec2.create_security_group(GroupName="web", Description="d")["GroupId"]
    allocation = ec2.allocate_address()
    ann, iam = user(cloud, "ann", ALLOW), cloud.client("iam")
    prefix = f"arn:aws:ec2:us-east-1:{cloud.admin.id}:"
    those = [f"{prefix}security-group/{group}", f"{prefix}elastic-ip/{allocation['AllocationId']}"]
    iam.put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=document("Deny", Resource=those))
    mine = ann.client()
    assert code(lambda: mine.delete_security_group(GroupId=group)) == "UnauthorizedOperation"
    assert code(lambda: mine.delete_security_group(GroupName="web")) == "UnauthorizedOperation"
    release = mine.release_address
    assert code(lambda: release(AllocationId=allocation["AllocationId"])) == "UnauthorizedOperation"
    assert code(lambda: release(PublicIp=allocation["PublicIp"])) == "UnauthorizedOperation"


def test_a_dry_run_says_whether_it_would_be_allowed(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann", document(Action="ec2:CreateKeyPair"))
    assert code(lambda: ann.client().create_key_pair(KeyName="k", DryRun=True)) == "DryRunOperation"
    assert code(lambda: ann.client().delete_key_pair(KeyName="k", DryRun=True)) == "UnauthorizedOperation"


def test_a_boundary_limits_a_user(cloud: TestedCloud) -> None:
    ann, iam = user(cloud, "ann", ALLOW), cloud.client("iam")
    arn = iam.create_policy(PolicyName="b", PolicyDocument=document(Action="ec2:Describe*"))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=arn)
    ann.client().describe_vpcs()
    assert "no permissions boundary allows" in message(lambda: ann.client().create_key_pair(KeyName="k"))


def test_where_a_request_comes_from_counts(cloud: TestedCloud) -> None:
    ann, iam = user(cloud, "ann"), cloud.client("iam")
    for source, allowed in (("127.0.0.0/8", True), ("203.0.113.0/24", False)):
        put = document(Condition={"IpAddress": {"aws:SourceIp": source}})
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=put)
        if allowed:
            ann.client().describe_vpcs()
        else:
            assert code(lambda: ann.client().describe_vpcs()) == "UnauthorizedOperation"


def test_a_user_manages_its_own_keys_alone(cloud: TestedCloud) -> None:
    own = document(Action="iam:*AccessKey*", Resource="arn:aws:iam::*:user/${aws:username}")
    ann = user(cloud, "ann", own)
    user(cloud, "bob")
    iam = ann.client("iam")
    assert len(iam.list_access_keys()["AccessKeyMetadata"]) == 1
    iam.create_access_key(UserName="ann")
    assert code(lambda: iam.create_access_key(UserName="bob")) == "AccessDenied"
    assert code(lambda: iam.list_access_keys(UserName="bob")) == "AccessDenied"
    assert code(lambda: iam.create_user(UserName="eve")) == "AccessDenied"


def test_the_roles_of_2012(cloud: TestedCloud) -> None:
    iam = cloud.client("iam")
    may = {
        "cloudadmin": ("describe", "key", "address"),
        "sysadmin": ("describe", "key"),
        "netadmin": ("describe", "key", "address"),
        "developer": ("describe", "key"),
        "itsec": ("describe",),
    }
    for role, allowed in may.items():
        one = user(cloud, role)
        iam.attach_user_policy(UserName=role, PolicyArn=f"arn:aws:iam::aws:policy/cumulet/{role}")
        client = one.client()
        tries = {
            "describe": client.describe_instances,
            "key": lambda: client.create_key_pair(KeyName="k", DryRun=True),  # noqa: B023
            "address": lambda: client.allocate_address(DryRun=True),  # noqa: B023
        }
        tries["describe"]()
        for what in ("key", "address"):
            expected = "DryRunOperation" if what in allowed else "UnauthorizedOperation"
            assert code(tries[what]) == expected, (role, what)


def test_who_changes_an_association_of_a_profile_needs_permission_for_its_instance(cloud: TestedCloud) -> None:
    first, second, iam = launched(cloud), launched(cloud), cloud.client("iam")
    iam.create_instance_profile(InstanceProfileName="empty")
    profile = {"IamInstanceProfile": {"Name": "empty"}}
    mine, other = (
        cloud.client().associate_iam_instance_profile(**profile, InstanceId=id)["IamInstanceProfileAssociation"]
        for id in (first, second)
    )
    arn = f"arn:aws:ec2:us-east-1:{cloud.admin.id}:instance/{first}"
    theirs = user(cloud, "ann", document(Action="ec2:*", Resource=arn)).client()
    replace, end = theirs.replace_iam_instance_profile_association, theirs.disassociate_iam_instance_profile
    assert code(lambda: end(AssociationId=other["AssociationId"])) == "UnauthorizedOperation"
    assert code(lambda: replace(AssociationId=other["AssociationId"], **profile)) == "UnauthorizedOperation"
    new = replace(AssociationId=mine["AssociationId"], **profile)["IamInstanceProfileAssociation"]
    end(AssociationId=new["AssociationId"])


def test_a_policy_speaks_of_the_profile_that_instances_are_to_have(cloud: TestedCloud) -> None:
    arns = {
        name: cloud.client("iam").create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
        for name in ("web", "other")
    }
    wrong = {"ArnNotEquals": {"ec2:InstanceProfile": arns["web"]}}
    ann = user(cloud, "ann", ALLOW)
    denial = document("Deny", Action="ec2:RunInstances", Resource="arn:aws:ec2:*:*:instance/*", Condition=wrong)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="web", PolicyDocument=denial)
    run: dict[str, Any] = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1, "DryRun": True}

    def asked(**named: str) -> str:
        return str(code(lambda: ann.client().run_instances(**run, IamInstanceProfile=named)))

    assert (asked(Name="web"), asked(Arn=arns["web"])) == ("DryRunOperation",) * 2
    assert (asked(Name="other"), code(lambda: ann.client().run_instances(**run))) == ("UnauthorizedOperation",) * 2


def test_a_policy_speaks_of_whose_image_it_is(cloud: TestedCloud, ec2: Any) -> None:
    own = ec2.copy_image(SourceImageId=cloud.image, SourceRegion="us-east-1", Name="own")["ImageId"]
    ann, run = user(cloud, "ann", ALLOW), {"MinCount": 1, "MaxCount": 1, "DryRun": True}
    others = {"StringNotEquals": {"ec2:Owner": "amazon"}}
    denial = document("Deny", Action="ec2:RunInstances", Resource="arn:aws:ec2:*::image/*", Condition=others)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="provided", PolicyDocument=denial)
    assert code(lambda: ann.client().run_instances(ImageId=cloud.image, **run)) == "DryRunOperation"
    assert code(lambda: ann.client().run_instances(ImageId=own, **run)) == "UnauthorizedOperation"


def test_a_policy_speaks_of_the_vpc_of_what_is_in_it(cloud: TestedCloud, ec2: Any) -> None:
    (net, *_) = ec2.describe_subnets()["Subnets"]
    (default,) = ec2.describe_security_groups()["SecurityGroups"]
    run = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1, "DryRun": True, "SubnetId": net["SubnetId"]}
    run |= {"SecurityGroupIds": [default["GroupId"]]}
    for vpc, wanted in ((net["VpcId"], "DryRunOperation"), ("vpc-0123456789abcdef0", "UnauthorizedOperation")):
        there = {"ArnEquals": {"ec2:Vpc": f"arn:aws:ec2:us-east-1:{cloud.admin.id}:vpc/{vpc}"}}
        parts = [f"arn:aws:ec2:*:*:{kind}/*" for kind in ("subnet", "security-group", "network-interface")]
        rest = [f"arn:aws:ec2:*:*:{kind}/*" for kind in ("image", "instance", "volume")]
        name = f"u-{vpc}"
        theirs = user(cloud, name, document(Action="ec2:RunInstances", Resource=parts, Condition=there)).client()
        more = document(Action="ec2:RunInstances", Resource=rest)
        cloud.client("iam").put_user_policy(UserName=name, PolicyName="rest", PolicyDocument=more)
        assert code(lambda: theirs.run_instances(**run)) == wanted  # noqa: B023
