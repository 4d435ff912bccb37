"""Users, groups and their keys over boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from support.identity import ALLOW, code, document, message, user
from support.tested_cloud import TestedCloud

from cumulet.model import tables


@pytest.fixture
def iam(cloud: TestedCloud) -> Any:
    return cloud.client("iam")


def test_a_user_is_made_changed_and_taken_away(cloud: TestedCloud, iam: Any) -> None:
    made = iam.create_user(UserName="Ann", Path="/team/", Tags=[{"Key": "Team", "Value": "red"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{cloud.admin.id}:user/team/Ann"
    assert made["UserId"].startswith("AIDA")
    assert len(made["UserId"]) == 21
    assert iam.get_user(UserName="ann")["User"] == made
    assert code(lambda: iam.create_user(UserName="ANN")) == "EntityAlreadyExists"
    iam.update_user(UserName="Ann", NewUserName="Anna", NewPath="/")
    assert [one["Arn"] for one in iam.list_users()["Users"]] == [f"arn:aws:iam::{cloud.admin.id}:user/Anna"]
    assert iam.list_users(PathPrefix="/team/")["Users"] == []
    iam.delete_user(UserName="Anna")
    assert code(lambda: iam.get_user(UserName="Anna")) == "NoSuchEntity"
    assert message(lambda: iam.get_user(UserName="Anna")) == "The user with name Anna cannot be found."


def test_names_are_checked_by_the_model(iam: Any) -> None:
    assert code(lambda: iam.create_user(UserName="a b")) == "ValidationError"
    said = message(lambda: iam.create_user(UserName="a b", Path="nowhere"))
    assert said.startswith("2 validation errors detected: Value 'a b' at 'userName' failed to satisfy constraint")
    assert "Value 'nowhere' at 'path'" in said
    assert r"Member must satisfy regular expression pattern: [\w+=,.@-]+" in said


def test_a_user_has_two_keys_which_can_be_switched_off(cloud: TestedCloud, iam: Any) -> None:
    ann = user(cloud, "ann", ALLOW)
    ann.client("sts").get_caller_identity()
    second = iam.create_access_key(UserName="ann")["AccessKey"]
    assert code(lambda: iam.create_access_key(UserName="ann")) == "LimitExceeded"
    assert message(lambda: iam.create_access_key(UserName="ann")) == "Cannot exceed quota for AccessKeysPerUser: 2"
    assert {one["AccessKeyId"] for one in iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]} == {
        ann.key,
        second["AccessKeyId"],
    }
    iam.update_access_key(UserName="ann", AccessKeyId=ann.key, Status="Inactive")
    assert code(lambda: ann.client("sts").get_caller_identity()) == "InvalidClientTokenId"
    iam.update_access_key(UserName="ann", AccessKeyId=ann.key, Status="Active")
    assert ann.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{cloud.admin.id}:user/ann"
    used = iam.get_access_key_last_used(AccessKeyId=ann.key)
    assert used["UserName"] == "ann"
    assert used["AccessKeyLastUsed"]["ServiceName"] == "sts"
    iam.delete_access_key(UserName="ann", AccessKeyId=ann.key)
    assert code(lambda: ann.client("sts").get_caller_identity()) == "InvalidClientTokenId"
    assert code(lambda: iam.delete_access_key(UserName="ann", AccessKeyId=ann.key)) == "NoSuchEntity"


def test_a_secret_rests_sealed(cloud: TestedCloud) -> None:
    with cloud.database.read() as tx:
        rows = tx.connection.exec_driver_sql("select secret from access_key").scalars().all()
    assert rows
    assert not any(cloud.admin.secret in row for row in rows)
    assert (cloud.config.state_dir / "secret.key").stat().st_mode & 0o777 == 0o600


def test_what_hangs_on_a_user_has_to_go_first(iam: Any) -> None:
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="g")
    steps: list[tuple[Any, Any, str]] = [
        (lambda: iam.create_access_key(UserName="ann"), None, "must delete access keys first."),
        (
            lambda: iam.create_login_profile(UserName="ann", Password="long-enough"),
            lambda: iam.delete_login_profile(UserName="ann"),
            "must delete login profile first.",
        ),
        (
            lambda: iam.add_user_to_group(UserName="ann", GroupName="g"),
            lambda: iam.remove_user_from_group(UserName="ann", GroupName="g"),
            "must remove users from group first.",
        ),
        (
            lambda: iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=ALLOW),
            lambda: iam.delete_user_policy(UserName="ann", PolicyName="p"),
            "must delete policies first.",
        ),
        (
            lambda: iam.attach_user_policy(UserName="ann", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"),
            lambda: iam.detach_user_policy(UserName="ann", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"),
            "must detach all policies first.",
        ),
    ]
    for hang, take, said in steps:
        made = hang()
        assert code(lambda: iam.delete_user(UserName="ann")) == "DeleteConflict"
        assert message(lambda: iam.delete_user(UserName="ann")) == f"Cannot delete entity, {said}"
        if take is not None:
            take()
        else:
            iam.delete_access_key(UserName="ann", AccessKeyId=made["AccessKey"]["AccessKeyId"])
    iam.delete_user(UserName="ann")


def test_a_group_gives_its_users_what_it_may(cloud: TestedCloud, iam: Any) -> None:
    ann = user(cloud, "ann")
    iam.create_group(GroupName="readers")
    iam.attach_group_policy(GroupName="readers", PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess")
    assert code(lambda: ann.client().describe_instances()) == "UnauthorizedOperation"
    iam.add_user_to_group(GroupName="readers", UserName="ann")
    assert ann.client().describe_instances()["Reservations"] == []
    assert [one["UserName"] for one in iam.get_group(GroupName="readers")["Users"]] == ["ann"]
    assert [one["GroupName"] for one in iam.list_groups_for_user(UserName="ann")["Groups"]] == ["readers"]
    assert code(lambda: iam.delete_group(GroupName="readers")) == "DeleteConflict"
    iam.remove_user_from_group(GroupName="readers", UserName="ann")
    assert code(lambda: ann.client().describe_instances()) == "UnauthorizedOperation"


def test_lists_come_in_pages(iam: Any) -> None:
    names = [f"user-{number:02}" for number in range(25)]
    for name in names:
        iam.create_user(UserName=name)
    pages = list(iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 10}))
    assert [len(page["Users"]) for page in pages] == [10, 10, 5]
    assert [one["UserName"] for page in pages for one in page["Users"]] == names
    assert code(lambda: iam.list_users(Marker="%%%")) == "ValidationError"


def test_passwords_are_as_the_account_asks(cloud: TestedCloud, iam: Any) -> None:
    assert code(lambda: iam.get_account_password_policy()) == "NoSuchEntity"
    iam.update_account_password_policy(MinimumPasswordLength=12, RequireNumbers=True)
    assert iam.get_account_password_policy()["PasswordPolicy"]["MinimumPasswordLength"] == 12
    ann = user(cloud, "ann", ALLOW)
    assert (
        code(lambda: iam.create_login_profile(UserName="ann", Password="no-number-here")) == "PasswordPolicyViolation"
    )
    iam.create_login_profile(UserName="ann", Password="one-number-1here")
    with cloud.database.read() as tx:
        kept = [row for table in tables.metadata.sorted_tables for row in tx.all(sa.select(table))]
    assert "one-number" not in repr(kept)
    change = ann.client("iam").change_password
    assert code(lambda: change(OldPassword="wrong", NewPassword="another-number-2")) == "AccessDenied"
    change(OldPassword="one-number-1here", NewPassword="another-number-2")
    assert not iam.get_login_profile(UserName="ann")["LoginProfile"]["PasswordResetRequired"]


def test_the_account_has_an_alias_and_a_summary(cloud: TestedCloud, iam: Any) -> None:
    iam.create_account_alias(AccountAlias="our-cloud")
    assert iam.list_account_aliases()["AccountAliases"] == ["our-cloud"]
    other = cloud.account("other").client("iam")
    assert code(lambda: other.create_account_alias(AccountAlias="our-cloud")) == "EntityAlreadyExists"
    iam.create_user(UserName="ann")
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["Users"], summary["UsersQuota"], summary["AccessKeysPerUserQuota"]) == (1, 5000, 2)
    iam.delete_account_alias(AccountAlias="our-cloud")
    assert iam.list_account_aliases()["AccountAliases"] == []


def test_mfa_devices_are_refused_in_words(iam: Any) -> None:
    iam.create_user(UserName="ann")
    assert iam.list_mfa_devices(UserName="ann")["MFADevices"] == []
    assert "no MFA devices" in message(lambda: iam.create_virtual_mfa_device(VirtualMFADeviceName="phone"))


def test_everything_of_an_account_in_one_answer(cloud: TestedCloud, iam: Any) -> None:
    user(cloud, "ann", ALLOW)
    iam.create_group(GroupName="g")
    trust = document(Principal={"Service": "ec2.amazonaws.com"}, Action="sts:AssumeRole", Resource=None)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)
    iam.attach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    own = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW)["Policy"]["Arn"]
    told = iam.get_account_authorization_details()
    assert told["UserDetailList"][0]["UserPolicyList"][0]["PolicyDocument"] == json.loads(ALLOW)
    assert told["RoleDetailList"][0]["AttachedManagedPolicies"][0]["PolicyName"] == "ReadOnlyAccess"
    assert {one["Arn"] for one in told["Policies"]} == {own, "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    assert told["GroupDetailList"][0]["GroupName"] == "g"
