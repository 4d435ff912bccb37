"""Each way to be wrong about a signature has AWS's answer, by the family of the service."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from support.signed import by_form, by_header, by_url, check, with_header

from cumulet.wire.denials import deny
from cumulet.wire.request import Request

SKEW = 15 * 60


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("ec2", "MissingParameter", 400),
        ("sts", "MissingAuthenticationToken", 403),
        ("iam", "MissingAuthenticationToken", 403),
        ("s3", "AccessDenied", 403),
    ],
)
def test_no_signature(service: str, code: str, status: int) -> None:
    refusal = deny(service, "missing")
    assert (refusal.code, refusal.status) == (code, status)
    assert refusal.message


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [("ec2", "AuthFailure", 401), ("sts", "InvalidClientTokenId", 403), ("s3", "InvalidAccessKeyId", 403)],
)
def test_an_unknown_key(service: str, code: str, status: int) -> None:
    refusal = check(by_header(service), service, time.time(), secret=None)
    assert refusal
    assert (refusal.code, refusal.status) == (code, status)
    assert "There is no access key AKIAIOSFODNN7EXAMPLE." in refusal.message


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [("ec2", "RequestExpired", 400), ("sts", "SignatureDoesNotMatch", 403), ("s3", "RequestTimeTooSkewed", 403)],
)
def test_a_clock_that_is_more_than_15_minutes_off(service: str, code: str, status: int) -> None:
    request = by_header(service)
    signed = time.time()
    assert check(request, service, signed + SKEW - 5) is None
    assert check(request, service, signed - SKEW + 5) is None
    late, early = check(request, service, signed + SKEW + 5), check(request, service, signed - SKEW - 5)
    assert late
    assert early
    assert {(late.code, late.status), (early.code, early.status)} == {(code, status)}
    assert "Signature expired: " in late.message
    assert " - 15 min.)" in late.message
    assert "Signature not yet current: " in early.message


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [("ec2", "RequestExpired", 400), ("sts", "SignatureDoesNotMatch", 403), ("s3", "AccessDenied", 403)],
)
def test_a_url_that_has_expired(service: str, code: str, status: int) -> None:
    request = by_url(service, expires=3600)
    signed = time.time()
    assert check(request, service, signed + 3590) is None
    refusal = check(request, service, signed + 3610)
    assert refusal
    assert (refusal.code, refusal.status) == (code, status)
    assert check(request, service, signed - SKEW - 5)


def test_a_form_of_version_2_that_is_too_old() -> None:
    request = by_form()
    assert check(request, "ec2", time.time() + SKEW - 5) is None
    refusal = check(request, "ec2", time.time() + SKEW + 5)
    assert refusal
    assert (refusal.code, refusal.status) == ("RequestExpired", 400)


@pytest.mark.parametrize(
    ("service", "code"),
    [("ec2", "AuthFailure"), ("sts", "SignatureDoesNotMatch"), ("s3", "XAmzContentSHA256Mismatch")],
)
def test_a_body_that_is_not_the_one_that_was_hashed(service: str, code: str) -> None:
    request = by_header(service, **{"X-Amz-Content-SHA256": "0" * 64})
    refusal = check(replace(request, body=b"another"), service, time.time())
    assert refusal
    assert refusal.code == code


@pytest.mark.parametrize(
    ("signed", "asked"), [("sts", "ec2"), ("ec2", "sts"), ("monitoring", "ec2"), ("monitoring", "sts")]
)
def test_a_signature_for_another_service(signed: str, asked: str) -> None:
    refusal = check(by_header(signed), asked, time.time())
    assert refusal
    assert refusal.message.endswith(f"Credential should be scoped to correct service: '{asked}'.")


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("ec2", "AuthFailure", 401),
        ("sts", "SignatureDoesNotMatch", 403),
        ("iam", "SignatureDoesNotMatch", 403),
    ],
)
def test_a_signature_for_another_region(service: str, code: str, status: int) -> None:
    for request in (by_header(service, region="us-west-9"), by_url(service, region="us-west-9")):
        assert check(request, service, time.time(), region="us-west-9") is None
        refusal = check(request, service, time.time(), region="eu-west-1")
        assert refusal
        assert (refusal.code, refusal.status) == (code, status)
        assert "Credential should be scoped to a valid region, not 'us-west-9'." in refusal.message
        assert "The region of this cloud is 'eu-west-1'." in refusal.message


def test_s3_names_the_wrong_region_and_the_right_one_as_its_clients_read_it() -> None:
    for request, code in (
        (by_header("s3", region="us-west-9"), "AuthorizationHeaderMalformed"),
        (by_url("s3", region="us-west-9"), "AuthorizationQueryParametersError"),
    ):
        assert check(request, "s3", time.time(), region="us-west-9") is None
        refusal = check(request, "s3", time.time(), region="eu-west-1")
        assert refusal
        assert (refusal.code, refusal.status, refusal.details) == (code, 400, {"Region": "eu-west-1"})
        assert "the region 'us-west-9' is wrong; expecting 'eu-west-1'" in refusal.message


def test_services_of_the_whole_world_may_be_signed_for_in_us_east_1() -> None:
    for service in ("iam", "sts"):
        assert check(by_header(service), service, time.time(), region="eu-west-1") is None
        assert check(by_url(service, region="eu-west-1"), service, time.time(), region="eu-west-1") is None
    assert check(by_header("ec2"), "ec2", time.time(), region="eu-west-1")


def test_version_2_names_no_region() -> None:
    assert check(by_form(), "ec2", time.time(), region="eu-west-1") is None


SCOPE = "AKIA/20260102/us-east-1/{}/aws4_request"
GOOD = "AWS4-HMAC-SHA256 Credential=" + SCOPE.format("sts") + ", SignedHeaders=host;x-amz-date, Signature=00"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("", "Unsupported AWS 'algorithm': ''"),
        ("Basic YTpi", "Unsupported AWS 'algorithm': 'Basic'"),
        ("AWS AKIA:abc=", "Unsupported AWS 'algorithm': 'AWS'"),
        ("AWS4-HMAC-SHA256", "requires 'Credential' parameter. Authorization header requires 'SignedHeaders'"),
        (GOOD.replace("Signature=00", "Signature="), "requires 'Signature' parameter."),
        (GOOD.replace("AKIA/", ""), "Credential must have exactly 5 slash-delimited elements"),
        (GOOD.replace("us-east-1", ""), "Credential must have exactly 5 slash-delimited elements"),
        (GOOD.replace("aws4_request", "aws5"), "valid terminator: 'aws4_request', not 'aws5'"),
        (GOOD.replace("20260102", "20260103"), "Date in Credential scope does not match YYYYMMDD"),
        (GOOD.replace("host;", ""), "'Host' must be a 'SignedHeader'"),
        (GOOD.replace("x-amz-date", "date"), "The header x-amz-date has to be signed."),
    ],
)
def test_a_header_that_cannot_be_read_says_what_is_wrong(authorization: str, message: str) -> None:
    headers = [("host", "sts.localhost"), ("x-amz-date", "20260102T030405Z"), ("authorization", authorization)]
    refusal = check(Request.of("GET", "/", "", headers), "sts", time.time())
    assert refusal
    assert message in refusal.message
    assert (refusal.code, refusal.status) in {("IncompleteSignature", 400), ("SignatureDoesNotMatch", 403)}


@pytest.mark.parametrize("date", ["", "yesterday", "20261301T000000Z", "2026-01-02T03:04:05Z", "Mon, 99 Jan 2026"])
def test_a_date_that_is_none(date: str) -> None:
    refusal = check(with_header(by_header(), "x-amz-date", date), "ec2", time.time())
    assert refusal
    assert refusal.code == "IncompleteSignature"


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "x", "1e3", "99999999999999"])
def test_a_url_may_be_good_for_a_second_to_a_week(expires: str) -> None:
    request = by_url(expires=60)
    refusal = check(
        replace(request, query=request.query.replace("Expires=60", f"Expires={expires}")), "sts", time.time()
    )
    assert refusal
    assert refusal.code == "IncompleteSignature"
    assert "from 1 to 604800 seconds" in refusal.message
    assert check(by_url(expires=604800), "sts", time.time()) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"SignatureVersion=2", b"SignatureVersion=1", "SignatureVersion must be 2"),
        (b"HmacSHA256", b"HmacMD5", "SignatureMethod must be HmacSHA256 or HmacSHA1"),
        (b"Timestamp=20", b"Timestamp=now", "Timestamp must be a time"),
        (b"Timestamp=", b"Time=", "either the parameter Timestamp or the parameter Expires"),
        (b"Signature=", b"Sig=", "must contain the parameter Signature."),
    ],
)
def test_a_form_of_version_2_that_cannot_be_read_says_what_is_wrong(old: bytes, new: bytes, message: str) -> None:
    request = by_form()
    assert request.body
    refusal = check(replace(request, body=request.body.replace(old, new)), "ec2", time.time())
    assert refusal
    assert refusal.code == "IncompleteSignature"
    assert message in refusal.message


def test_one_signature_is_enough() -> None:
    request = replace(by_header("sts", method="GET", body=None), query=by_url().query)
    refusal = check(request, "sts", time.time())
    assert refusal
    assert "not by both" in refusal.message
