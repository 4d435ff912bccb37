"""Temporary credentials over boto3: of a role, of oneself, of somebody else."""

from __future__ import annotations

from typing import Any

import pytest
from support.identity import ALLOW, code, document, message, session, user
from support.tested_cloud import TestedCloud

from cumulet.lib.clock import Clock


def trust(*principals: str, **more: Any) -> str:
    return document(Principal={"AWS": list(principals)}, Action="sts:AssumeRole", Resource=None, **more)


@pytest.fixture
def iam(cloud: TestedCloud) -> Any:
    return cloud.client("iam")


class Later(Clock):
    """The real time, so many seconds on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return super().now() + self.seconds


def test_a_role_is_assumed_by_whom_it_trusts(cloud: TestedCloud, iam: Any) -> None:
    ann = user(cloud, "ann")
    arn = f"arn:aws:iam::{cloud.admin.id}:role/app"
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{cloud.admin.id}:user/ann"))
    iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess")
    answer = ann.client("sts").assume_role(RoleArn=arn, RoleSessionName="work")
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{cloud.admin.id}:assumed-role/app/work"
    app = session(cloud, answer)
    identity = app.client("sts").get_caller_identity()
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert app.client().describe_instances()["Reservations"] == []
    assert code(lambda: app.client().create_key_pair(KeyName="k")) == "UnauthorizedOperation"
    bob = user(cloud, "bob", ALLOW)
    said = f"User: arn:aws:iam::{cloud.admin.id}:user/bob is not authorized to perform: sts:AssumeRole on resource: "
    assert message(lambda: bob.client("sts").assume_role(RoleArn=arn, RoleSessionName="work")) == said + arn
    missing = f"{arn}-that-is-not-there"
    assert (
        message(lambda: bob.client("sts").assume_role(RoleArn=missing, RoleSessionName="x-session")) == said + missing
    )
    assert code(lambda: cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="work")) == "AccessDenied"


def test_a_role_of_another_account_needs_both(cloud: TestedCloud, iam: Any) -> None:
    other = cloud.account("other")
    arn = f"arn:aws:iam::{cloud.admin.id}:role/shared"
    condition = {"StringEquals": {"sts:ExternalId": "secret-word"}}
    iam.create_role(RoleName="shared", AssumeRolePolicyDocument=trust(other.id, Condition=condition))
    iam.attach_role_policy(RoleName="shared", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    eve = user(cloud, "eve", of=other)
    ask = eve.client("sts").assume_role
    assert code(lambda: ask(RoleArn=arn, RoleSessionName="eve", ExternalId="secret-word")) == "AccessDenied"
    allow = document(Action="sts:AssumeRole", Resource=arn)
    other.client("iam").put_user_policy(UserName="eve", PolicyName="p", PolicyDocument=allow)
    assert code(lambda: ask(RoleArn=arn, RoleSessionName="eve")) == "AccessDenied"
    shared = session(cloud, ask(RoleArn=arn, RoleSessionName="eve", ExternalId="secret-word"))
    assert shared.client("sts").get_caller_identity()["Account"] == cloud.admin.id


def test_a_session_policy_takes_away(cloud: TestedCloud, iam: Any) -> None:
    ann = user(cloud, "ann")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{cloud.admin.id}:user/ann"))
    iam.put_role_policy(RoleName="app", PolicyName="all", PolicyDocument=ALLOW)
    ask, arn = ann.client("sts").assume_role, f"arn:aws:iam::{cloud.admin.id}:role/app"
    answer = ask(RoleArn=arn, RoleSessionName="s-session", Policy=document(Action="ec2:DescribeVpcs"))
    assert 0 < answer["PackedPolicySize"] < 100
    limited = session(cloud, answer).client()
    limited.describe_vpcs()
    assert code(lambda: limited.describe_subnets()) == "UnauthorizedOperation"
    assert "no session policy allows" in message(lambda: limited.describe_subnets())
    managed = ask(
        RoleArn=arn, RoleSessionName="s-session", PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}]
    )
    assert code(lambda: session(cloud, managed).client().describe_vpcs()) == "UnauthorizedOperation"
    long = document(Sid="a" * 2100)
    assert code(lambda: ask(RoleArn=arn, RoleSessionName="s-session", Policy=long)) == "PackedPolicyTooLarge"


def test_a_session_ends(cloud: TestedCloud) -> None:
    cloud.database.clock = Later(-800)  # boto3 signs with the true time, which may differ by a quarter of an hour
    held = session(cloud, cloud.client("sts").get_session_token(DurationSeconds=900))
    cloud.database.clock = Later(0)
    assert held.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{cloud.admin.id}:root"
    held.client().describe_vpcs()
    cloud.database.clock = Later(150)
    assert code(lambda: held.client("sts").get_caller_identity()) == "ExpiredToken"
    assert code(lambda: held.client().describe_vpcs()) == "RequestExpired"


def test_a_token_that_was_changed_is_none(cloud: TestedCloud) -> None:
    sts = cloud.client("sts")
    first, second = session(cloud, sts.get_session_token()), session(cloud, sts.get_session_token())
    assert first.token and second.token
    first.token, kept = second.token, first.token
    assert code(lambda: first.client("sts").get_caller_identity()) == "InvalidClientTokenId"
    first.token = kept[:-8] + ("AAAAAAA=" if kept[-8:] != "AAAAAAA=" else "BBBBBBB=")
    assert code(lambda: first.client("sts").get_caller_identity()) == "InvalidClientTokenId"
    first.token = None
    assert code(lambda: first.client("sts").get_caller_identity()) == "InvalidClientTokenId"


def test_a_role_that_is_gone_has_no_sessions(cloud: TestedCloud, iam: Any) -> None:
    ann = user(cloud, "ann")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{cloud.admin.id}:user/ann"))
    arn = f"arn:aws:iam::{cloud.admin.id}:role/app"
    app = session(cloud, ann.client("sts").assume_role(RoleArn=arn, RoleSessionName="s-session"))
    app.client("sts").get_caller_identity()
    iam.delete_role(RoleName="app")
    assert code(lambda: app.client("sts").get_caller_identity()) == "InvalidClientTokenId"


def test_a_federated_user_may_what_both_may(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann", document(Action=["ec2:Describe*", "sts:GetFederationToken"]))
    sts = ann.client("sts")
    answer = sts.get_federation_token(Name="guest", Policy=document(Action=["ec2:DescribeVpcs", "ec2:CreateTags"]))
    assert answer["FederatedUser"]["Arn"] == f"arn:aws:sts::{cloud.admin.id}:federated-user/guest"
    guest = session(cloud, answer)
    guest.client().describe_vpcs()
    assert code(lambda: guest.client().describe_subnets()) == "UnauthorizedOperation"
    assert code(lambda: guest.client("iam").list_users()) == "AccessDenied"
    assert code(lambda: guest.client("sts").get_session_token()) == "AccessDenied"
    nothing = session(cloud, sts.get_federation_token(Name="guest"))
    assert code(lambda: nothing.client().describe_vpcs()) == "UnauthorizedOperation"
    assert nothing.client("sts").get_caller_identity()["UserId"] == f"{cloud.admin.id}:guest"


def test_session_tags_are_passed_on(cloud: TestedCloud, iam: Any) -> None:
    ann = user(cloud, "ann", ALLOW)
    both: Any = {"Principal": {"AWS": cloud.admin.id}, "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": None}
    iam.create_role(RoleName="first", AssumeRolePolicyDocument=document(**both))
    iam.create_role(RoleName="second", AssumeRolePolicyDocument=document(**both))
    iam.put_role_policy(RoleName="first", PolicyName="all", PolicyDocument=ALLOW)
    red = {"StringEquals": {"aws:PrincipalTag/Team": "red"}}
    iam.put_role_policy(RoleName="second", PolicyName="red", PolicyDocument=document(Condition=red))
    role = f"arn:aws:iam::{cloud.admin.id}:role/"
    tags = {"Tags": [{"Key": "Team", "Value": "red"}], "TransitiveTagKeys": ["Team"]}
    first = session(cloud, ann.client("sts").assume_role(RoleArn=role + "first", RoleSessionName="a-session", **tags))
    second = session(cloud, first.client("sts").assume_role(RoleArn=role + "second", RoleSessionName="b-session"))
    second.client().describe_vpcs()
    chained = first.client("sts").assume_role
    ask = {"RoleArn": role + "second", "RoleSessionName": "b-session", "DurationSeconds": 7200}
    assert code(lambda: chained(**ask)) == "ValidationError"


def test_whose_a_key_is(cloud: TestedCloud) -> None:
    other = cloud.account("other")
    sts = cloud.client("sts")
    assert sts.get_access_key_info(AccessKeyId=other.key)["Account"] == other.id
    held = session(cloud, other.client("sts").get_session_token())
    assert sts.get_access_key_info(AccessKeyId=held.key)["Account"] == other.id


def test_a_refusal_of_ec2_can_be_read_by_its_account(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann", document(Action="sts:*"))
    encoded = message(lambda: ann.client().create_key_pair(KeyName="k")).rpartition(" ")[2]
    decoded = ann.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    assert '"action": "ec2:CreateKeyPair"' in decoded
    other = cloud.account("other").client("sts")
    wrong = "InvalidAuthorizationMessageException"
    assert code(lambda: other.decode_authorization_message(EncodedMessage=encoded)) == wrong
    assert code(lambda: other.decode_authorization_message(EncodedMessage="nonsense")) == wrong
