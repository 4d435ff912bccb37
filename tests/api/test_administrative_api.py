"""Who may administer the cloud, and that each of its actions is closed to all others and written down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.commands import answered, command, running_cloud
from support.identity import document, session, user
from support.operating import administer, sent
from support.tested_cloud import Account, TestedCloud

from cumulet.administration.registry import ACTIONS
from cumulet.cli.asking import JSON
from cumulet.cli.calls import signed
from cumulet.identity.lockout import ATTEMPTS
from cumulet.lib.s3_link import Signer

ALL = sorted(ACTIONS)
NOBODY = 65534


def records(cloud: TestedCloud, account: str) -> list[dict[str, Any]]:
    files = sorted((cloud.config.audit_directory() / account).glob("*.jsonl"))
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [one for one in found if one["eventSource"] == "cumulet.amazonaws.com"]


def administrator(cloud: TestedCloud, name: str, *policies: str) -> Account:
    """A user of the first account with these managed policies."""
    made = user(cloud, name)
    for arn in policies:
        cloud.client("iam").attach_user_policy(UserName=name, PolicyArn=f"arn:aws:iam::aws:policy/{arn}")
    return made


def test_no_action_is_anybodys_but_the_administrators(cloud: TestedCloud) -> None:
    """Neither a tenant's root, nor its user to whom the tenant allows everything, nor who signs nothing."""
    bob = cloud.account("bob")
    cloudadmin = user(cloud, "cat", of=bob)
    for arn in ("AdministratorAccess", "cumulet/cloudadmin"):
        bob.client("iam").attach_user_policy(UserName="cat", PolicyArn=f"arn:aws:iam::aws:policy/{arn}")
    for who in (bob, cloudadmin):
        refusals = {action: administer(cloud, who, action) for action in ALL}
        assert {status for status, _ in refusals.values()} == {403}
        assert {said["__type"] for _, said in refusals.values()} == {"AccessDeniedException"}
        assert {said["message"].split(" because ")[1] for _, said in refusals.values()} == {
            "only principals of an administrator's account may administer the cloud"
        }
    for action in ALL:
        status, said = administer(cloud, None, action)
        assert (status, said["__type"]) == (400, "MissingAuthenticationTokenException")
    of_bob = records(cloud, bob.id)
    assert [one["eventName"] for one in of_bob] == ALL * 2
    assert {one["errorCode"] for one in of_bob} == {"AccessDeniedException"}
    assert [one["eventName"] for one in records(cloud, "unknown")] == ALL


def test_each_action_is_written_down_with_who_asked_from_where(cloud: TestedCloud) -> None:
    """With what nobody means, so that most are refused; none of them by a mistake of ours."""
    for action in ALL:
        status, said = administer(cloud, cloud.admin, action, surprise=1)
        assert (status, said["__type"]) == (400, "ValidationException"), (action, said)
        assert f"the body of {action} is JSON with" in said["message"]
    found = records(cloud, cloud.admin.id)
    assert [one["eventName"] for one in found] == ALL
    for one in found:
        assert one["userIdentity"]["type"] == "Root"
        assert one["userIdentity"]["accessKeyId"] == cloud.admin.key
        assert one["sourceIPAddress"] == "127.0.0.1"
        assert one["readOnly"] is one["eventName"].startswith(("List", "Get"))
        assert one["errorCode"] == "ValidationException"


def test_what_was_done_is_in_the_audit_log_without_secrets(cloud: TestedCloud) -> None:
    assert administer(cloud, cloud.admin, "CreatePool", range="203.0.113.0/24")[0] == 200
    assert administer(cloud, cloud.admin, "CreatePool", range="203.0.113.0/28")[0] == 400
    made = administer(cloud, cloud.admin, "CreateUser", account="admin", name="ann")[1]
    found = cloud.client("cloudtrail").lookup_events()["Events"]
    events = [json.loads(one["CloudTrailEvent"]) for one in reversed(found)]
    ours = [one for one in events if one["eventSource"] == "cumulet.amazonaws.com"]
    assert [one["eventName"] for one in ours] == ["CreatePool", "CreatePool", "CreateUser"]
    assert [one.get("errorMessage", "")[:25] for one in ours] == ["", "203.0.113.0/28 overlaps 2", ""]
    assert ours[2]["requestParameters"] == {"account": "admin", "name": "ann"}
    assert ours[2]["responseElements"]["access_key"] == made["access_key"]
    assert made["secret_key"] not in json.dumps(ours)


def test_policies_give_users_of_an_administrators_account_a_part(cloud: TestedCloud) -> None:
    looks = user(cloud, "looks", document(Action=["cumulet:List*", "cumulet:Get*"]))
    assert administer(cloud, looks, "ListHosts")[0] == 200
    status, said = administer(cloud, looks, "DrainHost", name="h1")
    assert (status, said["__type"]) == (403, "AccessDeniedException")
    assert "is not authorized to perform: cumulet:DrainHost" in said["message"]
    assert "no identity-based policy allows" in said["message"]
    barred = user(cloud, "barred", document())
    cloud.client("iam").put_user_policy(
        UserName="barred", PolicyName="no", PolicyDocument=document("Deny", Action="cumulet:Delete*")
    )
    assert administer(cloud, barred, "ListHosts")[0] == 200
    assert administer(cloud, barred, "DeleteAccount", name="x")[0] == 403
    elsewhere = document(Action="cumulet:*", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})
    assert administer(cloud, user(cloud, "elsewhere", elsewhere), "ListHosts")[0] == 403


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ("AdministratorAccess", 200),
        ("cumulet/cloudadmin", 200),
        ("PowerUserAccess", 403),
        ("ReadOnlyAccess", 403),
        ("cumulet/sysadmin", 403),
    ],
)
def test_of_the_managed_policies_only_those_of_everything_administer(
    cloud: TestedCloud, policy: str, status: int
) -> None:
    assert administer(cloud, administrator(cloud, "ann", policy), "ListAccounts")[0] == status


def test_whose_account_ceases_to_be_an_administrators_may_no_more(cloud: TestedCloud) -> None:
    bob = cloud.account("bob")
    temporary = session(cloud, bob.client("sts").get_session_token())
    assert administer(cloud, temporary, "ListAccounts")[0] == 403
    assert administer(cloud, cloud.admin, "SetAccount", name="bob", administrator=True)[0] == 200
    assert administer(cloud, bob, "ListAccounts")[0] == 200
    assert administer(cloud, temporary, "ListAccounts")[0] == 200
    assert administer(cloud, bob, "SetAccount", name="bob", administrator=False)[0] == 200
    for who in (bob, temporary):
        assert administer(cloud, who, "ListAccounts")[0] == 403
    status, said = administer(cloud, cloud.admin, "SetAccount", name="admin", administrator=False)
    assert status == 400
    assert "it stays its administrator's" in said["message"]


def test_a_signature_is_for_this_service_this_body_and_now(cloud: TestedCloud) -> None:
    url, body = f"{cloud.url}/_cumulet/ListHosts", b"{}"
    signer = Signer(cloud.admin.key, cloud.admin.secret, "", cloud.config.region)
    assert sent(signed(signer, url, "cumulet", body, JSON))[0] == 200
    assert sent(signed(signer, url, "ec2", body, JSON))[1]["__type"] == "InvalidSignatureException"
    other = signed(signer, url, "cumulet", body, JSON)
    other.data = b'{"name": "h1"}'
    assert sent(other)[1]["__type"] == "InvalidSignatureException"
    elsewhere = signed(signer, url, "cumulet", body, JSON)
    there = urllib.request.Request(f"{cloud.url}/_cumulet/ListPools", body, elsewhere.headers, method="POST")
    assert sent(there)[1]["__type"] == "InvalidSignatureException"
    assert sent(signed(signer._replace(region="eu-west-1"), url, "cumulet", body, JSON))[0] == 400
    cloud.clock.ahead += 3600
    assert sent(signed(signer, url, "cumulet", body, JSON))[1]["__type"] == "InvalidSignatureException"


def test_who_guesses_is_locked_out_here_too(cloud: TestedCloud) -> None:
    guess = Account(cloud.url, cloud.config.region, cloud.admin.key, "guess", cloud.admin.id)
    for _ in range(ATTEMPTS):
        assert administer(cloud, guess, "ListHosts")[1]["__type"] == "InvalidSignatureException"
    status, said = administer(cloud, cloud.admin, "ListHosts")
    assert status == 400
    assert "try again in 15 minutes" in said["message"]


def test_what_there_is_not_and_what_is_no_json_is_said(cloud: TestedCloud) -> None:
    status, said = administer(cloud, cloud.admin, "MakeTea")
    assert (status, said["__type"]) == (400, "UnknownOperationException")
    url = f"{cloud.url}/_cumulet/ListHosts"
    signer = Signer(cloud.admin.key, cloud.admin.secret, "", cloud.config.region)
    assert sent(signed(signer, url, "cumulet", b"{", JSON))[1]["__type"] == "SerializationException"
    assert sent(signed(signer, url, "cumulet", b"[]", JSON))[1]["__type"] == "ValidationException"
    with running_cloud(cloud):
        assert answered(command(cloud), "host", "list")


def test_curl_can_sign(cloud: TestedCloud) -> None:
    """As docs/identity.md says."""
    scope, keys = f"aws:amz:{cloud.config.region}:cumulet", f"{cloud.admin.key}:{cloud.admin.secret}"
    words = ["curl", "--silent", "--aws-sigv4", scope, "--user", keys, "--data", '{"account": "admin"}']
    done = subprocess.run([*words, f"{cloud.url}/_cumulet/ListQuotas"], capture_output=True, check=True, timeout=60)
    assert "vcpus" in {one["name"] for one in json.loads(done.stdout)}


def test_where_no_cloud_runs_the_operator_is_in_the_audit_log(cloud: TestedCloud, tmp_path: Path) -> None:
    run = command(cloud)
    answered(run, "pool", "create", "203.0.113.0/24")
    assert run("pool", "create", "203.0.113.0/28").exit_code == 1
    done, refused = records(cloud, cloud.admin.id)
    assert (done["eventName"], done["userIdentity"]["accessKeyId"]) == ("CreatePool", "operator")
    assert refused["errorMessage"].startswith("203.0.113.0/28 overlaps")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_what_root_writes_into_the_audit_log_the_clouds_user_can_go_on_writing(
    cloud: TestedCloud, tmp_path: Path
) -> None:
    shutil.rmtree(cloud.config.audit_directory(), ignore_errors=True)
    os.chown(cloud.config.state_dir, NOBODY, NOBODY)
    answered(command(cloud), "pool", "create", "203.0.113.0/24")
    found = cloud.config.audit_directory()
    written = [found, *found.rglob("*")]
    assert len(written) == 3, "the directory, the account's, and a day's file"
    assert {(path.stat().st_uid, path.stat().st_gid) for path in written} == {(NOBODY, NOBODY)}
    assert [path.stat().st_mode & 0o077 for path in written] == [0, 0, 0]
