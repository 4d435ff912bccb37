"""How a request to S3 may be signed and sent, and what is said of one that is wrong."""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import socket
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, Raw, ask, body, form, made, put, signed

from cumulet.api.s3.exchange import Exchange

BIG = bytes(range(256)) * 1200


@pytest.fixture
def s3(cloud: Any) -> Any:
    found = support.client(cloud)
    made(found)
    return found


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_both_versions_of_signatures_are_believed(cloud: Any, s3: Any, version: str) -> None:
    client = support.client(cloud, signature_version=version)
    put(client, "a b/ü", content=b"signed", Metadata={"a": "b"})
    assert body(client, "a b/ü") == b"signed"
    assert client.get_object_tagging(Bucket=BUCKET, Key="a b/ü")["TagSet"] == []
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "a b/ü", "ResponseContentType": "x/y"}
    )
    with urlopen(url) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"signed", "x/y")
    url = client.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "by-url"})
    with urlopen(Request(url, data=b"put", method="PUT", headers={"Content-Type": ""})) as answer:
        assert answer.status == 200
    parts = urlsplit(url)
    assert ask(cloud, "PUT", f"{parts.path}x?{parts.query}", b"put").code == "SignatureDoesNotMatch"
    wrong = boto3.client(
        "s3",
        endpoint_url=cloud.url,
        aws_access_key_id=cloud.admin.key,
        aws_secret_access_key="wrong",
        config=client.meta.config,
    )
    assert code(wrong.list_buckets) == "SignatureDoesNotMatch"


def test_version_2_signs_a_bucket_with_or_without_a_slash(cloud: Any, s3: Any) -> None:
    client = support.client(cloud, signature_version="s3")
    put(client, "k")
    assert support.keys(client.list_objects_v2(Bucket=BUCKET)) == ["k"]
    assert code(client.get_bucket_cors, Bucket=BUCKET) == "NoSuchCORSConfiguration"
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for path, expected in ((f"/{BUCKET}", 200), (f"/{BUCKET}/", 200), (f"/{BUCKET}?acl", 403), ("/", 403)):
        text = f"GET\n\n\n{date}\n{path}"
        signature = base64.b64encode(hmac.digest(cloud.admin.secret.encode(), text.encode(), "sha1")).decode()
        answer = ask(cloud, "GET", f"/{BUCKET}", Date=date, Authorization=f"AWS {cloud.admin.key}:{signature}")
        assert answer.status == expected


def test_a_url_that_has_expired_is_not_believed(cloud: Any, s3: Any) -> None:
    put(s3, "k")
    old = int(datetime.now(UTC).timestamp()) - 10
    parts = urlsplit(
        support.client(cloud, signature_version="s3").generate_presigned_url(
            "get_object", Params={"Bucket": BUCKET, "Key": "k"}
        )
    )
    assert (
        ask(cloud, "GET", f"{parts.path}?AWSAccessKeyId={cloud.admin.key}&Signature=x&Expires={old}").code
        == "AccessDenied"
    )
    newer = support.client(cloud, signature_version="s3v4")
    url = newer.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "k"}, ExpiresIn=604801)
    parts = urlsplit(url)
    assert ask(cloud, "GET", f"{parts.path}?{parts.query}").code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": ""}, (403, "AccessDenied")),
        ({"Authorization": "AWS HAHAHA"}, (400, "InvalidArgument")),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=HAHAHA"}, (400, "InvalidRequest")),
        ({"Authorization": "AWS AKIA:sig"}, (403, "AccessDenied")),
        ({"Authorization": "AWS AKIA:sig", "Date": "Bad Date"}, (403, "AccessDenied")),
        ({"Authorization": "AWS AKIA:sig", "Date": "Tue, 07 Jul 2010 21:53:04 GMT"}, (403, "RequestTimeTooSkewed")),
        ({"Authorization": "AWS AKIA:sig", "Date": "now"}, (403, "InvalidAccessKeyId")),
        ({}, (403, "AccessDenied")),
    ],
)
def test_a_signature_that_is_none_is_refused(
    cloud: Any, s3: Any, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    if headers.get("Date") == "now":
        headers = {**headers, "Date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}
    answer = ask(cloud, "PUT", f"/{BUCKET}/k", b"x", **headers)
    assert (answer.status, answer.code) == expected
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "Error"
    assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]


def test_the_clock_may_not_be_wrong_by_more_than_a_quarter_of_an_hour(cloud: Any, s3: Any) -> None:
    credential = f"Credential={cloud.admin.key}/20200101/us-east-1/s3/aws4_request"
    headers = "SignedHeaders=host;x-amz-content-sha256;x-amz-date"
    answer = ask(
        cloud,
        "GET",
        f"/{BUCKET}",
        Authorization=f"AWS4-HMAC-SHA256 {credential}, {headers}, Signature=0",
        x_amz_date="20200101T000000Z",
        x_amz_content_sha256="UNSIGNED-PAYLOAD",
    )
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")


def test_a_body_that_is_not_the_one_that_was_signed_is_refused(cloud: Any, s3: Any) -> None:
    digest = hashlib.sha256(b"other").hexdigest()
    request = AWSRequest("PUT", f"{cloud.url}/{BUCKET}/k", data=b"other")
    S3SigV4Auth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", "us-east-1").add_auth(request)
    answer = ask(cloud, "PUT", f"/{BUCKET}/k", b"this!", **dict(request.headers.items()))
    assert (request.headers["X-Amz-Content-SHA256"], answer.code) == (digest, "XAmzContentSHA256Mismatch")
    assert support.is_tidy(cloud)


def chunk_signature(cloud: Any, when: str, previous: str, piece: bytes, kind: str = "PAYLOAD") -> str:
    scope = f"{when[:8]}/us-east-1/s3/aws4_request"
    key = f"AWS4{cloud.admin.secret}".encode()
    for part in (when[:8], "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    lines = [f"AWS4-HMAC-SHA256-{kind}", when, scope, previous]
    lines += [hashlib.sha256(b"").hexdigest()] if kind == "PAYLOAD" else []
    text = "\n".join([*lines, hashlib.sha256(piece).hexdigest()])
    return hmac.digest(key, text.encode(), "sha256").hex()


def chunked(cloud: Any, pieces: list[bytes], trailer: str = "", spoil: int = -1, query: str = "") -> Raw:
    """A PUT in signed chunks, with a trailer or none; of chunk `spoil` the signature is wrong.

    With a trailer without a length of what is sent, in chunks of HTTP.
    """
    path = f"/{BUCKET}/k{query}"
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {"X-Amz-Decoded-Content-Length": str(sum(map(len, pieces))), "Content-Encoding": "aws-chunked"}
    headers |= {"X-Amz-Trailer": trailer.partition(":")[0]} if trailer else {}
    request = AWSRequest("PUT", f"{cloud.url}{path}", headers=headers)
    signer = S3SigV4Auth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", "us-east-1")
    signer.payload = lambda request: kind
    signer.add_auth(request)
    request.headers.replace_header("X-Amz-Content-SHA256", kind)
    previous = request.headers["Authorization"].partition("Signature=")[2]
    sent = b""
    for number, piece in enumerate([*pieces, b""]):
        previous = chunk_signature(cloud, request.context["timestamp"], previous, piece)
        shown = "0" * 64 if number == spoil else previous
        sent += f"{len(piece):x};chunk-signature={shown}\r\n".encode() + piece + (b"\r\n" if piece else b"")
    if trailer:
        last = chunk_signature(cloud, request.context["timestamp"], previous, f"{trailer}\n".encode(), "TRAILER")
        sent += f"{trailer}\r\nx-amz-trailer-signature:{last}\r\n".encode()
    sent += b"\r\n"
    return ask(cloud, "PUT", path, iter([sent[:7], sent[7:]]) if trailer else sent, **dict(request.headers.items()))


def test_signed_chunks_are_put_together(cloud: Any, s3: Any) -> None:
    assert chunked(cloud, [BIG[:65536], BIG[65536:]]).status == 200
    assert body(s3, "k") == BIG
    assert "ContentEncoding" not in s3.head_object(Bucket=BUCKET, Key="k")
    for wrong in (0, 1, 2):
        assert chunked(cloud, [BIG[:65536], b"x"], spoil=wrong).code == "SignatureDoesNotMatch"
    assert body(s3, "k") == BIG
    assert support.is_tidy(cloud)


def test_a_trailer_has_the_checksum(cloud: Any, s3: Any) -> None:
    right = base64.b64encode(hashlib.sha256(BIG).digest()).decode()
    assert chunked(cloud, [BIG], f"x-amz-checksum-sha256:{right}").status == 200
    assert s3.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == right
    wrong = base64.b64encode(bytes(32)).decode()
    assert chunked(cloud, [b"x"], f"x-amz-checksum-sha256:{wrong}").code == "BadDigest"
    assert body(s3, "k") == BIG
    id = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    part = chunked(cloud, [BIG], f"x-amz-checksum-sha256:{right}", query=f"?partNumber=1&uploadId={id}")
    assert (part.status, part.headers["x-amz-checksum-sha256"]) == (200, right)


def test_unsigned_chunks_have_a_trailer(cloud: Any, s3: Any) -> None:
    crc = base64.b64encode((907060870).to_bytes(4, "big")).decode()  # of "hello"
    content = f"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    headers = {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": "5"}
    request = AWSRequest("PUT", f"{cloud.url}/{BUCKET}/k", headers={**headers, "Content-Encoding": "aws-chunked,gzip"})
    signer = S3SigV4Auth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", "us-east-1")
    signer.payload = lambda request: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    signer.add_auth(request)
    request.headers.replace_header("X-Amz-Content-SHA256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    sent = dict(request.headers.items())
    assert ask(cloud, "PUT", f"/{BUCKET}/k", iter([content]), **sent).status == 200
    found = s3.get_object(Bucket=BUCKET, Key="k")
    assert (found["Body"].read(), found["ContentEncoding"]) == (b"hello", "gzip")
    assert ask(cloud, "PUT", f"/{BUCKET}/k", content.replace(b"hello", b"Hello"), **sent).code == "BadDigest"
    for cut in (content[:8], content[:12], content.replace(b"5\r\n", b"6\r\n")):
        assert ask(cloud, "PUT", f"/{BUCKET}/k", cut, **sent).code in ("IncompleteBody", "InvalidRequest")
    assert support.is_tidy(cloud)


def test_a_client_that_expects_100_is_told_before_it_sends(cloud: Any, s3: Any) -> None:
    host, _, port = cloud.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = (
            f"PUT /absent-bucket/k HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 40")
    assert b"100 Continue" not in answer
    put(s3, "k", content=BIG * 10)  # boto3 expects it too
    assert body(s3, "k") == BIG * 10


def test_a_put_that_ends_half_way_is_not_there(cloud: Any, s3: Any) -> None:
    put(s3, "k", content=b"before")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "k"})
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(3_000_000))
    assert body(s3, "k") == b"before"
    for _ in range(100):
        if support.is_tidy(cloud):
            return
        time.sleep(0.05)
    raise AssertionError("what was written aside stays")


def test_a_put_needs_its_length(cloud: Any, s3: Any) -> None:
    parts = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "k"}))
    host, port = parts.hostname, parts.port
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(
            f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert b"411" in answer.split(b"\r\n")[0]
    assert b"<Code>MissingContentLength</Code>" in answer


@pytest.mark.parametrize("pieces", [[b"short"], [BIG] * 8], ids=["small", "large"])
def test_chunks_of_http_do_not_say_the_length(cloud: Any, s3: Any, pieces: list[bytes]) -> None:
    id = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "k"}
    urls = [s3.generate_presigned_url("put_object", Params=named)]
    urls.append(s3.generate_presigned_url("upload_part", Params={**named, "UploadId": id, "PartNumber": 1}))
    for url in map(urlsplit, urls):
        answer = ask(cloud, "PUT", f"{url.path}?{url.query}", iter(pieces))
        assert (answer.status, answer.code, answer.text("Header")) == (501, "NotImplemented", "Transfer-Encoding")
    assert code(s3.head_object, **named) == "404"
    assert "Parts" not in s3.list_parts(**named, UploadId=id)
    assert support.is_tidy(cloud)


def test_a_request_is_forgotten_when_it_has_been_answered(cloud: Any, s3: Any) -> None:
    """Cycles are looked for seldom, and what thousands of requests leave until then is many MiB."""
    gc.collect()
    gc.disable()
    try:
        put(s3, "k", content=BIG)
        assert body(s3, "k") == BIG
        s3.put_object_tagging(Bucket=BUCKET, Key="k", Tagging={"TagSet": []})
        end = time.monotonic() + 10
        while any(isinstance(one, Exchange) for one in gc.get_objects()):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        gc.enable()


TAGS = b"<Tagging><TagSet><Tag><Key>%s</Key><Value/></Tag></TagSet></Tagging>"
BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + TAGS % b"&b;"
OUTSIDE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + TAGS % b"&x;"


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        OUTSIDE,
        b"<a>" * 5000,
        b"",
        b"<Tagging>",
        b"<Tagging/>",
        b"<Tagging><Nonsense/></Tagging>",
        b"\xff\xfe",
        b"text",
    ],
    ids=range(9),
)
def test_xml_that_is_wrong_is_refused(cloud: Any, s3: Any, document: bytes) -> None:
    answer = signed(cloud, "PUT", f"/{BUCKET}?tagging", document)
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert b"root:" not in answer.body


def test_a_method_or_a_subresource_that_is_not_there_is_refused(cloud: Any, s3: Any) -> None:
    assert signed(cloud, "POST", f"/{BUCKET}/k").code == "MethodNotAllowed"
    assert signed(cloud, "PATCH", f"/{BUCKET}").status == 405
    torrent = signed(cloud, "GET", f"/{BUCKET}/k?torrent")
    assert (torrent.status, torrent.code) == (501, "NotImplemented")
    assert signed(cloud, "GET", f"/{BUCKET}/%ff").code == "InvalidURI"
    assert signed(cloud, "GET", f"/{BUCKET}/k%00x").code == "NoSuchKey"


@pytest.mark.parametrize(
    "content", [b"", b"file", b"\r\n--x-boundary-", BIG * 3], ids=["empty", "small", "near", "big"]
)
@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_form_is_an_upload(cloud: Any, s3: Any, content: bytes, version: str) -> None:
    client = support.client(cloud, signature_version=version)
    extra = {"success_action_status": "201", "Content-Type": "text/css", "x-amz-meta-a": "b"}
    conditions: list[Any] = [{name: value} for name, value in extra.items()]
    conditions.append(["content-length-range", 0, 2_000_000])
    made_form = client.generate_presigned_post(BUCKET, "up/${filename}", Fields=extra, Conditions=conditions)
    answer = form(cloud, made_form["fields"], content)
    assert (answer.status, b"<Key>up/my file.txt</Key>" in answer.body) == (201, True)
    found = s3.get_object(Bucket=BUCKET, Key="up/my file.txt")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (content, "text/css", {"a": "b"})


def test_a_form_that_its_policy_does_not_allow_is_refused(cloud: Any, s3: Any) -> None:
    def fields(**more: Any) -> dict[str, str]:
        client = support.client(cloud, signature_version="s3v4")
        return dict(client.generate_presigned_post(BUCKET, "k", **more)["fields"])

    assert form(cloud, {**fields(), "key": "other"}, b"x").code == "AccessDenied"
    assert form(cloud, {**fields(), "acl": "public-read"}, b"x").code == "AccessDenied"
    assert form(cloud, {**fields(), "x-ignore-me": "1"}, b"x").status == 204
    assert form(cloud, fields(ExpiresIn=-10), b"x").code == "AccessDenied"
    sized = fields(Conditions=[["content-length-range", 2, 3]])
    assert [form(cloud, sized, content).code for content in (b"1", b"12", b"1234")] == [
        "EntityTooSmall",
        "",
        "EntityTooLarge",
    ]
    assert form(cloud, {**fields(), "x-amz-signature": "0" * 64}, b"x").code == "SignatureDoesNotMatch"
    assert form(cloud, {**fields(), "policy": base64.b64encode(b"{").decode()}, b"x").code in (
        "InvalidPolicyDocument",
        "SignatureDoesNotMatch",
    )
    assert form(cloud, {"key": "k"}, b"x").code == "AccessDenied"
    moved = form(
        cloud,
        {
            **fields(
                Fields={"success_action_redirect": "http://x.org/"},
                Conditions=[{"success_action_redirect": "http://x.org/"}],
            )
        },
        b"x",
    )
    assert (moved.status, moved.headers["location"].startswith("http://x.org/?bucket=")) == (303, True)
    assert support.is_tidy(cloud)


def test_two_writers_of_a_key_leave_one_whole_object(cloud: Any, s3: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    contents = [bytes([number]) * 300_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: put(support.client(cloud), "k", content=content), contents))
    assert body(s3, "k") in contents
    assert support.is_tidy(cloud)
    assert len(support.blobs(cloud)) == 1
