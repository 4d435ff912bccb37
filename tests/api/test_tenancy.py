"""Whatever of another account is named, the answer is that for what is not there; and nothing happens to it.

Every action of the registry is asked by a second account, once with the first one's ids and names in all the places
that can hold one, and once with such as were never there.
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from support.identity import ALLOW, document, user
from support.refusals import code
from support.signed import sign
from support.tested_cloud import Account, TestedCloud

from cumulet.api.actions import ACTIONS
from cumulet.api.dispatch import answer
from cumulet.model import tables
from cumulet.wire.denials import JSON
from cumulet.wire.models import Model, Ref, load

TOLD_TO_ALL = {
    ("sts", "GetAccessKeyInfo"): "AWS tells everybody whose a key is",
}
FEW = {"InstanceType": "t2.micro"}
UNTIMED = ("work", "tag", "client_token")
TRUST = document(Principal={"Service": "ec2.amazonaws.com"}, Action="sts:AssumeRole", Resource=None)


class Scene:
    """An account with something of every kind, another that asks, and for each id one that was never there."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.cloud = TestedCloud(directory, database_url=database_url)
        self.owner, self.stranger = self.cloud.account("owner"), self.cloud.account("stranger")
        self.ids = self._things()
        self.cloud.settle()
        self.before = self.rows()

    def _things(self) -> dict[str, str]:
        """Kind of parameter to what the owner has."""
        ec2, iam = self.owner.client(), self.owner.client("iam")
        group = ec2.create_security_group(GroupName="theirs", Description="d")["GroupId"]
        key = ec2.create_key_pair(KeyName="theirs")["KeyPairId"]
        placement = ec2.create_placement_group(GroupName="theirs", Strategy="spread")["PlacementGroup"]["GroupId"]
        address = ec2.allocate_address()
        launch = {"ImageId": self.cloud.image, "MinCount": 1, "MaxCount": 1, "KeyName": "theirs"}
        made = ec2.run_instances(**launch, SecurityGroupIds=[group])["Instances"][0]
        self.cloud.settle()
        nic = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
        association = ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=made["InstanceId"])
        volume = ec2.describe_volumes()["Volumes"][0]["VolumeId"]
        rule = ec2.describe_security_group_rules()["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        ann = user(self.cloud, "theirs", ALLOW, of=self.owner)
        iam.create_group(GroupName="theirs")
        iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=TRUST)
        iam.create_instance_profile(InstanceProfileName="theirs")
        iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName="theirs")
        snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        images = self._image(ec2)
        template = ec2.create_launch_template(LaunchTemplateName="theirs", LaunchTemplateData=FEW)
        policy = iam.create_policy(PolicyName="theirs", PolicyDocument=ALLOW)["Policy"]["Arn"]
        return {
            "i-": made["InstanceId"],
            "vol-": volume,
            "sg-": group,
            "sgr-": rule,
            "key-": key,
            "pg-": placement,
            "eipalloc-": address["AllocationId"],
            "eipassoc-": association["AssociationId"],
            "eni-": nic,
            "subnet-": made["SubnetId"],
            "vpc-": made["VpcId"],
            "public": address["PublicIp"],
            "key": ann.key,
            **images,
            "snap-": snapshot,
            "lt-": template["LaunchTemplate"]["LaunchTemplateId"],
            "dopt-": ec2.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"],
            "igw-": ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
            "rtb-": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
            "eni-attach-": made["NetworkInterfaces"][0]["Attachment"]["AttachmentId"],
            "profile": f"arn:aws:iam::{self.owner.id}:instance-profile/theirs",
            "policy": policy,
            "role": f"arn:aws:iam::{self.owner.id}:role/theirs",
            "user": f"arn:aws:iam::{self.owner.id}:user/theirs",
            "name": "theirs",
        }

    def _image(self, ec2: Any) -> dict[str, str]:
        """An image of the owner's own, as it came in, and as it goes out."""
        s3 = self.owner.client("s3")
        s3.create_bucket(Bucket="theirs")
        s3.put_object(Bucket="theirs", Key="disk", Body=bytes(1024))
        disk = {"Format": "RAW", "UserBucket": {"S3Bucket": "theirs", "S3Key": "disk"}}
        task = ec2.import_image(DiskContainers=[disk])["ImportTaskId"]
        image = ""
        while not image:
            self.cloud.pass_time(1)
            image = ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"][0].get("ImageId", "")
        self.cloud.settle()
        out = {"S3ExportLocation": {"S3Bucket": "theirs"}, "DiskImageFormat": "RAW"}
        return {
            "ami-": image,
            "import-ami-": task,
            "import-snap-": ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"],
            "export-ami-": ec2.export_image(ImageId=image, **out)["ExportImageTaskId"],
        }

    def rows(self) -> dict[str, list[Any]]:
        """All that the owner has, with what is not an effect left out: when a key was used."""
        found = {}
        with self.cloud.database.read() as tx:
            for table in tables.metadata.sorted_tables:
                if "account" not in table.c or table.name in UNTIMED:
                    continue
                columns = [column for column in table.c if not column.name.startswith("used")]
                mine = sa.select(*columns).where(table.c.account == self.owner.id)
                found[table.name] = sorted(tx.all(mine), key=str)
        return found

    def ask(self, who: Account, service: str, form: dict[str, str]) -> tuple[int, str]:
        """The status and the text of an answer, with what differs each time left out."""
        keys = Credentials(who.key, who.secret)
        content = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        body = urlencode({**form, "Version": load(service).metadata.api_version})
        request = sign(SigV4Auth(keys, service, self.cloud.config.region), body=body, **content)
        response = answer(self.cloud.database, self.cloud.config, self.cloud.cloud.ask, request)
        text = response.body.decode()
        return response.status, text.replace(response.request_id, "REQUEST")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Scene:
    return Scene(tmp_path_factory.mktemp("tenancy"), module_database)


def places(model: Model, ref: Ref, path: str, depth: int = 0) -> list[str]:
    """The names on the wire of all the texts that a parameter has room for, one of each list."""
    shape = model.shape(ref.shape)
    ec2 = model.metadata.protocol == "ec2"
    if depth > 6:
        return []
    if shape.type == "structure":
        found = []
        for name, inner in shape.members.items():
            found += places(
                model,
                inner,
                f"{path}.{wire_name(name, inner, ec2=ec2)}" if path else wire_name(name, inner, ec2=ec2),
                depth + 1,
            )
        return found
    if shape.type == "list":
        assert shape.member
        flat = ec2 or ref.flattened or shape.flattened
        return places(model, shape.member, f"{path}.1" if flat else f"{path}.member.1", depth + 1)
    return [path] if shape.type == "string" else []


def wire_name(name: str, ref: Ref, *, ec2: bool) -> str:
    if ec2:
        return ref.query_name or (ref.location_name[:1].upper() + ref.location_name[1:] if ref.location_name else name)
    return ref.location_name or name


KINDS = {
    "AccessKeyId": "key",
    "AllocationId": "eipalloc-",
    "Arn": "profile",
    "AssociatedSubnetId": "subnet-",
    "AssociationId": "eipassoc-",
    "AttachmentId": "eni-attach-",
    "DhcpOptionsId": "dopt-",
    "ExcludeDataVolumeId": "vol-",
    "ExportImageTaskId": "export-ami-",
    "ExportTaskId": "export-ami-",
    "Group": "sg-",
    "GroupId": "sg- pg-",
    "ImageId": "ami-",
    "ImportTaskId": "import-ami- import-snap-",
    "InstanceId": "i-",
    "InternetGatewayId": "igw-",
    "KernelId": "ami-",
    "KeyPairId": "key-",
    "LaunchTemplateId": "lt-",
    "LinkedGroupId": "pg-",
    "NetworkInterfaceId": "eni-",
    "ParentGroupId": "pg-",
    "PermissionsBoundary": "policy",
    "PolicyArn": "policy",
    "PolicySourceArn": "user role",
    "PublicIp": "public",
    "RamDiskId": "ami-",
    "RamdiskId": "ami-",
    "ReferencedGroupId": "sg-",
    "RoleArn": "role",
    "RouteTableId": "rtb-",
    "SecurityGroup": "sg- name",
    "SecurityGroupId": "sg-",
    "SecurityGroupRuleId": "sgr-",
    "SnapshotId": "snap-",
    "SourceImageId": "ami-",
    "SourceSnapshotId": "snap-",
    "SubnetId": "subnet-",
    "VolumeId": "vol-",
    "VpcId": "vpc-",
    "arn": "policy",
}
"""By the last part of a parameter's name: what of the owner's could stand there."""
NOBODYS = {
    *("AvailabilityZoneId", "DestinationAvailabilityZoneId", "ZoneId"),
    *("OwnerId", "ResourceOwner", "SourceSecurityGroupOwnerId", "UserId", "ExternalId", "VersionId", "CallerArn"),
    *("CapacityReservationId", "CapacityReservationResourceGroupArn", "HostId", "HostResourceGroupArn", "IpamPoolId"),
    *("KmsKeyId", "LicenseConfigurationArn", "MetricCategoryId", "OrganizationArn", "OrganizationalUnitArn"),
    *("DestinationOutpostArn", "OutpostArn", "PrefixListId", "ProviderArn", "SecondarySubnetId"),
    *("VpcPeeringConnectionId", "ResourceArn", "ContextKeyName"),
}
"""Those that name no thing of an account, or only things that are not in this cloud."""


def candidates(place: str, scene: Scene) -> list[str]:
    """What of the owner's could stand in a place, by its name."""
    last = last_of(place)
    if last in ("Resource", "ResourceId"):
        return [kind for kind in scene.ids if kind.endswith("-")]
    if last in KINDS:
        return KINDS[last].split()
    return ["name"] if last.endswith("Name") and not last.startswith(("New", "Device", "ContextKey")) else []


def last_of(place: str) -> str:
    return next(part for part in reversed(place.split(".")) if not part.isdigit() and part != "member")


def never_there(text: str, scene: Scene) -> str:
    """Something of the same form that was never there."""
    if text == scene.ids["public"]:
        return "198.51.100.254"
    if text.startswith("arn:"):
        return text.replace("theirs", "nobody")
    if text == "theirs":
        return "nobody"
    return re.sub("[0-9a-f]{8}$", "0badbeef", text) if "-" in text else "AKIA" + "A" * 16


VALUES = {
    "AssumeRolePolicyDocument": TRUST,
    "PolicyDocument": ALLOW,
    "Status": "Inactive",
    "Description": "d",
    "RoleSessionName": "session",
    "ActionNames.member.1": "ec2:RunInstances",
    "Tags.member.1.Key": "k",
    "Tags.member.1.Value": "v",
    "Tag.1.Key": "k",
    "TagKeys.member.1": "k",
    "SetAsDefault": "true",
    "VersionId": "v1",
    "Password": "a-long-password",
    "NewPath": "/taken/",
    "PolicyName": "its-own",
    "Attribute": "instanceType",
    "MinCount": "1",
    "MaxCount": "1",
    "Path": "/",
}
"""For what an action wants beside what it names."""


MADE = {("CreateLaunchTemplate", "LaunchTemplateName")}
"""Names of what will be: another one for each request."""


def form_of(service: str, name: str, scene: Scene, *, place: str, text: str) -> dict[str, str]:
    """A request that is whole but for what it names."""
    model = load(service)
    form = {"Action": name}
    for member, ref in model.input(name).members.items():
        for other in places(model, ref, wire_name(member, ref, ec2=service == "ec2")):
            last = other.rpartition(".")[2]
            if (name, other) in MADE:
                form[other] = f"own-{secrets.token_hex(8)}"
            elif other in VALUES or last == other and last in VALUES:
                form[other] = VALUES.get(other, VALUES.get(last, ""))
            elif member in model.input(name).required and (kinds := candidates(other, scene)) and "." not in other:
                form[other] = scene.ids[kinds[0]]
    return {**form, place: text}


def cases() -> list[tuple[str, str]]:
    return sorted(found for found in ACTIONS if found not in TOLD_TO_ALL and found[0] not in JSON)


@pytest.mark.parametrize(("service", "name"), cases())
def test_what_is_not_yours_is_not_there(scene: Scene, service: str, name: str) -> None:
    model = load(service)
    for member, ref in model.input(name).members.items():
        for place in places(model, ref, wire_name(member, ref, ec2=service == "ec2")):
            for kind in candidates(place, scene) if (name, place) not in MADE else []:
                yours, nowhere = scene.ids[kind], never_there(scene.ids[kind], scene)
                answers = []
                for text in (yours, nowhere):
                    form = form_of(service, name, scene, place=place, text=text)
                    if text == nowhere:
                        form = {key: nowhere if value == yours else value for key, value in form.items()}
                    status, said = scene.ask(scene.stranger, service, form)
                    answers.append((status, said.replace(text, "IT")))
                if answers[0][0] >= 300 or answers[1][0] >= 300:
                    assert answers[0] == answers[1], (place, yours)
                assert scene.owner.id not in answers[0][1], (place, answers[0])
    assert scene.rows() == scene.before


def test_no_parameter_that_names_a_thing_is_forgotten() -> None:
    named = {
        last_of(place)
        for service, name in cases()
        for member, ref in load(service).input(name).members.items()
        for place in places(load(service), ref, wire_name(member, ref, ec2=service == "ec2"))
    }
    ids = {one for one in named if one.endswith(("Id", "Arn"))} - {"Resource", "ResourceId"}
    assert ids - KINDS.keys() - NOBODYS == set()


def test_those_that_speak_json_know_of_ones_own_things_only(scene: Scene) -> None:
    """They name a request of one's own at most, and give lists."""
    assert sum(service in JSON for service, _ in ACTIONS) == 8
    asked = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "DesiredValue": 1e6}
    id = scene.owner.client("service-quotas").request_service_quota_increase(**asked)["RequestedQuota"]["Id"]
    theirs = scene.stranger.client("service-quotas")
    for one in (id, never_there(id, scene)):
        assert code(theirs.get_requested_service_quota_change, RequestId=one) == "NoSuchResourceException"
    assert theirs.list_requested_service_quota_change_history()["RequestedQuotas"] == []
    assert theirs.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]["Value"] < 1e6
    events = scene.stranger.client("cloudtrail").lookup_events()["Events"]
    assert {json.loads(one["CloudTrailEvent"])["recipientAccountId"] for one in events} == {scene.stranger.id}


def test_the_owner_is_answered(scene: Scene) -> None:
    """The test above would pass if all these ids were nonsense."""
    ec2, iam = scene.owner.client(), scene.owner.client("iam")
    assert ec2.describe_instances(InstanceIds=[scene.ids["i-"]])["Reservations"]
    assert ec2.describe_network_interfaces(NetworkInterfaceIds=[scene.ids["eni-"]])["NetworkInterfaces"]
    assert ec2.describe_images(ImageIds=[scene.ids["ami-"]])["Images"]
    assert ec2.describe_snapshots(SnapshotIds=[scene.ids["snap-"]])["Snapshots"]
    assert ec2.describe_launch_templates(LaunchTemplateIds=[scene.ids["lt-"]])["LaunchTemplates"]
    assert ec2.describe_export_image_tasks(ExportImageTaskIds=[scene.ids["export-ami-"]])["ExportImageTasks"]
    assert iam.get_user(UserName="theirs")["User"]["Arn"] == scene.ids["user"]
    assert iam.get_policy(PolicyArn=scene.ids["policy"])
