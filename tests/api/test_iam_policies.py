"""Managed and inline policies, their versions, boundaries, roles, profiles and tags over boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.identity import ALLOW, code, document, message, user
from support.operating import administer
from support.tested_cloud import TestedCloud

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
TRUST = document(Principal={"Service": "ec2.amazonaws.com"}, Action="sts:AssumeRole", Resource=None)


@pytest.fixture
def iam(cloud: TestedCloud) -> Any:
    return cloud.client("iam")


def test_a_policy_and_its_versions(cloud: TestedCloud, iam: Any) -> None:
    made = iam.create_policy(PolicyName="Look", Path="/team/", PolicyDocument=ALLOW, Description="All.")["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{cloud.admin.id}:policy/team/Look"
    assert (made["DefaultVersionId"], made["AttachmentCount"], made["IsAttachable"]) == ("v1", 0, True)
    assert code(lambda: iam.create_policy(PolicyName="look", PolicyDocument=ALLOW)) == "EntityAlreadyExists"
    second = document(Action="ec2:Describe*")
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=second)["PolicyVersion"]["VersionId"] == "v2"
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    found = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert found["Document"] == json.loads(second)
    assert found["IsDefaultVersion"]
    assert code(lambda: iam.delete_policy_version(PolicyArn=arn, VersionId="v2")) == "DeleteConflict"
    assert code(lambda: iam.delete_policy(PolicyArn=arn)) == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=second, SetAsDefault=True)
    assert code(lambda: iam.create_policy_version(PolicyArn=arn, PolicyDocument=second)) == "LimitExceeded"
    assert [one["VersionId"] for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == [
        "v6",
        "v5",
        "v4",
        "v3",
        "v2",
    ]


def test_a_policy_that_is_in_use_stays(iam: Any) -> None:
    arn = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW)["Policy"]["Arn"]
    iam.create_user(UserName="ann", PermissionsBoundary=arn)
    assert iam.get_user(UserName="ann")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    assert code(lambda: iam.delete_policy(PolicyArn=arn)) == "DeleteConflict"
    iam.delete_user_permissions_boundary(UserName="ann")
    iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    assert iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"][0]["UserName"] == "ann"
    assert code(lambda: iam.delete_policy(PolicyArn=arn)) == "DeleteConflict"
    iam.detach_user_policy(UserName="ann", PolicyArn=arn)
    assert code(lambda: iam.detach_user_policy(UserName="ann", PolicyArn=arn)) == "NoSuchEntity"
    iam.delete_policy(PolicyArn=arn)
    assert code(lambda: iam.get_policy(PolicyArn=arn)) == "NoSuchEntity"


def test_a_document_that_is_none_is_refused(iam: Any) -> None:
    assert code(lambda: iam.create_policy(PolicyName="p", PolicyDocument="{}")) == "MalformedPolicyDocument"
    iam.create_user(UserName="ann")
    put = iam.put_user_policy
    wrong = document(Action="RunInstances")
    assert code(lambda: put(UserName="ann", PolicyName="p", PolicyDocument=wrong)) == "MalformedPolicyDocument"
    long = document(Sid="a" * 3000)
    assert code(lambda: put(UserName="ann", PolicyName="p", PolicyDocument=long)) == "LimitExceeded"
    role = iam.create_role
    assert code(lambda: role(RoleName="r", AssumeRolePolicyDocument=ALLOW)) == "MalformedPolicyDocument"


def test_the_policies_that_all_accounts_have(iam: Any) -> None:
    names = {one["PolicyName"] for one in iam.list_policies(Scope="AWS", MaxItems=100)["Policies"]}
    assert names >= {"AdministratorAccess", "ReadOnlyAccess", "AmazonEC2FullAccess", "AmazonS3FullAccess"}
    assert names >= {"cloudadmin", "itsec", "sysadmin", "netadmin", "developer"}
    assert iam.list_policies(Scope="Local")["Policies"] == []
    iam.create_user(UserName="ann")
    iam.attach_user_policy(UserName="ann", PolicyArn=READ_ONLY)
    assert [one["Arn"] for one in iam.list_policies(OnlyAttached=True)["Policies"]] == [READ_ONLY]
    assert iam.list_attached_user_policies(UserName="ann")["AttachedPolicies"][0]["PolicyName"] == "ReadOnlyAccess"
    assert code(lambda: iam.delete_policy(PolicyArn=READ_ONLY)) == "AccessDenied"
    unknown = "arn:aws:iam::aws:policy/Nothing"
    assert code(lambda: iam.attach_user_policy(UserName="ann", PolicyArn=unknown)) == "NoSuchEntity"


def test_inline_policies(iam: Any) -> None:
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="p", PolicyDocument=ALLOW)
    assert iam.list_group_policies(GroupName="g")["PolicyNames"] == ["p"]
    assert iam.get_group_policy(GroupName="g", PolicyName="p")["PolicyDocument"] == json.loads(ALLOW)
    iam.delete_group_policy(GroupName="g", PolicyName="p")
    assert message(lambda: iam.get_group_policy(GroupName="g", PolicyName="p")) == (
        "The group policy with name p cannot be found."
    )


def test_roles_and_instance_profiles(cloud: TestedCloud, iam: Any) -> None:
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST, Description="For the app.")["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert (role["MaxSessionDuration"], role["Description"]) == (3600, "For the app.")
    iam.update_role(RoleName="app", MaxSessionDuration=7200)
    assert iam.get_role(RoleName="app")["Role"]["MaxSessionDuration"] == 7200
    profile = iam.create_instance_profile(InstanceProfileName="app")["InstanceProfile"]
    assert profile["Arn"] == f"arn:aws:iam::{cloud.admin.id}:instance-profile/app"
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    add = iam.add_role_to_instance_profile
    assert code(lambda: add(InstanceProfileName="app", RoleName="app")) == "LimitExceeded"
    assert iam.get_instance_profile(InstanceProfileName="app")["InstanceProfile"]["Roles"][0]["RoleName"] == "app"
    assert code(lambda: iam.delete_role(RoleName="app")) == "DeleteConflict"
    assert code(lambda: iam.delete_instance_profile(InstanceProfileName="app")) == "DeleteConflict"
    iam.remove_role_from_instance_profile(InstanceProfileName="app", RoleName="app")
    iam.delete_instance_profile(InstanceProfileName="app")
    iam.delete_role(RoleName="app")
    assert message(lambda: iam.get_role(RoleName="app")) == "The role with name app cannot be found."


def test_tags_differ_in_more_than_case(iam: Any) -> None:
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "Team", "Value": "red"}])
    iam.tag_role(RoleName="r", Tags=[{"Key": "TEAM", "Value": "blue"}, {"Key": "x", "Value": ""}])
    assert iam.list_role_tags(RoleName="r")["Tags"] == [{"Key": "TEAM", "Value": "blue"}, {"Key": "x", "Value": ""}]
    iam.untag_role(RoleName="r", TagKeys=["team"])
    assert iam.list_role_tags(RoleName="r")["Tags"] == [{"Key": "x", "Value": ""}]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    assert code(lambda: iam.tag_role(RoleName="r", Tags=twice)) == "InvalidInput"


def test_a_simulation_says_what_would_be_decided(cloud: TestedCloud, iam: Any) -> None:
    user(cloud, "ann", document(Action="ec2:Describe*"))
    iam.put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=document("Deny", Action="ec2:DescribeVpcs"))
    arn = f"arn:aws:iam::{cloud.admin.id}:user/ann"
    actions = ["ec2:DescribeInstances", "ec2:DescribeVpcs", "ec2:RunInstances"]
    told = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)["EvaluationResults"]
    assert [one["EvalDecision"] for one in told] == ["allowed", "explicitDeny", "implicitDeny"]
    assert told[1]["MatchedStatements"][0]["SourcePolicyId"] == "no"
    condition = {"StringEquals": {"ec2:Region": "here"}}
    custom = iam.simulate_custom_policy(
        PolicyInputList=[document(Condition=condition)],
        ActionNames=["ec2:RunInstances"],
        ContextEntries=[
            {"ContextKeyName": "ec2:Region", "ContextKeyValues": ["here"], "ContextKeyType": "string"},
        ],
    )["EvaluationResults"][0]
    assert custom["EvalDecision"] == "allowed"
    without = iam.simulate_custom_policy(PolicyInputList=[document(Condition=condition)], ActionNames=["s3:GetObject"])
    assert without["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"
    assert without["EvaluationResults"][0]["MissingContextValues"] == ["ec2:Region"]
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[document(Condition=condition)])
    assert keys["ContextKeyNames"] == ["ec2:Region"]
    assert told[0].get("OrganizationsDecisionDetail") is None
    other = cloud.account("other").client("iam")
    simulate = other.simulate_principal_policy
    assert code(lambda: simulate(PolicySourceArn=arn, ActionNames=actions)) == "NoSuchEntity"


def test_a_simulation_knows_whose_the_administration_of_the_cloud_is(cloud: TestedCloud) -> None:
    """What it says is what is decided: of the users of an administrator's account, and of others."""
    actions = ["cumulet:ListHosts", "CUMULET:ChangeHost", "ec2:RunInstances"]
    for who, decided in ((cloud.admin, ["allowed"] * 3), (cloud.account("bob"), ["implicitDeny"] * 2 + ["allowed"])):
        iam = who.client("iam")
        eve = user(cloud, "eve", of=who)
        iam.attach_user_policy(UserName="eve", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        arn = f"arn:aws:iam::{who.id}:user/eve"
        told = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)["EvaluationResults"]
        assert [one["EvalDecision"] for one in told] == decided
        every = [document(Action="*")]
        custom = iam.simulate_custom_policy(PolicyInputList=every, ActionNames=actions)["EvaluationResults"]
        assert [one["EvalDecision"] for one in custom] == decided
        from_above = [one.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True) for one in told]
        assert from_above == [verdict == "allowed" for verdict in decided]
        assert [bool(one["MatchedStatements"]) for one in told] == from_above
        assert administer(cloud, eve, "ListHosts")[0] == (200 if decided[0] == "allowed" else 403)
