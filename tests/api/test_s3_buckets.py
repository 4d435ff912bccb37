"""Buckets: their names, their life, and what they are set to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code, refusal
from support.s3 import BUCKET, made

PUBLIC_READ = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    ],
}


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.client(cloud)


def test_a_bucket_is_made_listed_and_deleted(cloud: Any, s3: Any) -> None:
    assert s3.list_buckets()["Buckets"] == []
    assert s3.create_bucket(Bucket=BUCKET)["Location"] == f"/{BUCKET}"
    (listed,) = s3.list_buckets()["Buckets"]
    assert code(s3.list_buckets, ContinuationToken="No") == "InvalidArgument"
    assert (listed["Name"], listed["BucketRegion"]) == (BUCKET, "us-east-1")
    head = s3.head_bucket(Bucket=BUCKET)
    assert head["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None
    s3.delete_bucket(Bucket=BUCKET)
    assert code(s3.head_bucket, Bucket=BUCKET) == "404"
    assert code(s3.delete_bucket, Bucket=BUCKET) == code(s3.list_objects_v2, Bucket=BUCKET) == "NoSuchBucket"


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Upper", "under_score", "-a-b", "ab-", "a..b", "1.2.3.4", "xn--a", "a-s3alias", "a.-b"]
)
def test_a_name_that_breaks_a_rule_is_refused(cloud: Any, name: str) -> None:
    s3 = cloud.client("s3", s3={"addressing_style": "path"}, parameter_validation=False)
    s3.meta.events.unregister("before-parameter-build.s3")
    assert ask_to_make(s3, name) == "InvalidBucketName"


def ask_to_make(s3: Any, name: str) -> str:
    from botocore.handlers import validate_bucket_name

    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    return code(s3.create_bucket, Bucket=name)


def test_names_are_shared_by_all_accounts(cloud: Any, s3: Any) -> None:
    made(s3)
    other = support.client(cloud.account("other"))
    assert code(other.create_bucket, Bucket=BUCKET) == "BucketAlreadyExists"
    assert other.list_buckets()["Buckets"] == []
    assert code(other.list_objects_v2, Bucket=BUCKET) == code(other.delete_bucket, Bucket=BUCKET) == "AccessDenied"
    assert s3.create_bucket(Bucket=BUCKET)["Location"] == f"/{BUCKET}"  # one's own, in us-east-1


@pytest.mark.parametrize("cloud", [{"region": "eu-west-1", "quota_buckets": 2}], indirect=True)
def test_a_bucket_is_made_in_the_region_of_the_cloud_only(cloud: Any) -> None:
    s3 = support.client(cloud)
    here, there = ({"LocationConstraint": region} for region in ("eu-west-1", "eu-west-2"))
    assert code(s3.create_bucket, Bucket=BUCKET, CreateBucketConfiguration=there) == "InvalidLocationConstraint"
    made(s3, CreateBucketConfiguration=here)
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == "eu-west-1"
    assert code(s3.create_bucket, Bucket=BUCKET, CreateBucketConfiguration=here) == "BucketAlreadyOwnedByYou"
    made(s3, "second-bucket")
    assert code(s3.create_bucket, Bucket="third-bucket") == "TooManyBuckets"


def test_a_bucket_that_is_not_empty_stays(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "k")
    assert code(s3.delete_bucket, Bucket=BUCKET) == "BucketNotEmpty"
    s3.create_multipart_upload(Bucket=BUCKET, Key="unfinished")
    s3.delete_object(Bucket=BUCKET, Key="k")
    s3.delete_bucket(Bucket=BUCKET)
    assert support.is_tidy(cloud)


def test_another_owner_than_expected_is_refused(cloud: Any, s3: Any) -> None:
    made(s3)
    s3.head_bucket(Bucket=BUCKET, ExpectedBucketOwner=cloud.admin.id)
    assert code(s3.list_objects_v2, Bucket=BUCKET, ExpectedBucketOwner="123456789012") == "AccessDenied"


NOT_SET = {
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
    "get_bucket_ownership_controls": "OwnershipControlsNotFoundError",
}


def test_what_is_not_set_is_said_so(cloud: Any, s3: Any) -> None:
    made(s3)
    for name, expected in NOT_SET.items():
        error = refusal(getattr(s3, name), Bucket=BUCKET)
        assert (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]) == (
            expected,
            404,
        )
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=BUCKET)
    assert s3.get_bucket_request_payment(Bucket=BUCKET)["Payer"] == "BucketOwner"


SETTINGS: list[tuple[str, str, Any, str]] = [
    ("tagging", "Tagging", {"TagSet": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": ""}]}, "TagSet"),
    (
        "cors",
        "CORSConfiguration",
        {"CORSRules": [{"ID": "r", "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 5}]},
        "CORSRules",
    ),
    (
        "website",
        "WebsiteConfiguration",
        {
            "IndexDocument": {"Suffix": "index.html"},
            "ErrorDocument": {"Key": "e.html"},
            "RoutingRules": [{"Condition": {"KeyPrefixEquals": "a/"}, "Redirect": {"ReplaceKeyPrefixWith": "b/"}}],
        },
        "",
    ),
    (
        "lifecycle_configuration",
        "LifecycleConfiguration",
        {
            "Rules": [
                {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}},
                {
                    "ID": "old",
                    "Status": "Disabled",
                    "Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "a", "Value": "b"}], "ObjectSizeLessThan": 9}},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 1},
                },
            ]
        },
        "Rules",
    ),
    (
        "encryption",
        "ServerSideEncryptionConfiguration",
        {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]},
        "ServerSideEncryptionConfiguration",
    ),
    (
        "ownership_controls",
        "OwnershipControls",
        {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "OwnershipControls",
    ),
    ("request_payment", "RequestPaymentConfiguration", {"Payer": "Requester"}, ""),
    ("accelerate_configuration", "AccelerateConfiguration", {"Status": "Suspended"}, ""),
    ("versioning", "VersioningConfiguration", {"Status": "Suspended"}, ""),
    ("logging", "BucketLoggingStatus", {"LoggingEnabled": {"TargetBucket": BUCKET, "TargetPrefix": "log/"}}, ""),
    (
        "notification_configuration",
        "NotificationConfiguration",
        {"EventBridgeConfiguration": {}},
        "",
    ),
]


@pytest.mark.parametrize(("name", "parameter", "value", "member"), SETTINGS, ids=[one[0] for one in SETTINGS])
def test_a_setting_comes_back_as_it_was_put(
    cloud: Any, s3: Any, name: str, parameter: str, value: Any, member: str
) -> None:
    made(s3)
    getattr(s3, f"put_bucket_{name}")(Bucket=BUCKET, **{parameter: value})
    found = getattr(s3, f"get_bucket_{name}")(Bucket=BUCKET)
    del found["ResponseMetadata"]
    found.pop("TransitionDefaultMinimumObjectSize", None)
    expected = value.get(member, value) if member else value
    assert (found[member] if member else found) == expected
    remove = getattr(s3, f"delete_bucket_{name.removesuffix('_configuration')}", None)
    if remove is not None:
        remove(Bucket=BUCKET)
        assert code(getattr(s3, f"get_bucket_{name}"), Bucket=BUCKET) == NOT_SET[f"get_bucket_{name}"]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (
        "put_bucket_tagging",
        {"Tagging": {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}},
        "InvalidTag",
    ),
    ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "aws:a", "Value": "1"}]}}, "InvalidTag"),
    ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "On"}}, "MalformedXML"),
    (
        "put_bucket_cors",
        {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["TRACE"], "AllowedOrigins": ["*"]}]}},
        "InvalidRequest",
    ),
    (
        "put_bucket_lifecycle_configuration",
        {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 0}}]}},
        "InvalidArgument",
    ),
    (
        "put_bucket_lifecycle_configuration",
        {"LifecycleConfiguration": {"Rules": [{"Status": "enabled", "Filter": {}, "Expiration": {"Days": 1}}]}},
        "MalformedXML",
    ),
    (
        "put_bucket_lifecycle_configuration",
        {"LifecycleConfiguration": {"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {}}]}},
        "InvalidRequest",
    ),
    (
        "put_bucket_logging",
        {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "absent", "TargetPrefix": ""}}},
        "InvalidTargetBucketForLogging",
    ),
    ("put_bucket_policy", {"Policy": "{"}, "MalformedPolicy"),
    ("put_bucket_policy", {"Policy": json.dumps(PUBLIC_READ).replace(BUCKET, "another")}, "MalformedPolicy"),
    ("put_bucket_acl", {"ACL": "public"}, "InvalidArgument"),
    ("put_bucket_acl", {"GrantRead": 'id="nobody"'}, "InvalidArgument"),
    ("put_bucket_acl", {"GrantRead": 'emailAddress="a@example.org"'}, "UnresolvableGrantByEmailAddress"),
    ("put_bucket_acl", {"ACL": "private", "GrantRead": 'id="x"'}, "InvalidRequest"),
]


@pytest.mark.parametrize(("name", "given", "expected"), WRONG, ids=range(len(WRONG)))
def test_a_setting_that_breaks_a_rule_is_refused(cloud: Any, name: str, given: Any, expected: str) -> None:
    s3 = support.client(cloud, parameter_validation=False)
    made(s3)
    assert code(getattr(s3, name), Bucket=BUCKET, **given) == expected


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}),
        (
            "put_bucket_analytics_configuration",
            {"Id": "a", "AnalyticsConfiguration": {"Id": "a", "StorageClassAnalysis": {}}},
        ),
        (
            "put_bucket_replication",
            {
                "ReplicationConfiguration": {
                    "Role": "r",
                    "Rules": [{"Status": "Enabled", "Destination": {"Bucket": "b"}}],
                }
            },
        ),
        (
            "put_bucket_encryption",
            {
                "ServerSideEncryptionConfiguration": {
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
                }
            },
        ),
    ],
)
def test_what_this_cloud_does_not_have_is_refused_by_name(cloud: Any, s3: Any, name: str, given: Any) -> None:
    made(s3)
    error = refusal(getattr(s3, name), Bucket=BUCKET, **given).response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("NotImplemented", 501)
    assert "is one of S3's that this cloud does not have" in error["Error"]["Message"]


@pytest.mark.parametrize("kind", ["inventory", "analytics", "intelligent_tiering"])
def test_what_no_bucket_has_is_asked_for_in_vain(cloud: Any, s3: Any, kind: str) -> None:
    made(s3)
    found = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=BUCKET)
    assert (found["IsTruncated"], [name for name in found if name.endswith("List")]) == (False, [])
    for act in ("get", "delete"):
        ask_for = getattr(s3, f"{act}_bucket_{kind}_configuration")
        assert code(ask_for, Bucket=BUCKET, Id="a") == "NoSuchConfiguration"
        assert code(ask_for, Bucket="not-there", Id="a") == "NoSuchBucket"
    other = support.client(cloud.account("other"))
    assert code(getattr(other, f"list_bucket_{kind}_configurations"), Bucket=BUCKET) == "AccessDenied"
