"""What an answer to GetObject and its like says, and to whom."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, ask, put, signed

AT = f"/{BUCKET}/k"
DATE = "Thu, 01 Dec 2033 16:00:00 GMT"


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud)


def test_a_range_counts_only_while_the_object_is_the_one_that_was_seen(cloud: Any, s3: Any) -> None:
    etag = put(s3, "k", content=b"0123456789")["ETag"]
    modified = signed(cloud, "HEAD", AT).headers["last-modified"]
    for condition, expected in ((etag, 206), (modified, 206), ('"another"', 200), (f"W/{etag}", 200), (DATE, 200)):
        answer = signed(cloud, "GET", AT, Range="bytes=2-4", If_Range=condition)
        assert (answer.status, answer.body) == (expected, b"234" if expected == 206 else b"0123456789")


def test_metadata_that_are_not_ascii_are_mail_safe(cloud: Any, s3: Any) -> None:
    word = "=?UTF-8?B?" + base64.b64encode("Grüße, 世界".encode()).decode() + "?="
    assert signed(cloud, "PUT", AT, b"x", x_amz_meta_a=word, x_amz_meta_b="plain =?", x_amz_meta_c="a?=").status == 200
    headers = signed(cloud, "HEAD", AT).headers
    assert [headers[f"x-amz-meta-{name}"] for name in "abc"] == [word, "plain =?", "a?="]
    s3.put_object(Bucket=BUCKET, Key="quoted", Metadata={"a": "=?iso-8859-1?q?Gr=FC=DFe?="})
    found = s3.head_object(Bucket=BUCKET, Key="quoted")["Metadata"]["a"]
    assert base64.b64decode(found.split("?")[3]).decode() == "Grüße"
    s3.put_object(Bucket=BUCKET, Key="long", Metadata={"a": "x" * 2047})
    too_long = "=?UTF-8?B?" + base64.b64encode(("ü" * 1024).encode()).decode() + "?="
    assert signed(cloud, "PUT", AT, b"x", x_amz_meta_a=too_long).code == "MetadataTooLarge"


def test_the_checksum_of_a_part_is_given_with_the_part(cloud: Any, s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
    part = s3.upload_part(**named, PartNumber=1, Body=b"one", ChecksumAlgorithm="SHA256")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
    whole = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})["ChecksumSHA256"]
    headers = signed(cloud, "HEAD", AT, x_amz_checksum_mode="ENABLED").headers
    assert (headers["x-amz-checksum-sha256"], headers["x-amz-checksum-type"]) == (whole, "COMPOSITE")
    headers = signed(cloud, "HEAD", f"{AT}?partNumber=1", x_amz_checksum_mode="ENABLED").headers
    assert headers["x-amz-checksum-sha256"] == part["ChecksumSHA256"]
    assert (
        "x-amz-checksum-sha256"
        not in signed(cloud, "GET", AT, Range="bytes=0-1", x_amz_checksum_mode="ENABLED").headers
    )


def test_the_checksum_is_given_with_all_the_bytes_it_is_of(cloud: Any, s3: Any) -> None:
    value = put(s3, "k", content=b"0123456789", ChecksumAlgorithm="CRC32")["ChecksumCRC32"]
    for asked, status, given in (
        ("bytes=0-99", 206, value),
        ("bytes=-10", 206, value),
        ("bytes=2-1", 200, value),  # no range
        ("bytes=1-", 206, None),
        ("bytes=0-8", 206, None),
    ):
        answer = signed(cloud, "GET", AT, Range=asked, x_amz_checksum_mode="ENABLED")
        assert (answer.status, answer.headers.get("x-amz-checksum-crc32")) == (status, given)


def test_tags_and_locks_are_told_to_who_may_ask_for_them(cloud: Any, s3: Any) -> None:
    put(s3, "k", Tagging="a=1&b=2", ACL="public-read")
    assert signed(cloud, "HEAD", AT).headers["x-amz-tagging-count"] == "2"
    answer = ask(cloud, "GET", AT)
    assert (answer.status, "x-amz-tagging-count" in answer.headers) == (200, False)
    allowed = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObjectTagging",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    assert ask(cloud, "GET", AT).headers["x-amz-tagging-count"] == "2"


def test_what_has_been_overwritten_does_not_expire_with_the_newest(cloud: Any, s3: Any) -> None:
    rules = [{"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 3}}]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    old, new = (put(s3, "k")["VersionId"] for _ in range(2))
    assert 'rule-id="r"' in s3.head_object(Bucket=BUCKET, Key="k", VersionId=new)["Expiration"]
    assert "Expiration" not in s3.head_object(Bucket=BUCKET, Key="k", VersionId=old)


def test_versions_and_delete_markers_are_listed_in_one_order(cloud: Any, s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    put(s3, "a")
    s3.delete_object(Bucket=BUCKET, Key="a")
    put(s3, "a", "b", "c/d")
    document = signed(cloud, "GET", f"/{BUCKET}?delimiter=%2F&versions=").body.decode()
    found = re.findall("<(Version|DeleteMarker|CommonPrefixes)>", document)
    assert found == ["Version", "DeleteMarker", "Version", "Version", "CommonPrefixes"]
    answer = signed(cloud, "GET", f"/{BUCKET}?key-marker=a&version-id-marker=x&versions=")
    assert (answer.status, answer.code, answer.text("ArgumentName")) == (400, "InvalidArgument", "version-id-marker")


def test_attributes_need_a_permission_of_their_own(cloud: Any, s3: Any) -> None:
    put(s3, "k")
    other = cloud.account("other")
    theirs = support.client(other)

    def let(*actions: str) -> None:
        one = {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [one]}))

    asked = {"Bucket": BUCKET, "Key": "k", "ObjectAttributes": ["ObjectSize"]}
    let("s3:GetObject")
    with pytest.raises(theirs.exceptions.ClientError, match="AccessDenied"):
        theirs.get_object_attributes(**asked)
    let("s3:GetObject", "s3:GetObjectAttributes")
    assert theirs.get_object_attributes(**asked)["ObjectSize"] == 1


def test_who_reads_does_not_say_how_to_encrypt(cloud: Any, s3: Any) -> None:
    put(s3, "k", ServerSideEncryption="AES256")
    for method in ("AES256", "aws:kms"):
        answer = signed(cloud, "GET", AT, x_amz_server_side_encryption=method)
        assert (answer.status, answer.code, answer.text("ArgumentValue")) == (400, "InvalidArgument", method)
        assert signed(cloud, "HEAD", AT, x_amz_server_side_encryption=method).status == 400
    assert signed(cloud, "GET", AT).headers["x-amz-server-side-encryption"] == "AES256"


def test_a_delete_marker_has_no_tags_to_speak_of(cloud: Any, s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    put(s3, "k", Tagging="a=1")
    marker = s3.delete_object(Bucket=BUCKET, Key="k")["VersionId"]
    for version in ("", f"&versionId={marker}"):
        answer = signed(cloud, "GET", f"{AT}?tagging{version}")
        assert (answer.status, answer.code, answer.text("ResourceType")) == (405, "MethodNotAllowed", "DeleteMarker")
        assert signed(cloud, "DELETE", f"{AT}?tagging{version}").code == "MethodNotAllowed"
    tags = {"TagSet": [{"Key": "a", "Value": "2"}]}
    assert code(s3.put_object_tagging, Bucket=BUCKET, Key="k", Tagging=tags) == "MethodNotAllowed"
    assert code(s3.put_object_acl, Bucket=BUCKET, Key="k", ACL="private") == "MethodNotAllowed"
    assert code(s3.get_object_acl, Bucket=BUCKET, Key="k") == "NoSuchKey"
