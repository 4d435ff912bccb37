"""Policies of a bucket: which are public, and on what they may decide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code, message
from support.s3 import BUCKET, put

from cumulet.api.s3 import access, policy_actions, policy_keys
from cumulet.api.s3.policy_actions import OF_BUCKETS, OF_OBJECTS

ARN = f"arn:aws:s3:::{BUCKET}"


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud, ObjectLockEnabledForBucket=True)


def policy(**statement: Any) -> str:
    one = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{ARN}/*", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [one]})


@pytest.mark.parametrize(
    ("condition", "public"),
    [
        ({}, True),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"IpAddress": {"aws:SourceIp": "64.0.0.0/7"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "0.0.0.0/0"]}}, True),
        ({"IpAddress": {"aws:SourceIp": "2a00::/16"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, True),
        ({"StringEquals": {"aws:SourceVpc": "vpc-91237329"}}, False),
        ({"StringLike": {"aws:SourceVpc": "vpc-*"}}, True),
        ({"StringEquals": {"aws:PrincipalOrgID": "${aws:username}"}}, True),
        ({"StringLike": {"aws:userid": "AROAEXAMPLE:*"}}, False),
        ({"StringLike": {"aws:Referer": "http://a.example.org/*"}}, True),
    ],
)
def test_a_policy_is_public_unless_it_lets_in_somebody_in_particular(s3: Any, condition: Any, public: bool) -> None:
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(Condition=condition))
    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is public


@pytest.mark.parametrize(
    ("actions", "resources", "applies"),
    [
        ("s3:GetObject", ARN, False),
        (["s3:GetObject*", "s3:ListBucket"], f"{ARN}/*", False),
        ("s3:ListBucketVersions", [f"{ARN}/a", f"{ARN}/b"], False),
        (["s3:GetObject", "s3:ListBucket"], [ARN, f"{ARN}/*"], True),
        (["s3:GetObject", "s3:ListBucket"], f"{ARN}*", True),
        ("s3:*", f"{ARN}/*", True),
    ],
)
def test_an_action_applies_to_something_that_is_named(s3: Any, actions: Any, resources: Any, applies: bool) -> None:
    document = policy(Action=actions, Resource=resources)
    if applies:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=document)
    else:
        refused = message(s3.put_bucket_policy, Bucket=BUCKET, Policy=document)
        assert refused == "Action does not apply to any resource(s) in statement"


@pytest.mark.parametrize(
    "action", ["s3:GetObjekt", "s3:Foo*", "ec2:RunInstances", "s3:ListAllMyBuckets", ["s3:GetObject", "s3:X"]]
)
def test_an_action_that_s3_does_not_have_is_refused(s3: Any, action: Any) -> None:
    for document in (policy(Action=action), policy(NotAction=action).replace('"Action": "s3:GetObject", ', "")):
        assert message(s3.put_bucket_policy, Bucket=BUCKET, Policy=document) == "Policy has invalid action"


def test_an_action_that_only_aws_has_may_be_named(s3: Any) -> None:
    s3.put_bucket_policy(
        Bucket=BUCKET, Policy=policy(Action=["s3:getobject", "s3:RestoreObject", "s3:GetObjectT*", "*"])
    )


def test_a_policy_may_name_whatever_is_asked_here() -> None:
    """But for what is asked of no bucket."""
    found = "".join(file.read_text() for file in Path(policy_actions.__file__).parent.glob("*.py"))
    asked = {name.lower() for name in re.findall(r"s3:(?:Get|Put|Delete|List|Create|Abort|Bypass)[A-Z]\w+", found)}
    assert asked - OF_OBJECTS - OF_BUCKETS == {"s3:listallmybuckets"}


@pytest.mark.parametrize("key", ["s3:x-amz-aclx", "s3:foo", "s3:ExistingObjectTag", "s3:prefix/a", "S3:Foo"])
def test_a_condition_key_that_s3_does_not_have_is_refused(s3: Any, key: str) -> None:
    document = policy(Action="s3:*", Condition={"StringEquals": {"aws:userid": "a", key: "a"}})
    assert message(s3.put_bucket_policy, Bucket=BUCKET, Policy=document) == "Policy has an invalid condition key"
    assert code(s3.put_bucket_policy, Bucket=BUCKET, Policy=document) == "MalformedPolicy"


@pytest.mark.parametrize(
    ("actions", "key", "applies"),
    [
        ("s3:GetObject", "s3:x-amz-acl", False),
        (["s3:PutObjectTagging", "s3:DeleteObject"], "s3:prefix", False),
        ("s3:Get*", "s3:RequestObjectTagKeys", False),
        (["s3:GetObject", "s3:PutObject"], "s3:x-amz-acl", True),
        ("s3:Put*", "s3:X-Amz-Acl", True),
        ("*", "s3:ExistingObjectTag/a", True),
        ("s3:GetObject", "s3:ExistingObjectTag/a", True),
        ("s3:GetObjectVersion", "s3:VersionId", True),
        ("s3:GetObject", "s3:TlsVersion", True),
        ("s3:GetObject", "aws:unheard-of", True),
    ],
)
def test_a_condition_is_of_what_an_action_knows(s3: Any, actions: Any, key: str, applies: bool) -> None:
    document = policy(Action=actions, Condition={"StringEquals": {key: "a"}})
    if applies:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=document)
    else:
        refused = message(s3.put_bucket_policy, Bucket=BUCKET, Policy=document)
        assert refused == "Conditions do not apply to combination of actions and resources in statement"


def test_a_policy_may_decide_on_whatever_is_told_here() -> None:
    found = access.context_of_form(dict.fromkeys((*access._HEADERS, *access._LOCK), ""))
    told = {name.lower() for name in (*found, *access._QUERY.values()) if name.startswith("s3:")}
    assert told <= set(policy_keys.ACTIONS)


def test_who_is_not_named_is_everybody(cloud: Any, s3: Any) -> None:
    document = json.loads(policy(NotPrincipal={"AWS": f"arn:aws:iam::{cloud.admin.id}:root"}))
    del document["Statement"][0]["Principal"]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))
    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"]


def test_a_policy_decides_on_conditions_signatures_and_locks(cloud: Any, s3: Any) -> None:
    def deny(action: str, **condition: Any) -> None:
        document = policy(Effect="Deny", Action=action, Condition=condition)
        s3.put_bucket_policy(Bucket=BUCKET, Policy=document)

    at = {"Bucket": BUCKET, "Key": "k"}
    deny("s3:PutObject", Null={"s3:if-none-match": "true"})
    assert code(s3.put_object, **at) == "AccessDenied"
    s3.put_object(**at, IfNoneMatch="*")
    deny("s3:GetObject", StringEquals={"s3:signatureversion": "AWS"})
    assert code(support.client(cloud, signature_version="s3").get_object, **at) == "AccessDenied"
    s3.get_object(**at)
    deny("s3:GetObject", StringNotEquals={"s3:authType": "REST-QUERY-STRING"})
    assert code(s3.get_object, **at) == "AccessDenied"
    deny("s3:GetObject", NumericGreaterThan={"s3:signatureAge": "600000"})
    s3.get_object(**at)
    cloud.clock.ahead = 800
    assert code(s3.get_object, **at) == "AccessDenied"
    cloud.clock.ahead = 0
    deny("s3:PutObjectRetention", NumericGreaterThan={"s3:object-lock-remaining-retention-days": "10"})
    for days, lock in ((9, "GOVERNANCE"), (12, "COMPLIANCE")):
        until = datetime.now(UTC) + timedelta(days=days)
        retention = {**at, "Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until}}
        if days < 10:
            s3.put_object_retention(**retention)
            put(s3, "l", ObjectLockMode=lock, ObjectLockRetainUntilDate=until)
        else:
            assert code(s3.put_object_retention, **retention) == "AccessDenied"
            more = {"ObjectLockMode": lock, "ObjectLockRetainUntilDate": until}
            assert code(s3.put_object, **at, **more) == "AccessDenied"
