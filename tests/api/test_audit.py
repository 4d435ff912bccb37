"""The audit log: every call, who made it, what came of it, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import support.s3
from support.identity import ALLOW, code, document, message, session, user
from support.tested_cloud import TestedCloud

from cumulet.identity.lockout import ATTEMPTS, SECONDS
from cumulet.lib.clock import Clock


class Later(Clock):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return super().now() + self.seconds


def records(cloud: TestedCloud, account: str) -> list[dict[str, Any]]:
    files = sorted((Path(cloud.config.state_dir) / "audit" / account).glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_each_call_is_written_down(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann", document(Action="ec2:DescribeVpcs"))
    ann.client().describe_vpcs()
    assert code(lambda: ann.client().create_key_pair(KeyName="k")) == "UnauthorizedOperation"
    cloud.client().create_security_group(GroupName="g", Description="d")
    looked, refused, made = records(cloud, cloud.admin.id)[-3:]
    assert looked["eventName"] == "DescribeVpcs"
    assert looked["eventSource"] == "ec2.amazonaws.com"
    assert looked["readOnly"] is True
    assert looked["sourceIPAddress"] == "127.0.0.1"
    assert "Boto3" in looked["userAgent"]
    identity = looked["userIdentity"]
    assert (identity["type"], identity["userName"], identity["accessKeyId"]) == ("IAMUser", "ann", ann.key)
    assert identity["arn"] == f"arn:aws:iam::{cloud.admin.id}:user/ann"
    assert refused["errorCode"] == "UnauthorizedOperation"
    assert refused["requestParameters"] == {"keyName": "k"}
    assert made["userIdentity"]["type"] == "Root"
    assert made["responseElements"]["groupId"].startswith("sg-")
    assert "errorCode" not in made


def test_no_secret_is_in_it_or_in_the_database(cloud: TestedCloud) -> None:
    iam, ec2 = cloud.client("iam"), cloud.client()
    ann = user(cloud, "ann", ALLOW)
    iam.create_login_profile(UserName="ann", Password="the-secret-password")
    key = ec2.create_key_pair(KeyName="k", KeyType="ed25519")["KeyMaterial"].splitlines()[2]
    held = session(cloud, ann.client("sts").get_session_token())
    ec2.run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, UserData="the-secret-user-data")
    held.client().describe_vpcs()
    cloud.database.close()
    secrets = [ann.secret, cloud.admin.secret, held.secret, held.token, key, "the-secret-password"]
    written = "".join(path.read_text() for path in (Path(cloud.config.state_dir) / "audit").rglob("*.jsonl"))
    assert written.count("HIDDEN_DUE_TO_SECURITY_REASONS") >= 5
    assert "secret-user-data" not in written
    for secret in secrets:
        assert secret is not None
        assert secret not in written
    rest = b"".join(path.read_bytes() for path in Path(cloud.config.state_dir).glob("cumulet.db*")).decode("latin-1")
    for secret in secrets:
        assert secret is not None
        assert secret not in rest


def test_events_can_be_looked_up_by_their_account(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann", document(Action="ec2:Describe*"))
    for _ in range(3):
        ann.client().describe_vpcs()
    trail = cloud.client("cloudtrail")

    def by(key: str, value: str, **more: Any) -> list[dict[str, Any]]:
        wanted = [{"AttributeKey": key, "AttributeValue": value}]
        return list(trail.lookup_events(LookupAttributes=wanted, **more)["Events"])

    assert {one["EventName"] for one in by("Username", "ann")} == {"DescribeVpcs"}
    assert len(by("EventName", "DescribeVpcs")) == 3
    assert {one["EventName"] for one in by("ResourceName", "ann")} >= {"CreateUser", "CreateAccessKey"}
    assert json.loads(by("AccessKeyId", ann.key)[0]["CloudTrailEvent"])["userIdentity"]["userName"] == "ann"
    pages = trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "DescribeVpcs"}],
        PaginationConfig={"PageSize": 2},
    )
    assert [len(page["Events"]) for page in pages] == [2, 1]
    assert code(lambda: by("ResourceType", "x")) == "InvalidLookupAttributesException"
    assert code(lambda: ann.client("cloudtrail").lookup_events()) == "AccessDeniedException"
    other = cloud.account("other").client("cloudtrail")
    assert other.lookup_events()["Events"] == []


def test_who_signs_wrongly_again_and_again_is_locked_out(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann", ALLOW)
    right, ann.secret = ann.secret, "wrong"
    for _ in range(ATTEMPTS):
        assert code(lambda: ann.client("sts").get_caller_identity()) == "SignatureDoesNotMatch"
    ann.secret = right
    assert "Too many signatures" in message(lambda: ann.client("sts").get_caller_identity())
    cloud.client("sts").get_caller_identity()
    cloud.database.clock = Later(SECONDS - 60)
    assert code(lambda: ann.client("sts").get_caller_identity()) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("cloud", [{"audit_days": 2}], indirect=True)
def test_older_days_are_forgotten(cloud: TestedCloud) -> None:
    directory = Path(cloud.config.state_dir) / "audit" / cloud.admin.id
    directory.mkdir(parents=True)
    (directory / "2001-01-01.jsonl").write_text("{}\n")
    cloud.client().describe_vpcs()
    assert [file.name for file in directory.iterdir()] != ["2001-01-01.jsonl"]
    assert not (directory / "2001-01-01.jsonl").exists()


def test_what_is_done_with_buckets_is_written_down(cloud: TestedCloud) -> None:
    s3 = support.s3.client(cloud)
    s3.create_bucket(Bucket="a-bucket")
    s3.put_object(Bucket="a-bucket", Key="key", Body=b"text")
    other = support.s3.client(cloud.account("other"))
    assert code(lambda: other.delete_bucket(Bucket="a-bucket")) == "AccessDenied"
    mine = [one for one in records(cloud, cloud.admin.id) if one["eventSource"] == "s3.amazonaws.com"]
    assert [(one["eventName"], one["requestParameters"]) for one in mine] == [
        ("CreateBucket", {"bucketName": "a-bucket"})
    ]
    found = cloud.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "s3.amazonaws.com"}]
    )
    assert [one["EventName"] for one in found["Events"]] == ["CreateBucket"]
