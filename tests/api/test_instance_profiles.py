"""Instance profiles: whom an instance acts as, and the credentials that its guest is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from support.identity import ALLOW, code, document, message, user
from support.tested_cloud import Account, TestedCloud

from cumulet.agent.metadata import MetadataServer
from cumulet.agent.metadata_tree import find, tree
from cumulet.drivers.specs import InterfaceSpec, decode
from cumulet.lib.clock import Clock
from cumulet.model import secret, work

AWS = Path(sys.executable).with_name("aws")
TRUST = document(Principal={"Service": "ec2.amazonaws.com"}, Action="sts:AssumeRole", Resource=None)


class Later(Clock):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return super().now() + self.seconds


@pytest.fixture
def ec2(cloud: TestedCloud) -> Any:
    return cloud.client("ec2")


def with_role(cloud: TestedCloud, name: str, trust: str = TRUST) -> str:
    """A profile with a role of the same name, which may describe; gives the profile's ARN."""
    iam = cloud.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(Action="ec2:Describe*"))
    arn = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(arn)


def launch(cloud: TestedCloud, **more: Any) -> dict[str, Any]:
    made = cloud.client().run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, **more)["Instances"][0]
    cloud.settle()
    return dict(made)


def on_host(cloud: TestedCloud, instance: dict[str, Any]) -> InterfaceSpec:
    """The document that the host has of an instance's interface."""
    nic = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    for file in Path(cloud.config.state_dir).rglob(f"{nic}*"):
        spec = decode(json.dumps(json.loads(file.read_text())["spec"]).encode())
        assert isinstance(spec, InterfaceSpec)
        return spec
    raise AssertionError(f"no host has a document of {nic}")


def told(cloud: TestedCloud, instance: dict[str, Any], path: str) -> str | None:
    """What the metadata service answers at a path below meta-data, by that document."""
    spec = on_host(cloud, instance)
    assert spec.metadata is not None
    found = find(tree(spec, spec.metadata), ["meta-data", *path.split("/")])
    return found.decode() if found is not None else None


def guest(cloud: TestedCloud, instance: dict[str, Any], role: str) -> Account:
    """Who holds what the guest is told."""
    found = json.loads(told(cloud, instance, f"iam/security-credentials/{role}") or "")
    assert found["Code"] == "Success"
    holder = Account(cloud.url, cloud.config.region, found["AccessKeyId"], found["SecretAccessKey"], cloud.admin.id)
    holder.token = found["Token"]
    return holder


def test_a_guest_acts_as_the_role_of_its_profile(cloud: TestedCloud, ec2: Any) -> None:
    arn = with_role(cloud, "app")
    made = launch(cloud, IamInstanceProfile={"Name": "app"})
    assert made["IamInstanceProfile"]["Arn"] == arn
    info = json.loads(told(cloud, made, "iam/info") or "")
    assert (info["InstanceProfileArn"], info["Code"]) == (arn, "Success")
    assert told(cloud, made, "iam/security-credentials") == "app"
    inside = guest(cloud, made, "app")
    assert inside.client("sts").get_caller_identity()["Arn"] == (
        f"arn:aws:sts::{cloud.admin.id}:assumed-role/app/{made['InstanceId']}"
    )
    assert inside.client().describe_instances()["Reservations"]
    assert code(lambda: inside.client().create_key_pair(KeyName="k")) == "UnauthorizedOperation"
    association = ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"][0]
    assert (association["InstanceId"], association["State"]) == (made["InstanceId"], "associated")
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    cloud.settle()
    assert ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"] == []


def test_the_aws_command_of_a_guest_needs_no_configuration(cloud: TestedCloud, tmp_path: Path) -> None:
    with_role(cloud, "app")
    made = launch(cloud, IamInstanceProfile={"Name": "app"})
    server = MetadataServer(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # the guest is who asks from its own address: here the loopback's
        server.publish("cm-1", msgspec.structs.replace(on_host(cloud, made), ip="127.0.0.1"))
        server.serve("cm-1", listener)
        inside = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        inside |= {"AWS_ENDPOINT_URL": cloud.url, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        words = [str(AWS), "--region", cloud.config.region, "ec2", "describe-instances", "--output", "json"]
        try:
            done = subprocess.run(words, env=inside, capture_output=True, text=True, timeout=60)
        finally:
            server.stop()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Reservations"][0]["Instances"][0]["InstanceId"] == made["InstanceId"]


def test_credentials_are_made_anew_before_they_end(cloud: TestedCloud) -> None:
    with_role(cloud, "app")
    made = launch(cloud, IamInstanceProfile={"Name": "app"})
    first = guest(cloud, made, "app")
    for hours, same in ((4, True), (5.5, False)):
        cloud.database.clock = cloud.cloud.engine.clock = Later(hours * 3600)
        cloud.cloud.host.heartbeat.beat()
        with cloud.database.write() as tx:
            work.wake(tx, "sweep", "cloud")
        cloud.settle()
        assert (guest(cloud, made, "app").key == first.key) is same


def test_a_guest_gets_other_credentials_when_the_cloud_has_another_key(cloud: TestedCloud) -> None:
    arn = with_role(cloud, "turned")
    instance = launch(cloud, IamInstanceProfile={"Arn": arn})
    before = guest(cloud, instance, "turned")
    keys = cloud.database.keys
    keys.add()
    with cloud.database.write() as tx:
        secret.seal_again(tx)
    keys.forget_older()
    cloud.settle()
    after = guest(cloud, instance, "turned")
    assert after.client("ec2").describe_instances()["Reservations"]
    with pytest.raises(ClientError):
        before.client("ec2").describe_instances()


def test_a_profile_is_given_changed_and_taken_away(cloud: TestedCloud, ec2: Any) -> None:
    with_role(cloud, "one")
    with_role(cloud, "two")
    made = launch(cloud)
    assert told(cloud, made, "iam") is None
    associate = ec2.associate_iam_instance_profile
    given = {"IamInstanceProfile": {"Name": "one"}, "InstanceId": made["InstanceId"]}
    first = associate(**given)["IamInstanceProfileAssociation"]["AssociationId"]
    assert code(lambda: associate(**given)) == "IncorrectState"
    cloud.settle()
    assert told(cloud, made, "iam/security-credentials") == "one"
    replace = ec2.replace_iam_instance_profile_association
    second = replace(IamInstanceProfile={"Name": "two"}, AssociationId=first)["IamInstanceProfileAssociation"]
    cloud.settle()
    assert told(cloud, made, "iam/security-credentials") == "two"
    assert code(lambda: ec2.disassociate_iam_instance_profile(AssociationId=first)) == "InvalidAssociationID.NotFound"
    ec2.disassociate_iam_instance_profile(AssociationId=second["AssociationId"])
    cloud.settle()
    assert told(cloud, made, "iam") is None
    last = associate(**given)["IamInstanceProfileAssociation"]["AssociationId"]
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    assert code(lambda: ec2.disassociate_iam_instance_profile(AssociationId=last)) == "InvalidAssociationID.NotFound"


def test_a_role_that_does_not_trust_ec2_gives_no_credentials(cloud: TestedCloud) -> None:
    other = document(Principal={"AWS": cloud.admin.id}, Action="sts:AssumeRole", Resource=None)
    with_role(cloud, "app", other)
    made = launch(cloud, IamInstanceProfile={"Name": "app"})
    assert told(cloud, made, "iam/security-credentials") is None
    cloud.client("iam").update_assume_role_policy(RoleName="app", PolicyDocument=TRUST)
    cloud.settle()
    assert told(cloud, made, "iam/security-credentials") == "app"
    iam = cloud.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName="app", RoleName="app")
    cloud.settle()
    assert told(cloud, made, "iam/security-credentials") is None


def test_nobody_passes_a_role_that_may_not(cloud: TestedCloud) -> None:
    with_role(cloud, "app")
    ann = user(cloud, "ann", document(Action=["ec2:*"]))
    run = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1, "IamInstanceProfile": {"Name": "app"}}
    assert "iam:PassRole" in message(lambda: ann.client().run_instances(**run))
    first, other = launch(cloud)["InstanceId"], launch(cloud)["InstanceId"]
    one = {"ArnLike": {"iam:AssociatedResourceArn": f"arn:aws:ec2:*:*:instance/{first}"}}
    put = document(Action="iam:PassRole", Condition=one)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="pass", PolicyDocument=put)
    given = {"IamInstanceProfile": {"Name": "app"}}
    assert "iam:PassRole" in message(lambda: ann.client().associate_iam_instance_profile(**given, InstanceId=other))
    ann.client().associate_iam_instance_profile(**given, InstanceId=first)
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="pass", PolicyDocument=ALLOW)
    ann.client().run_instances(**run)


def test_a_profile_that_is_not_there_is_refused(cloud: TestedCloud, ec2: Any) -> None:
    with_role(cloud, "app")
    run = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1}
    wrong = f"arn:aws:iam::{cloud.account('other').id}:instance-profile/app"
    for named in ({"Name": "none"}, {"Arn": wrong}):
        assert code(lambda: ec2.run_instances(**run, IamInstanceProfile=named)) == "InvalidParameterValue"  # noqa: B023
