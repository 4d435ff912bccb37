"""What S3 says of a request that is wrong: the code, the status, and the elements that say what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support import s3 as support
from support.s3 import BUCKET, Raw, ask, body, put, signed

AT = f"/{BUCKET}/k"


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    found = support.fresh(cloud)
    put(found, "k", content=b"0123456789")
    return found


def by_url(cloud: Any, method: str = "GET", region: str = "us-east-1", expires: int = 60, **headers: str) -> Raw:
    request = AWSRequest(method, cloud.url + AT)
    S3SigV4QueryAuth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", region, expires).add_auth(request)
    parts = urlsplit(request.url)
    return ask(cloud, method, f"{parts.path}?{parts.query}", **headers)


def test_a_wrong_region_is_named_with_the_right_one(cloud: Any, s3: Any) -> None:
    answer = signed(cloud, "GET", AT, region="us-west-2")
    assert (answer.status, answer.code, answer.text("Region")) == (400, "AuthorizationHeaderMalformed", "us-east-1")
    right = "The authorization header is malformed; the region 'us-west-2' is wrong; expecting 'us-east-1'"
    assert answer.text("Message") == right
    answer = by_url(cloud, region="us-west-2")
    assert (answer.code, answer.text("Region")) == ("AuthorizationQueryParametersError", "us-east-1")


def test_a_signature_that_does_not_match_says_what_should_have_been_signed(cloud: Any, s3: Any) -> None:
    answer = signed(cloud, "GET", AT, x_amz_date="20200101T000000Z", without="x-amz-date")
    assert answer.code == "AccessDenied"
    cloud.admin.secret, right = "wrong", cloud.admin.secret
    answer = signed(cloud, "GET", AT)
    cloud.admin.secret = right
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert answer.text("AWSAccessKeyId") == cloud.admin.key
    lines = answer.text("StringToSign").splitlines()
    assert (lines[0], lines[2][8:]) == ("AWS4-HMAC-SHA256", "/us-east-1/s3/aws4_request")
    assert bytes.fromhex(answer.text("StringToSignBytes")).decode().splitlines() == lines
    assert len(answer.text("SignatureProvided")) == 64
    cloud.admin.key, right = "AKIAXXXXXXXXXXXXXXXX", cloud.admin.key
    answer = signed(cloud, "GET", AT)
    cloud.admin.key = right
    assert (answer.code, answer.text("AWSAccessKeyId")) == ("InvalidAccessKeyId", "AKIAXXXXXXXXXXXXXXXX")


def test_a_header_that_is_not_signed_is_named(cloud: Any, s3: Any) -> None:
    answer = by_url(cloud, "PUT", x_amz_acl="public-read")
    assert (answer.status, answer.code, answer.text("HeadersNotSigned")) == (403, "AccessDenied", "x-amz-acl")


def test_times_that_are_wrong_are_said_with_ours(cloud: Any, s3: Any) -> None:
    cloud.clock.ahead = 1000
    answer = signed(cloud, "GET", AT)
    assert (answer.code, answer.text("MaxAllowedSkewMilliseconds")) == ("RequestTimeTooSkewed", "900000")
    assert answer.text("RequestTime")[:2] == answer.text("ServerTime")[:2] == "20"
    answer = by_url(cloud)
    cloud.clock.ahead = 0
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.text("Message").startswith("Request has expired")
    assert answer.text("Expires") < answer.text("ServerTime")


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", f"/{BUCKET}?max-keys=abc", {}, (400, "InvalidArgument", {"ArgumentName": "max-keys"})),
        ("GET", f"/{BUCKET}?max-keys=2147483648", {}, (400, "InvalidArgument", {"ArgumentValue": "2147483648"})),
        ("GET", f"{AT}?partNumber=abc", {}, (400, "InvalidArgument", {"ArgumentName": "partNumber"})),
        ("PUT", f"{AT}?partNumber=&uploadId=", {}, (400, "InvalidArgument", {"ArgumentName": "partNumber"})),
        ("PUT", f"/{BUCKET}?metrics=", {}, (400, "InvalidArgument", {"ArgumentName": "id"})),
        ("GET", f"{AT}?partNumber=2", {}, (416, "InvalidPartNumber", {"ActualPartCount": "1"})),
        ("PATCH", AT, {}, (405, "MethodNotAllowed", {"ResourceType": "OBJECT"})),
        ("PUT", AT, {"If_None_Match": '"a"'}, (501, "NotImplemented", {"Header": "If-None-Match"})),
        ("PUT", AT, {"If_Match": "*"}, (501, "NotImplemented", {"Header": "If-Match"})),
        ("PUT", f"/{BUCKET}/none", {"If_Match": "*"}, (501, "NotImplemented", {"Header": "If-Match"})),
        ("PUT", AT, {"x_amz_storage_class": "A"}, (400, "InvalidStorageClass", {"StorageClassRequested": "A"})),
        ("PUT", AT, {"x_amz_server_side_encryption": "A"}, (400, "InvalidArgument", {"ArgumentValue": "A"})),
        ("PUT", AT, {"x_amz_sdk_checksum_algorithm": "CRC"}, (400, "InvalidRequest", {})),
        ("PUT", AT, {"x_amz_sdk_checksum_algorithm": "CRC32"}, (400, "InvalidRequest", {})),
        (
            "PUT",
            AT,
            {"x_amz_sdk_checksum_algorithm": "SHA1", "x_amz_checksum_crc32": "AAAAAA=="},
            (400, "BadDigest", {}),
        ),
        ("GET", AT, {"x_amz_expected_bucket_owner": "me"}, (400, "InvalidBucketOwnerAWSAccountID", {})),
        ("GET", AT, {"x_amz_expected_bucket_owner": "1" * 12}, (403, "AccessDenied", {})),
        ("PUT", AT, {"Content_MD5": "A" * 22 + "=="}, (400, "BadDigest", {"ExpectedDigest": "0" * 32})),
    ],
)
def test_a_refusal_says_what_was_sent(
    cloud: Any, s3: Any, method: str, path: str, headers: dict[str, str], expected: tuple[int, str, dict[str, str]]
) -> None:
    status, code, details = expected
    answer = signed(cloud, method, path, b"x" if method == "PUT" else b"", **headers)
    assert (answer.status, answer.code) == (status, code)
    assert {name: answer.text(name) for name in details} == details
    assert (answer.headers["server"], answer.headers["content-type"]) == ("AmazonS3", "application/xml")


LIST = (
    '<AccessControlPolicy><Owner><ID>{0}</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/'
    'XMLSchema-instance" xsi:type="{1}">{2}</Grantee><Permission>{3}</Permission></Grant></AccessControlList>'
    "</AccessControlPolicy>"
)


@pytest.mark.parametrize(
    ("grantee", "expected"),
    [
        (("CanonicalUser", "<ID>{0}</ID>", "ALL"), (400, "MalformedACLError")),
        (("Nobody", "<ID>{0}</ID>", "READ"), (400, "MalformedACLError")),
        (("CanonicalUser", "<ID>x</ID>", "READ"), (400, "InvalidArgument")),
        (("Group", "<URI>x</URI>", "READ"), (400, "InvalidArgument")),
        (("CanonicalUser", "<ID>{0}</ID>", "READ"), (200, "")),
    ],
)
def test_a_list_that_is_none_has_a_code_of_its_own(
    cloud: Any, s3: Any, grantee: tuple[str, str, str], expected: tuple[int, str]
) -> None:
    owner = s3.get_bucket_acl(Bucket=BUCKET)["Owner"]["ID"]
    document = LIST.format(owner, *grantee).replace("{0}", owner)
    for path in (f"/{BUCKET}?acl", f"{AT}?acl"):
        answer = signed(cloud, "PUT", path, document.encode())
        assert (answer.status, answer.code) == expected
    for document in ("<AccessControlPolicy/>", "<AccessControl", "<AccessControlPolicy><Owner/></AccessControlPolicy>"):
        assert signed(cloud, "PUT", f"/{BUCKET}?acl", document.encode()).code == "MalformedACLError"


def test_what_has_not_changed_is_said_with_what_caches_need(cloud: Any, s3: Any) -> None:
    put(s3, "c", CacheControl="max-age=5", Expires="Thu, 01 Dec 2033 16:00:00 GMT")
    answer = signed(cloud, "GET", f"/{BUCKET}/c", If_None_Match="*")
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (304, b"", "max-age=5")
    assert answer.headers["expires"] == "Thu, 01 Dec 2033 16:00:00 GMT"
    assert answer.headers["etag"] == s3.head_object(Bucket=BUCKET, Key="c")["ETag"]


def test_a_part_of_a_thing_is_not_taken_for_the_thing(cloud: Any, s3: Any) -> None:
    s3.create_bucket(Bucket="empty-bucket")
    for method, path in (
        ("DELETE", "/empty-bucket?acl"),
        ("DELETE", "/empty-bucket?versioning"),
        ("DELETE", f"{AT}?acl"),
        ("DELETE", f"{AT}?uploads"),
        ("PUT", "/new-bucket?location"),
        ("PUT", f"{AT}?torrent"),
        ("POST", "/empty-bucket?cors"),
    ):
        answer = signed(cloud, method, path, b"x" if method == "PUT" else b"")
        assert (answer.status, answer.code) == (405, "MethodNotAllowed"), path
    assert body(s3, "k") == b"0123456789"
    assert {one["Name"] for one in s3.list_buckets()["Buckets"]} == {BUCKET, "empty-bucket"}
    assert signed(cloud, "PUT", f"{AT}?anything=else", b"x").status == 200


def test_the_methods_that_there_are_are_said(cloud: Any, s3: Any) -> None:
    for path, allowed in (
        ("/", "GET"),
        (f"/{BUCKET}", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
        (AT, "DELETE, GET, HEAD"),
    ):
        answer = signed(cloud, "PATCH", path)
        assert (answer.status, answer.headers["allow"].startswith(allowed)) == (405, True)


def test_a_path_that_is_no_uri_is_refused(cloud: Any, s3: Any) -> None:
    for path in (f"/{BUCKET}/%zz", f"/{BUCKET}/100%", f"/{BUCKET}/%ff", f"/{BUCKET}?prefix=%f"):
        answer = ask(cloud, "GET", path)
        assert (answer.status, answer.code) == (400, "InvalidURI")


def test_a_key_without_a_bucket_is_refused(cloud: Any, s3: Any) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        answer = ask(cloud, method, "//k", b"x" if method == "PUT" else None)
        assert (answer.status, answer.code) == (400, "" if method == "HEAD" else "InvalidBucketName")


def test_a_versioning_without_a_status_is_none(cloud: Any, s3: Any) -> None:
    answer = signed(cloud, "PUT", f"/{BUCKET}?versioning", b"<VersioningConfiguration/>")
    assert (answer.status, answer.code) == (400, "IllegalVersioningConfigurationException")


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_server_side_encryption": "aws:kms"},
        {"x_amz_server_side_encryption": "aws:kms:dsse"},
        {"x_amz_server_side_encryption_aws_kms_key_id": "a"},
        {"x_amz_server_side_encryption_context": "e30="},
    ],
)
def test_keys_of_a_service_that_is_not_here_are_refused_with_what_would_do(
    cloud: Any, s3: Any, headers: dict[str, str]
) -> None:
    for method, path in (("PUT", f"/{BUCKET}/k"), ("POST", f"/{BUCKET}/k?uploads")):
        answer = signed(cloud, method, path, **headers)
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert "it has no key management service; use AES256 or SSE-C." in answer.text("Message")


def test_what_objects_cannot_be_asked_here_is_refused_with_what_would_do(cloud: Any, s3: Any) -> None:
    for query, instead in (
        ("restore", "without being restored"),
        ("select&select-type=2", "get the object, or ranges"),
    ):
        lacking = signed(cloud, "POST", f"/{BUCKET}/k?{query}")
        assert (lacking.status, lacking.code) == (501, "NotImplemented")
        assert instead in lacking.text("Message")
