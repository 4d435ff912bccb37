"""Objects: what was put is what is got, with all that was said of it; conditions, ranges, copies, deletes, locks."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code, refusal
from support.s3 import BUCKET, ask, body, made, put

BIG = bytes(range(256)) * 12_000
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}


@pytest.fixture
def s3(cloud: Any) -> Any:
    found = support.client(cloud)
    made(found)
    return found


def status(call: Any, **given: Any) -> int:
    return int(refusal(call, **given).response["ResponseMetadata"]["HTTPStatusCode"])


@pytest.mark.parametrize("content", [b"", b"hello", BIG], ids=["empty", "small", "big"])
def test_an_object_comes_back(cloud: Any, s3: Any, content: bytes) -> None:
    etag = f'"{hashlib.md5(content).hexdigest()}"'
    headers = {
        "ContentType": "text/plain",
        "CacheControl": "no-cache",
        "ContentDisposition": "x",
        "ContentLanguage": "de",
    }
    headers |= {"Expires": "Thu, 01 Dec 2033 16:00:00 GMT", "ContentEncoding": "gzip"}
    answer = put(s3, "a/k", content=content, Metadata={"one": "1", "two": "b c"}, Tagging="t=1&u=2", **headers)
    assert answer["ETag"] == etag
    found = s3.get_object(Bucket=BUCKET, Key="a/k")
    head = s3.head_object(Bucket=BUCKET, Key="a/k")
    assert found["Body"].read() == content
    for one in (found, head):
        assert (one["ETag"], one["ContentLength"], one["Metadata"]) == (etag, len(content), {"one": "1", "two": "b c"})
        assert (one["ContentType"], one["CacheControl"], one["ContentEncoding"]) == ("text/plain", "no-cache", "gzip")
        assert (one["TagCount"], one["AcceptRanges"], one["ExpiresString"]) == (2, "bytes", headers["Expires"])
    put(s3, "a/k", content=b"other")
    assert body(s3, "a/k") == b"other"
    s3.delete_object(Bucket=BUCKET, Key="a/k")
    s3.delete_object(Bucket=BUCKET, Key="a/k")
    assert (code(s3.get_object, Bucket=BUCKET, Key="a/k"), status(s3.head_object, Bucket=BUCKET, Key="a/k")) == (
        "NoSuchKey",
        404,
    )
    assert support.is_tidy(cloud)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-9", (206, BIG[:10])),
        ("bytes=1000001-1000010", (206, BIG[1000001:1000011])),
        ("bytes=-5", (206, BIG[-5:])),
        (f"bytes={len(BIG) - 3}-", (206, BIG[-3:])),
        (f"bytes=5-{len(BIG) * 9}", (206, BIG[5:])),
        ("bytes=9-5", (200, BIG)),
        ("chars=1-2", (200, BIG)),
        ("bytes=0-1,4-5", (200, BIG)),
    ],
)
@pytest.mark.parametrize("more", [{}, {"ServerSideEncryption": "AES256"}, SSE_C], ids=["plain", "sse", "sse-c"])
def test_a_range_is_what_it_says(cloud: Any, s3: Any, asked: str, expected: tuple[int, bytes], more: Any) -> None:
    put(s3, "k", content=BIG, **more)
    key = more if more is SSE_C else {}
    found = s3.get_object(Bucket=BUCKET, Key="k", Range=asked, **key)
    assert (found["ResponseMetadata"]["HTTPStatusCode"], found["Body"].read()) == expected
    error = refusal(s3.get_object, Bucket=BUCKET, Key="k", Range=f"bytes={len(BIG)}-", **key).response
    assert (error["Error"]["Code"], error["Error"]["ActualObjectSize"]) == ("InvalidRange", str(len(BIG)))


def test_reads_have_conditions(cloud: Any, s3: Any) -> None:
    etag = put(s3, "k")["ETag"]
    before, after = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    for good in (
        {"IfMatch": etag},
        {"IfMatch": f'"x", {etag}'},
        {"IfNoneMatch": '"x"'},
        {"IfModifiedSince": before},
        {"IfUnmodifiedSince": after},
        {"IfMatch": etag, "IfUnmodifiedSince": before},
    ):
        assert body(s3, "k", **good) == b"x"
    for wrong in ({"IfMatch": '"x"'}, {"IfUnmodifiedSince": before}):
        assert code(s3.get_object, Bucket=BUCKET, Key="k", **wrong) == "PreconditionFailed"
    for same in ({"IfNoneMatch": etag}, {"IfNoneMatch": "*"}, {"IfModifiedSince": after}):
        error = refusal(s3.get_object, Bucket=BUCKET, Key="k", **same).response["ResponseMetadata"]
        assert (error["HTTPStatusCode"], error["HTTPHeaders"]["etag"]) == (304, etag)


def test_writes_have_conditions(cloud: Any, s3: Any) -> None:
    etag = put(s3, "k", IfNoneMatch="*")["ETag"]
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"y", IfNoneMatch="*") == "PreconditionFailed"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"y", IfMatch='"x"') == "PreconditionFailed"
    assert code(s3.put_object, Bucket=BUCKET, Key="absent", Body=b"y", IfMatch=etag) == "NoSuchKey"
    put(s3, "k", content=b"y", IfMatch=etag)
    assert code(s3.delete_object, Bucket=BUCKET, Key="k", IfMatch=etag) == "PreconditionFailed"
    assert body(s3, "k") == b"y"
    assert support.is_tidy(cloud)


ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_kept_and_a_wrong_one_refused(cloud: Any, s3: Any, algorithm: str) -> None:
    value = put(s3, "k", content=BIG, ChecksumAlgorithm=algorithm)[f"Checksum{algorithm}"]
    head = s3.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (value, "FULL_OBJECT")
    assert f"Checksum{algorithm}" not in s3.head_object(Bucket=BUCKET, Key="k")
    wrong = {f"Checksum{algorithm}": value}
    assert code(s3.put_object, Bucket=BUCKET, Key="l", Body=b"other", **wrong) == "BadDigest"
    assert code(s3.put_object, Bucket=BUCKET, Key="l", Body=b"", **{f"Checksum{algorithm}": "!"}) == "InvalidRequest"
    assert code(s3.head_object, Bucket=BUCKET, Key="l") == "404"
    assert support.is_tidy(cloud)


def test_a_digest_that_differs_is_refused(cloud: Any, s3: Any) -> None:
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    put(s3, "k", ContentMD5=right)
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"y", ContentMD5=right) == "BadDigest"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"y", ContentMD5="x") == "InvalidDigest"
    assert body(s3, "k") == b"x"


def test_with_versioning_nothing_is_overwritten(cloud: Any, s3: Any) -> None:
    put(s3, "k", content=b"0")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    one, two = (put(s3, "k", content=content)["VersionId"] for content in (b"1", b"2"))
    assert [body(s3, "k", VersionId=id) for id in ("null", one, two)] == [b"0", b"1", b"2"]
    deleted = s3.delete_object(Bucket=BUCKET, Key="k")
    assert deleted["DeleteMarker"] is True
    marker = deleted["VersionId"]
    error = refusal(s3.get_object, Bucket=BUCKET, Key="k").response
    assert error["Error"]["Code"] == "NoSuchKey"
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    assert status(s3.get_object, Bucket=BUCKET, Key="k", VersionId=marker) == 405
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=marker)
    assert body(s3, "k") == b"2"
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=two)
    assert body(s3, "k") == b"1"
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    assert put(s3, "k", content=b"3")["VersionId"] == "null"
    assert [body(s3, "k", VersionId=id) for id in ("null", one)] == [b"3", b"1"]
    assert code(s3.get_object, Bucket=BUCKET, Key="k", VersionId=two) == "NoSuchVersion"
    assert code(s3.get_object, Bucket=BUCKET, Key="k", VersionId="x") == "InvalidArgument"
    assert support.is_tidy(cloud)


def test_many_are_deleted_at_once(cloud: Any, s3: Any) -> None:
    put(s3, *(f"k{n}" for n in range(5)))
    wanted = [{"Key": f"k{n}"} for n in range(4)] + [{"Key": "absent"}]
    found = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": wanted})
    assert sorted(one["Key"] for one in found["Deleted"]) == ["absent", "k0", "k1", "k2", "k3"]
    assert "Deleted" not in s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "k4"}], "Quiet": True})
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    many = {"Objects": [{"Key": str(n)} for n in range(1001)]}
    assert code(s3.delete_objects, Bucket=BUCKET, Delete=many) == "MalformedXML"


def test_a_copy_is_an_object_of_its_own(cloud: Any, s3: Any) -> None:
    etag = put(s3, "k", content=BIG, Metadata={"a": "1"}, Tagging="t=1", ContentType="text/plain")["ETag"]
    copied = s3.copy_object(Bucket=BUCKET, Key="c d/ü", CopySource={"Bucket": BUCKET, "Key": "k"})
    assert copied["CopyObjectResult"]["ETag"] == etag
    s3.delete_object(Bucket=BUCKET, Key="k")
    found = s3.get_object(Bucket=BUCKET, Key="c d/ü")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"], found["TagCount"]) == (
        BIG,
        {"a": "1"},
        "text/plain",
        1,
    )
    source = {"Bucket": BUCKET, "Key": "c d/ü"}
    new = {"Metadata": {"b": "2"}, "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE", "Tagging": ""}
    s3.copy_object(Bucket=BUCKET, Key="e", CopySource=source, **new, **SSE_C)
    assert s3.head_object(Bucket=BUCKET, Key="e", **SSE_C)["Metadata"] == {"b": "2"}
    assert body(s3, "e", **SSE_C) == BIG
    assert code(s3.copy_object, Bucket=BUCKET, Key="c d/ü", CopySource=source) == "InvalidRequest"
    assert code(s3.copy_object, Bucket=BUCKET, Key="x", CopySource=f"{BUCKET}/absent") == "NoSuchKey"
    assert (
        code(s3.copy_object, Bucket=BUCKET, Key="x", CopySource=source, CopySourceIfMatch='"x"') == "PreconditionFailed"
    )
    assert code(s3.copy_object, Bucket=BUCKET, Key="x", CopySource="nothing") == "InvalidArgument"
    assert support.is_tidy(cloud)


def test_a_customers_key_is_needed_to_read(cloud: Any, s3: Any) -> None:
    answer = put(s3, "k", content=BIG, **SSE_C)
    assert answer["SSECustomerAlgorithm"] == "AES256"
    assert body(s3, "k", **SSE_C) == BIG
    assert code(s3.get_object, Bucket=BUCKET, Key="k") == "InvalidRequest"
    assert code(s3.get_object, Bucket=BUCKET, Key="k", **{**SSE_C, "SSECustomerKey": b"l" * 32}) == "AccessDenied"
    put(s3, "plain")
    assert code(s3.get_object, Bucket=BUCKET, Key="plain", **SSE_C) == "InvalidRequest"
    assert (
        code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", **{**SSE_C, "SSECustomerKey": b"short"})
        == "InvalidArgument"
    )


def test_encrypted_objects_rest_encrypted(cloud: Any, s3: Any) -> None:
    secret = b"this must not be on the disk"
    s3.put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    assert put(s3, "k", content=secret)["ServerSideEncryption"] == "AES256"
    put(s3, "c", content=secret, **SSE_C)
    (directory,) = cloud.config.object_directories()
    resting = [path.read_bytes() for path in directory.glob("??/*")]
    assert len(resting) == 2
    assert not any(secret in content for content in resting)
    assert (body(s3, "k"), body(s3, "c", **SSE_C)) == (secret, secret)


def test_tags_are_kept_and_limited(cloud: Any, s3: Any) -> None:
    put(s3, "k")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == []
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "ü"}]
    s3.put_object_tagging(Bucket=BUCKET, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == tags
    many = [{"Key": str(n), "Value": ""} for n in range(11)]
    assert code(s3.put_object_tagging, Bucket=BUCKET, Key="k", Tagging={"TagSet": many}) == "InvalidTag"
    s3.delete_object_tagging(Bucket=BUCKET, Key="k")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == []
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", Tagging="a=1&a=2") == "InvalidArgument"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", Tagging="a=1,b=2") == "InvalidArgument"
    put(s3, "k", Tagging="a=1&b&c=")
    found = s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"]
    assert [(tag["Key"], tag["Value"]) for tag in found] == [("a", "1"), ("b", ""), ("c", "")]
    assert code(s3.get_object_tagging, Bucket=BUCKET, Key="absent") == "NoSuchKey"


def test_what_is_locked_stays(cloud: Any) -> None:
    s3 = support.client(cloud)
    made(s3, ObjectLockEnabledForBucket=True)
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=rule)
    assert s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"] == rule
    assert (
        code(s3.put_bucket_versioning, Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
        == "InvalidBucketState"
    )
    id = put(s3, "k")["VersionId"]
    assert s3.get_object_retention(Bucket=BUCKET, Key="k")["Retention"]["Mode"] == "GOVERNANCE"
    s3.delete_object(Bucket=BUCKET, Key="k")
    assert code(s3.delete_object, Bucket=BUCKET, Key="k", VersionId=id) == "AccessDenied"
    s3.put_object_legal_hold(Bucket=BUCKET, Key="k", VersionId=id, LegalHold={"Status": "ON"})
    assert (
        code(s3.delete_object, Bucket=BUCKET, Key="k", VersionId=id, BypassGovernanceRetention=True) == "AccessDenied"
    )
    s3.put_object_legal_hold(Bucket=BUCKET, Key="k", VersionId=id, LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=id, BypassGovernanceRetention=True)
    until = datetime.now(UTC) + timedelta(days=1)
    strict = put(s3, "l", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(hours=1)}
    assert code(s3.put_object_retention, Bucket=BUCKET, Key="l", Retention=shorter) == "AccessDenied"
    wanted = [{"Key": "l", "VersionId": strict}]
    (failed,) = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": wanted}, BypassGovernanceRetention=True)["Errors"]
    assert failed["Code"] == "AccessDenied"
    assert code(s3.put_object, Bucket=BUCKET, Key="m", Body=b"", ObjectLockMode="GOVERNANCE") == "InvalidArgument"


def test_a_lock_needs_a_bucket_with_locks(cloud: Any, s3: Any) -> None:
    put(s3, "k")
    assert code(s3.put_object_legal_hold, Bucket=BUCKET, Key="k", LegalHold={"Status": "ON"}) == "InvalidRequest"
    rule = {"ObjectLockEnabled": "Enabled"}
    assert code(s3.put_object_lock_configuration, Bucket=BUCKET, ObjectLockConfiguration=rule) == "InvalidBucketState"


def test_attributes_are_those_asked_for(cloud: Any, s3: Any) -> None:
    etag = put(s3, "k", content=BIG)["ETag"]
    found = s3.get_object_attributes(Bucket=BUCKET, Key="k", ObjectAttributes=["ETag", "ObjectSize", "StorageClass"])
    assert (found["ETag"], found["ObjectSize"], found["StorageClass"]) == (etag.strip('"'), len(BIG), "STANDARD")
    assert "Checksum" not in found
    assert code(s3.get_object_attributes, Bucket=BUCKET, Key="k", ObjectAttributes=["Colour"]) == "InvalidArgument"


def test_metadata_and_storage_class_have_limits(cloud: Any, s3: Any) -> None:
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", Metadata={"a": "x" * 2048}) == "MetadataTooLarge"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", StorageClass="COLD") == "InvalidStorageClass"
    put(s3, "k", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=BUCKET, Key="k")["StorageClass"] == "STANDARD_IA"
    assert s3.list_objects_v2(Bucket=BUCKET)["Contents"][0]["StorageClass"] == "STANDARD_IA"


@pytest.mark.parametrize("cloud", [{"quota_bucket_objects": 2, "quota_object_gib": 1}], indirect=True)
def test_a_quota_is_not_exceeded(cloud: Any) -> None:
    s3 = support.client(cloud)
    made(s3)
    put(s3, "a", "b")
    assert code(s3.put_object, Bucket=BUCKET, Key="c", Body=b"") == "QuotaExceeded"
    s3.delete_object(Bucket=BUCKET, Key="a")
    put(s3, "c")
    assert support.is_tidy(cloud)


def test_the_headers_of_an_answer_can_be_asked_for_by_who_signs(cloud: Any, s3: Any) -> None:
    put(s3, "k", ACL="public-read")
    assert s3.get_object(Bucket=BUCKET, Key="k", ResponseContentType="a/b")["ContentType"] == "a/b"
    assert ask(cloud, "GET", f"/{BUCKET}/k?response-content-type=a%2Fb").code == "InvalidRequest"


def test_a_lifecycle_is_carried_out(cloud: Any, s3: Any) -> None:
    rules = [
        {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}},
        {"ID": "s", "Status": "Enabled", "Filter": {"Tag": {"Key": "t", "Value": "1"}}, "Expiration": {"Days": 1}},
        {
            "ID": "c",
            "Status": "Enabled",
            "Filter": {"Prefix": "cold/"},
            "Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}, {"Days": 99, "StorageClass": "GLACIER"}],
        },
        {"ID": "u", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    assert 'rule-id="r"' in put(s3, "old/1")["Expiration"]
    put(s3, "old/2", "new/1")
    put(s3, "tagged", Tagging="t=1")
    put(s3, "cold/1")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="u")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="u", UploadId=upload, PartNumber=1, Body=b"x")
    later(cloud, days=1.9)
    assert support.keys(s3.list_objects_v2(Bucket=BUCKET)) == ["cold/1", "new/1", "old/1", "old/2", "tagged"]
    later(cloud, days=3.1)
    assert support.keys(s3.list_objects_v2(Bucket=BUCKET)) == ["cold/1", "new/1"]
    assert s3.head_object(Bucket=BUCKET, Key="cold/1")["StorageClass"] == "GLACIER_IR"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    assert support.is_tidy(cloud)


def test_old_versions_expire(cloud: Any, s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    noncurrent = {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}
    rules = [
        {"ID": "n", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": noncurrent},
        {"ID": "m", "Status": "Enabled", "Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    for content in (b"1", b"2", b"3"):
        put(s3, "k", content=content)
    only = put(s3, "gone")["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="gone")
    s3.delete_object(Bucket=BUCKET, Key="gone", VersionId=only)
    later(cloud, days=3.1)
    found = s3.list_object_versions(Bucket=BUCKET)
    assert [one["Key"] for one in found["Versions"]] == ["k", "k"]
    assert "DeleteMarkers" not in found


def later(cloud: Any, days: float) -> None:
    """Carry out the lifecycles as if so much time had gone by since the last midnight, from which S3 counts days."""
    from cumulet.control.object_keeper import Keeper
    from cumulet.control.object_lifecycle import carry_out
    from cumulet.lib.clock import TestClock
    from cumulet.model import Database

    clock = TestClock(cloud.clock.now() // 86400 * 86400 + days * 86400)
    database = Database(cloud.database.url, clock=clock, durable=False)
    try:
        carry_out(database, 86400.0)
        Keeper(database, cloud.cloud.objects.blobs, cloud.config).remove_due()
    finally:
        database.close()
