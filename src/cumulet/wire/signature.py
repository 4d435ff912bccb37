"""Signatures: who a request says it is from (`read`), and whether the secret says so too (`verify`).

Version 4 in the Authorization header or in the URL, and version 2 in a Query form. Both functions are pure: the
caller looks up the secret in between. What each kind of service answers is in `denials`.
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256

from cumulet.lib.errors import Refusal
from cumulet.wire.canonical import text_v4, texts_v2
from cumulet.wire.claim import Claim
from cumulet.wire.denials import Fault, deny
from cumulet.wire.request import Form, Request, decode_form, shown
from cumulet.wire.scalars import read_time, write_whole_time
from cumulet.wire.service import service_of, signing_name

SKEW = 15 * 60
LONGEST = 7 * 24 * 3600
GLOBAL = ("iam", "sts")
"""Services that AWS has once for the whole world, in us-east-1: many clients sign so for them in any region."""
GLOBAL_REGION = "us-east-1"
ALGORITHM = "AWS4-HMAC-SHA256"
_BASIC = "%Y%m%dT%H%M%SZ"
_BASIC_TIME = re.compile("[0-9]{8}T[0-9]{6}Z")
_DIGITS = re.compile("[0-9]{1,12}")


def read(request: Request, form: Form) -> Claim | None:
    """What the request's signature claims; None if it has none (answer `deny(service, "missing")`).

    Raises `Refusal` for a signature that cannot be read, or that leaves out what has to be signed.
    """
    try:
        return _claim(request, form)
    except Unreadable as e:
        raise deny(service_of(request, e.claim, form), e.fault, e.detail, **e.details) from None


def verify(claim: Claim, secret: str | None, now: float, service: str, region: str, token: str = "") -> None:
    """Return if `claim` was signed with `secret`, for `service` in `region`, at about `now`; else raise `Refusal`.

    `secret` None: there is no such access key. `now` is in seconds since 1970. `token` is the session token that
    belongs to the key, if it is a temporary one.
    """
    _check_time(claim, now, service)
    if claim.version == "v4":
        _check_meant(claim, service, region)
    if secret is None:
        why = f"There is no access key {shown(claim.access_key)}."
        raise deny(service, "unknown_key", why, AWSAccessKeyId=shown(claim.access_key))
    given = claim.signature.encode()
    if not any([hmac.compare_digest(given, _signature(claim, secret, text)) for text in claim.texts]):
        raise _mismatch(claim, service)
    if not hmac.compare_digest(claim.token.encode(), token.encode()):
        raise deny(service, "token", "The session token does not belong to the access key.")


class Unreadable(Exception):
    """A signature that cannot be taken for a claim; `claim` as far as it could be read."""

    def __init__(self, detail: str, fault: Fault = "incomplete", claim: Claim | None = None, **details: str) -> None:
        self.detail = detail
        self.details = details
        self.fault = fault
        self.claim = claim


def _claim(request: Request, form: Form) -> Claim | None:
    authorization = request.header("authorization")
    in_url = parameters_in_url(request)
    if authorization is not None and in_url:
        raise Unreadable("Sign either by the Authorization header or by parameters in the URL, not by both.")
    if authorization is not None:
        return from_header(request, authorization)
    if in_url:
        return from_url(request, in_url)
    if any(name in ("AWSAccessKeyId", "SignatureVersion") for name, _ in form):
        return _from_form(request, form)
    return None


def parameters_in_url(request: Request) -> dict[str, str]:
    if "X-Amz-" not in request.query:
        return {}
    try:
        form = decode_form(request.query.encode("latin-1", "replace"))
    except Refusal as e:
        raise Unreadable(e.message) from None
    parameters = {name: value for name, value in form if name.startswith("X-Amz-")}
    return parameters if {"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Algorithm"} & parameters.keys() else {}


def from_header(request: Request, authorization: str) -> Claim:
    algorithm, _, rest = authorization.strip().partition(" ")
    _check_algorithm(algorithm)
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not fields.get(name)]
    if missing:
        raise Unreadable(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    when = request.header("x-amz-date") or request.header("date")
    if when is None:
        raise Unreadable("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    token = request.header("x-amz-security-token") or ""
    return _version_4(request, fields, when, token)


def from_url(request: Request, parameters: dict[str, str]) -> Claim:
    names = ("Algorithm", "Credential", "Date", "SignedHeaders", "Signature")
    missing = [name for name in names if not parameters.get(f"X-Amz-{name}")]
    if missing:
        raise Unreadable(f"The URL must have the parameter X-Amz-{missing[0]}.", "in_url")
    _check_algorithm(parameters["X-Amz-Algorithm"], "in_url")
    expires = parameters.get("X-Amz-Expires", str(SKEW))
    if not _DIGITS.fullmatch(expires) or not 1 <= int(expires) <= LONGEST:
        raise Unreadable(f"X-Amz-Expires must be from 1 to {LONGEST} seconds, and is '{shown(expires)}'.", "in_url")
    fields = {name: parameters[f"X-Amz-{name}"] for name in names}
    return _version_4(
        request, fields, fields["Date"], parameters.get("X-Amz-Security-Token", ""), lifetime=int(expires)
    )


def _check_algorithm(algorithm: str, fault: Fault = "incomplete") -> None:
    if algorithm != ALGORITHM:
        raise Unreadable(f"Unsupported AWS 'algorithm': '{shown(algorithm)}'. Sign with {ALGORITHM}.", fault)


def _version_4(request: Request, fields: dict[str, str], when: str, token: str, lifetime: int | None = None) -> Claim:
    fault: Fault = "incomplete" if lifetime is None else "in_url"
    credential = fields["Credential"].split("/")
    if len(credential) != 5 or not all(credential):
        shape = "exactly 5 slash-delimited elements, keyid/date/region/service/aws4_request"
        raise Unreadable(f"Credential must have {shape}, got '{shown(fields['Credential'])}'.", fault)
    access_key, day, region, service, terminator = credential
    seen = Claim(access_key=access_key, version="v4", service=service)
    basic, signed_at = _time_v4(when, seen, fault)
    _check_scope(day, terminator, basic, seen)
    signed = fields["SignedHeaders"].split(";")
    _check_signed(request, signed, seen)
    payload = _payload(request, seen, lifetime is not None)
    scope = f"{day}/{region}/{service}/aws4_request"
    return Claim(
        access_key=access_key,
        version="v4",
        presigned=lifetime is not None,
        service=service,
        region=region,
        date=day,
        signed_at=signed_at,
        expires_at=None if lifetime is None else signed_at + lifetime,
        payload=payload,
        token=token,
        texts=(text_v4(request, signed, payload, basic, scope, service == "s3"),),
        signature=fields["Signature"],
    )


def _time_v4(when: str, seen: Claim, fault: Fault) -> tuple[str, float]:
    """The time in the basic format that is signed, and in seconds since 1970."""
    try:
        if _BASIC_TIME.fullmatch(when):
            return when, _seconds(when)
        time = parsedate_to_datetime(when)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        right = "Date must be in ISO-8601 'basic format', for example 20260102T030405Z"
        raise Unreadable(f"{right}. Got '{shown(when)}'.", fault, seen) from None
    return time.strftime(_BASIC), time.timestamp()


@lru_cache(maxsize=1024)
def _seconds(basic: str) -> float:
    return datetime.strptime(basic, _BASIC).replace(tzinfo=UTC).timestamp()


def _check_scope(day: str, terminator: str, basic: str, seen: Claim) -> None:
    if terminator != "aws4_request":
        right = "Credential should be scoped with a valid terminator: 'aws4_request'"
        raise Unreadable(f"{right}, not '{shown(terminator)}'.", "scope", seen)
    if day != basic[:8]:
        what = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
        raise Unreadable(f"{what}: '{shown(day)}' != '{basic[:8]}', from '{basic}'.", "scope", seen)


def _check_signed(request: Request, signed: list[str], seen: Claim) -> None:
    """The host and all x-amz- headers have to be signed; else somebody between could change them."""
    names = {name.lower() for name in signed}
    if "host" not in names:
        raise Unreadable("'Host' must be a 'SignedHeader' in the AWS Authorization.", "mismatch", seen)
    for name, _ in request.headers:
        if name.startswith("x-amz-") and name not in names:
            why = f"The header {shown(name)} has to be signed."
            raise Unreadable(why, "unsigned", seen, HeadersNotSigned=shown(name))


def _payload(request: Request, seen: Claim, presigned: bool) -> str:
    """What stands for the body in the text that was signed."""
    declared = request.header("x-amz-content-sha256")
    if seen.service == "s3":
        if declared is None and not presigned:
            raise Unreadable("Missing required header for this request: x-amz-content-sha256.", claim=seen)
        payload = declared or "UNSIGNED-PAYLOAD"
        unchecked = request.body is None or payload == "UNSIGNED-PAYLOAD" or payload.startswith("STREAMING-")
        if unchecked:
            return payload
    actual = sha256(request.body or b"").hexdigest()
    if declared is not None and declared != actual:
        raise Unreadable("The header x-amz-content-sha256 is not the SHA-256 of the body.", "payload", seen)
    return actual


def _from_form(request: Request, form: Form) -> Claim:
    given = dict(form)
    for name in ("AWSAccessKeyId", "Signature", "SignatureVersion", "SignatureMethod"):
        if not given.get(name):
            raise Unreadable(f"The request must contain the parameter {name}.")
    if given["SignatureVersion"] != "2":
        raise Unreadable(f"SignatureVersion must be 2, or use version 4; it is '{shown(given['SignatureVersion'])}'.")
    method = given["SignatureMethod"].lower()
    if method not in ("hmacsha256", "hmacsha1"):
        raise Unreadable(f"SignatureMethod must be HmacSHA256 or HmacSHA1, not '{shown(given['SignatureMethod'])}'.")
    if ("Timestamp" in given) == ("Expires" in given):
        raise Unreadable("The request must contain either the parameter Timestamp or the parameter Expires.")
    return Claim(
        access_key=given["AWSAccessKeyId"],
        version="v2",
        signed_at=_time_v2(given, "Timestamp"),
        expires_at=_time_v2(given, "Expires"),
        digest="sha256" if method == "hmacsha256" else "sha1",
        token=given.get("SecurityToken", ""),
        texts=texts_v2(request, form),
        signature=given["Signature"],
    )


def _time_v2(given: dict[str, str], name: str) -> float | None:
    if name not in given:
        return None
    try:
        return read_time(given[name]).timestamp()
    except ValueError as e:
        raise Unreadable(f"{name} must be {e}; it is '{shown(given[name])}'.") from None


def _mismatch(claim: Claim, service: str) -> Refusal:
    """With what should have been signed, so that the client's maker can compare (as S3 gives it)."""
    why = f"The signature was not made with the secret of {shown(claim.access_key)}."
    text = claim.texts[0] if claim.texts else b""
    said = {"AWSAccessKeyId": shown(claim.access_key), "StringToSign": text.decode("utf-8", "replace")}
    said |= {"SignatureProvided": shown(claim.signature), "StringToSignBytes": text.hex(" ")}
    return deny(service, "mismatch", why, **said)


def _check_time(claim: Claim, now: float, service: str) -> None:
    signed, end = claim.signed_at, claim.expires_at
    if signed is not None and signed > now + SKEW:
        limit = f"{_basic(now + SKEW)} ({_basic(now)} + 15 min.)"
        raise _skewed(service, f"Signature not yet current: {_basic(signed)} is still later than {limit}", signed, now)
    if end is not None and end < now:
        why = f"Signature expired: {_basic(end)} is now earlier than {_basic(now)}"
        raise deny(service, "expired", why, Expires=write_whole_time(end), ServerTime=write_whole_time(now))
    if end is None and signed is not None and signed < now - SKEW:
        limit = f"{_basic(now - SKEW)} ({_basic(now)} - 15 min.)"
        raise _skewed(service, f"Signature expired: {_basic(signed)} is now earlier than {limit}", signed, now)


def _skewed(service: str, why: str, signed: float, now: float) -> Refusal:
    times = {"RequestTime": _basic(signed), "ServerTime": write_whole_time(now)}
    return deny(service, "skewed", why, **times, MaxAllowedSkewMilliseconds=str(SKEW * 1000))


def _check_meant(claim: Claim, service: str, region: str) -> None:
    """A signature for another service or another region's cloud is none for us."""
    name = signing_name(service)
    if claim.service != name:
        raise deny(service, "scope", f"Credential should be scoped to correct service: '{name}'.")
    if claim.region != region and not (service in GLOBAL and claim.region == GLOBAL_REGION):
        raise _of_another_region(claim, service, region)


def _of_another_region(claim: Claim, service: str, region: str) -> Refusal:
    """S3's clients read the right region from its answer, and sign again."""
    fault: Fault = "in_url" if claim.presigned and service == "s3" else "scope"
    wrong = f"Credential should be scoped to a valid region, not '{shown(claim.region)}'."
    why = f"{wrong} The region of this cloud is '{region}'."
    if service == "s3":
        where = "Error parsing the X-Amz-Credential parameter; " if claim.presigned else ""
        why = f"{where}the region '{shown(claim.region)}' is wrong; expecting '{region}'"
    return deny(service, fault, why, Region=region)


def _basic(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_BASIC)


def _signature(claim: Claim, secret: str, text: bytes) -> bytes:
    if claim.version == "v4":
        key = signing_key(secret, claim.date, claim.region, claim.service)
        return hmac.digest(key, text, "sha256").hex().encode()
    return base64.b64encode(hmac.digest(secret.encode(), text, claim.digest))


@lru_cache(maxsize=1024)
def signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
