"""Uploads in parts and copies: what is refused, and what answers say beside the object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code, message, refusal
from support.s3 import BUCKET, put, signed

AT = f"/{BUCKET}/k"


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud)


def begun(s3: Any, **more: Any) -> dict[str, Any]:
    id = s3.create_multipart_upload(Bucket=BUCKET, Key="k", **more)["UploadId"]
    return {"Bucket": BUCKET, "Key": "k", "UploadId": id}


def customer(key: bytes) -> dict[str, Any]:
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


def test_a_completion_names_each_part_by_number_and_tag(cloud: Any, s3: Any) -> None:
    upload = begun(s3)
    s3.upload_part(**upload, PartNumber=1, Body=b"x")
    path = f"{AT}?uploadId={upload['UploadId']}"
    whole = "<CompleteMultipartUpload>{}</CompleteMultipartUpload>"
    for part in ("<PartNumber>1</PartNumber>", '<ETag>"x"</ETag>'):
        answer = signed(cloud, "POST", path, whole.format(f"<Part>{part}</Part>").encode())
        assert (answer.status, answer.code) == (400, "MalformedXML")
    wrong = "<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    answer = signed(cloud, "POST", path, whole.format(wrong).encode())
    assert (answer.code, answer.text("PartNumber"), answer.text("ETag")) == ("InvalidPart", "1", "x")
    assert answer.text("UploadId") == upload["UploadId"]
    none = wrong.replace("1", "0")
    assert signed(cloud, "POST", path, whole.format(none).encode()).code == "InvalidArgument"
    assert signed(cloud, "POST", path, whole.format(wrong * 10_001).encode()).code == "MalformedXML"


def test_parts_have_the_key_that_the_upload_began_with(s3: Any) -> None:
    key, other = customer(b"k" * 32), customer(b"o" * 32)
    upload, plain = begun(s3, **key), begun(s3)
    part = {"PartNumber": 1, "Body": b"x"}
    assert code(s3.upload_part, **upload, **part) == "InvalidRequest"
    assert "did not match" in message(s3.upload_part, **upload, **part, **other)
    assert "did not request encryption" in message(s3.upload_part, **plain, **part, **key)
    assert s3.upload_part(**upload, **part, **key)["SSECustomerAlgorithm"] == "AES256"


def test_a_part_of_an_upload_with_a_composite_checksum_has_one(cloud: Any, s3: Any) -> None:
    upload = begun(s3, ChecksumAlgorithm="SHA256")
    answer = signed(cloud, "PUT", f"{AT}?partNumber=1&uploadId={upload['UploadId']}", b"x")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "expected checksum Type: sha256, actual checksum Type: null" in answer.text("Message")
    assert code(s3.upload_part, **upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32") == "InvalidRequest"
    s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")


def test_a_rule_says_when_it_ends_an_upload_and_an_object(cloud: Any, s3: Any) -> None:
    rules = [
        {"ID": "a", "Status": "Enabled", "Prefix": "k", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}},
        {"ID": "e", "Status": "Enabled", "Filter": {"Prefix": "k"}, "Expiration": {"Days": 2}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    made = s3.create_multipart_upload(Bucket=BUCKET, Key="k")
    upload = {"Bucket": BUCKET, "Key": "k", "UploadId": made["UploadId"]}
    assert (made["AbortRuleId"], made["AbortDate"].hour) == ("a", 0)
    assert 3 * 86400 <= made["AbortDate"].timestamp() - cloud.clock.now() <= 4 * 86400
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    assert s3.list_parts(**upload)["AbortDate"] == made["AbortDate"]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert 'rule-id="e"' in done["Expiration"]
    assert 'rule-id="e"' in s3.copy_object(Bucket=BUCKET, Key="k2", CopySource=f"{BUCKET}/k")["Expiration"]
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=BUCKET, Key="other")


def test_where_the_object_is_is_its_url(cloud: Any, s3: Any) -> None:
    id = s3.create_multipart_upload(Bucket=BUCKET, Key="a b/ü")["UploadId"]
    upload = {"Bucket": BUCKET, "Key": "a b/ü", "UploadId": id}
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert done["Location"] == f"{cloud.url}/{BUCKET}/a%20b/%C3%BC"


def test_who_has_begun_an_upload_may_be_denied_it(cloud: Any, s3: Any) -> None:
    upload = begun(s3)
    for action, call in (
        ("s3:ListMultipartUploadParts", s3.list_parts),
        ("s3:AbortMultipartUpload", s3.abort_multipart_upload),
    ):
        one = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [one]}))
        assert code(call, **upload) == "AccessDenied"
        s3.delete_bucket_policy(Bucket=BUCKET)
        call(**upload)


def test_tags_are_copied_by_who_may_read_them(cloud: Any, s3: Any) -> None:
    put(s3, "k", Tagging="a=1")
    theirs = support.client(cloud.account("other"))
    theirs.create_bucket(Bucket="theirs")
    copy = {"Bucket": "theirs", "Key": "k", "CopySource": f"{BUCKET}/k"}

    def let(*actions: str) -> None:
        one = {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [one]}))

    let("s3:GetObject")
    assert code(theirs.copy_object, **copy) == "AccessDenied"
    theirs.copy_object(**copy, TaggingDirective="REPLACE")
    let("s3:GetObject", "s3:GetObjectTagging")
    theirs.copy_object(**copy)
    assert theirs.get_object_tagging(Bucket="theirs", Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]


def test_a_condition_holds_from_the_beginning_of_an_upload_on(cloud: Any, s3: Any) -> None:
    """A key that was changed meanwhile is a conflict, though what is there now be what is expected."""
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    old = put(s3, "k")["ETag"]
    upload = begun(s3)
    parts = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]}]}
    complete = partial(s3.complete_multipart_upload, **upload, MultipartUpload=parts)
    new = put(s3, "k", content=b"new")["ETag"]
    assert code(complete, IfMatch=old) == "PreconditionFailed"
    error = refusal(complete, IfMatch=new).response
    assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Condition"]) == (409, "If-Match")
    assert (error["Error"]["Code"], error["Error"]["Key"]) == ("ConditionalRequestConflict", "k")
    assert code(complete, IfNoneMatch="*") == "PreconditionFailed"
    s3.delete_object(Bucket=BUCKET, Key="k")
    assert code(complete, IfMatch=new) == "NoSuchKey"
    assert code(complete, IfNoneMatch="*") == "ConditionalRequestConflict"
    complete()
    again = begun(s3)
    parts = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**again, PartNumber=1, Body=b"y")["ETag"]}]}
    there = s3.head_object(Bucket=BUCKET, Key="k")["ETag"]
    s3.complete_multipart_upload(**again, MultipartUpload=parts, IfMatch=there)
    assert support.body(s3, "k") == b"y"


def test_who_completes_an_upload_twice_at_once_is_told_twice(cloud: Any, s3: Any) -> None:
    """As it happens when a client asks again while the first request is still at work."""
    for _ in range(5):
        upload = begun(s3)
        parts = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]}]}
        complete = partial(s3.complete_multipart_upload, **upload, MultipartUpload=parts)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda one: one(), [complete] * 8))
        assert len({answer["ETag"] for answer in answers}) == 1
    assert support.is_tidy(cloud)
