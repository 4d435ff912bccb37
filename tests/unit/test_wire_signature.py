"""Signatures that botocore makes are believed; with anything changed they are not."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest
from botocore.utils import normalize_url_path
from hypothesis import given
from hypothesis import strategies as st
from support.signed import KEY, REGION, SECRET, by_form, by_header, by_url, check, with_header

from cumulet.lib.errors import Refusal
from cumulet.wire.canonical import canonical_path
from cumulet.wire.request import Request, read_form
from cumulet.wire.signature import read, verify


def test_the_examples_of_awss_documentation_are_believed() -> None:
    """GET in "Signature Version 4 test suite" (get-vanilla) and IAM's ListUsers in its examples of version 4."""
    vanilla = _signed_get(
        "", "service", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )
    users = _signed_get(
        "Action=ListUsers&Version=2010-05-08",
        "iam",
        "content-type;host;x-amz-date",
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    )
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert check(vanilla, "service", 1440938160, secret) is None
    assert check(users, "iam", 1440938160, secret) is None


def _signed_get(query: str, service: str, signed: str, signature: str) -> Request:
    host = "iam.amazonaws.com" if service == "iam" else "example.amazonaws.com"
    scope = f"AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request"
    headers = {
        "host": host,
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-amz-date": "20150830T123600Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={signature}",
    }
    return Request.of("GET", "/", query, headers.items())


def test_the_example_of_version_2_in_awss_documentation_is_believed() -> None:
    form = {
        "AWSAccessKeyId": KEY,
        "Action": "DescribeJobFlows",
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": "2011-10-03T15:19:30",
        "Version": "2009-03-31",
        "Signature": "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs=",
    }
    request = Request.of("GET", "/", urlencode(form), [("host", "elasticmapreduce.amazonaws.com")])
    assert check(request, "ec2", 1317655170) is None


@pytest.mark.parametrize(
    ("sign", "service"),
    [
        (lambda: by_header(), "ec2"),
        (lambda: by_header("sts"), "sts"),
        (lambda: by_header("ec2", method="GET", url="http://h/?b=2&a=~%20%2B&a-=0&=x&c", body=None), "ec2"),
        (lambda: by_header("ec2", url="http://h/a//b/./c/../d%20e/"), "ec2"),
        (
            lambda: by_header("ec2", **{"X-Amz-Meta": "  a   b \t c ", "Date": "x", "Content-Type": "text/plain; ä"}),
            "ec2",
        ),
        (lambda: by_header("s3", method="PUT", url="http://h/bucket/a//b/../c%20d%2B%C3%A4~", body=b"bytes"), "s3"),
        (lambda: by_url(), "sts"),
        (lambda: by_url("ec2", url="http://h/?Action=DescribeVpcs"), "ec2"),
        (lambda: by_url("s3", url="http://h/bucket/key%20%2B?versionId=1"), "s3"),
        (lambda: by_form(), "ec2"),
        (lambda: by_form(url="http://ec2.localhost/services/Cloud"), "ec2"),
    ],
)
def test_what_botocore_signs_is_believed(sign: Callable[[], Request], service: str) -> None:
    assert check(sign(), service, time.time()) is None


def test_a_claim_says_who_and_for_what() -> None:
    request = by_url("sts", expires=60)
    claim = read(request, read_form(request))
    assert claim
    assert (claim.access_key, claim.version, claim.service, claim.region) == (KEY, "v4", "sts", "us-east-1")
    assert claim.presigned
    assert claim.signed_at is not None
    assert claim.expires_at == claim.signed_at + 60
    assert claim.signature not in repr(claim)


def test_a_request_without_a_signature_claims_nothing() -> None:
    assert read(Request.of("GET", "/", "Action=DescribeVpcs"), [("Action", "DescribeVpcs")]) is None


Tamper = Callable[[Request], Request]


def _query(request: Request, old: str, new: str) -> Request:
    assert old in request.query
    return replace(request, query=request.query.replace(old, new, 1))


def _body(request: Request, old: bytes, new: bytes) -> Request:
    assert request.body is not None
    assert old in request.body
    return replace(request, body=request.body.replace(old, new, 1))


def _authorization(request: Request, old: str, new: str) -> Request:
    value = request.header("authorization") or ""
    assert old in value
    return with_header(request, "authorization", value.replace(old, new, 1))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda r: replace(r, method="GET"),
        lambda r: replace(r, raw_path="/other"),
        lambda r: replace(r, query="a=1"),
        lambda r: replace(r, body=r.body + b"&DryRun=true"),
        lambda r: replace(r, body=None),
        lambda r: with_header(r, "host", "elsewhere"),
        lambda r: with_header(r, "content-type", "text/plain"),
        lambda r: with_header(r, "x-amz-target", "something"),
        lambda r: with_header(r, "x-amz-security-token", "token"),
        lambda r: with_header(r, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        lambda r: _authorization(r, KEY, "AKIAIOSFODNN7EXAMPLF"),
        lambda r: _authorization(r, "us-east-1", "us-east-2"),
        lambda r: _authorization(r, "/ec2/", "/sts/"),
        lambda r: _authorization(r, "host;", ""),
        lambda r: _authorization(r, "Signature=", "Signature=0"),
    ],
)
def test_a_changed_request_with_a_signature_in_the_header_is_not_believed(tamper: Tamper) -> None:
    request = tamper(by_header(**{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}))
    secret = SECRET if KEY in (request.header("authorization") or "") else SECRET + "x"
    refusal = check(request, "ec2", time.time(), secret)
    assert refusal
    assert (refusal.code, refusal.status) == ("AuthFailure", 401)
    assert refusal.message.startswith("AWS was not able to validate the provided access credentials")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Action=GetCaller", "Action=GetOther"),
        ("b=1%2F2", "b=1%2F3"),
        ("&a2", ""),
        ("X-Amz-Expires=60", "X-Amz-Expires=600"),
        ("us-east-1", "us-east-2"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ],
)
def test_a_changed_url_is_not_believed(old: str, new: str) -> None:
    refusal = check(_query(by_url(), old, new), "sts", time.time())
    assert refusal
    assert (refusal.code, refusal.status) == ("SignatureDoesNotMatch", 403)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda r: replace(r, method="GET"),
        lambda r: replace(r, raw_path="/other"),
        lambda r: with_header(r, "host", "elsewhere"),
        lambda r: _body(r, b"DescribeInstances", b"TerminateInstances"),
        lambda r: _body(r, b"Signature=", b"Signature=A"),
        lambda r: _body(r, b"HmacSHA256", b"HmacSHA1"),
        lambda r: replace(r, body=r.body + b"&DryRun=true"),
        lambda r: replace(r, query="DryRun=true"),
    ],
)
def test_a_changed_form_is_not_believed(tamper: Tamper) -> None:
    refusal = check(tamper(by_form()), "ec2", time.time())
    assert refusal
    assert (refusal.code, refusal.status) == ("AuthFailure", 401)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("signed_host", ["cloud:8773", "cloud"])
def test_version_2_takes_both_digests_and_the_host_with_or_without_its_port(digest: str, signed_host: str) -> None:
    form = {"AWSAccessKeyId": KEY, "Action": "A b", "Expires": "2030-01-01T00:00:00Z"}
    form |= {"SignatureMethod": f"Hmac{digest.upper()}", "SignatureVersion": "2"}
    parameters = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(form.items()))
    text = f"GET\n{signed_host}\n/services/Cloud\n{parameters}".encode()
    form["Signature"] = base64.b64encode(hmac.digest(SECRET.encode(), text, digest)).decode()
    request = Request.of("GET", "/services/Cloud", urlencode(form), [("Host", "Cloud:8773")])
    assert check(request, "ec2", 1893455999.0) is None
    expired = check(request, "ec2", 1893456001.0)
    assert expired
    assert expired.code == "RequestExpired"


def test_the_body_of_a_stream_is_left_to_its_reader() -> None:
    request = by_header("s3", method="PUT", url="http://h/b/k", body=b"bytes")
    streamed = replace(request, body=None)
    claim = read(streamed, [])
    assert claim
    verify(claim, SECRET, time.time(), "s3", REGION)
    assert claim.payload == request.header("x-amz-content-sha256")


def test_a_session_token_must_be_the_keys_own() -> None:
    for request in (by_header("sts", token="t1"), by_url(token="t1")):
        assert check(request, "sts", time.time(), token="t1") is None
        for token in ("", "t2"):
            refusal = check(request, "sts", time.time(), token=token)
            assert refusal
            assert (refusal.code, refusal.status) == ("InvalidClientTokenId", 403)
    assert check(by_header("sts"), "sts", time.time(), token="t1")


def test_no_secret_is_in_what_we_say() -> None:
    for request, service in ((by_header(), "ec2"), (by_url(), "sts"), (by_form(), "ec2")):
        refusal = check(request, service, time.time(), "another secret")
        assert isinstance(refusal, Refusal)
        assert "another secret" not in refusal.message


@given(st.text("/.ab%", max_size=12))
def test_paths_are_normalised_as_botocore_does(path: str) -> None:
    assert canonical_path("/" + path, s3=False) == quote(normalize_url_path("/" + path), safe="/~")
