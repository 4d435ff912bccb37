"""S3's own ways to sign: version 2 in a header or in the URL, the policy of a browser's form, and what may be missing.

Sources: "Signing and Authenticating REST Requests" (version 2) of the Amazon S3 User Guide; "Authenticating Requests
(AWS Signature Version 4)" and "Browser-Based Uploads Using POST" of the Amazon S3 API Reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cumulet.lib.errors import Refusal
from cumulet.wire.claim import Claim
from cumulet.wire.denials import deny
from cumulet.wire.request import Request, shown
from cumulet.wire.signature import Unreadable, from_header, from_url, parameters_in_url

SIGNED_IN_V2 = frozenset(
    ["acl", "accelerate", "analytics", "cors", "delete", "encryption", "inventory", "legal-hold", "lifecycle"]
    + ["location", "logging", "metrics", "notification", "object-lock", "ownershipControls", "partNumber", "policy"]
    + ["policyStatus", "publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select"]
    + ["select-type", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"]
    + ["response-content-type", "response-content-language", "response-expires", "response-cache-control"]
    + ["response-content-disposition", "response-content-encoding", "attributes"]
)
_V2 = re.compile(r"AWS ([^:\s]+):(\S+)")
_HASH = re.compile("[0-9a-fA-F]{64}")
STREAMING = (
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
)
DATED = "AWS authentication requires a valid Date or x-amz-date header"


def read_s3(request: Request, query: Mapping[str, str], bucket_of_host: str) -> Claim | None:
    """What the signature of a request to S3 claims; None: it is anonymous.

    `bucket_of_host`: the bucket that the host's name says, or "". Raises `Refusal` for what cannot be read.
    """
    authorization = request.header("authorization")
    in_url = parameters_in_url(request)
    by_v2 = {"AWSAccessKeyId", "Signature", "Expires"} <= query.keys()
    if authorization is not None and (in_url or by_v2):
        both = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string"
        raise Refusal("InvalidArgument", f"{both} parameter or the Authorization header should be specified", 400)
    try:
        if in_url:
            return from_url(request, in_url)
        if by_v2:
            return _v2_in_url(request, query, bucket_of_host)
        if authorization is not None:
            return _in_header(request, authorization, bucket_of_host)
    except Unreadable as e:
        raise deny("s3", e.fault, e.detail, **e.details) from None
    return None


_OF_SIGNATURE = frozenset(
    f"x-amz-{name}"
    for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature", "security-token")
) | {"x-amz-content-sha256"}


def with_headers_of_url(request: Request, query: Mapping[str, str]) -> Request:
    """The request with those headers that a signed URL has among its parameters, where clients put them.

    AWS's SDKs do so with `x-amz-acl`, `x-amz-meta-…`, `x-amz-tagging` and the like when they sign a URL.
    """
    if "X-Amz-Signature" not in query and "Signature" not in query:
        return request
    pairs = tuple(_headers_in(query).items())
    there = {name for name, _ in request.headers}
    more = tuple((name, value.encode().decode("latin-1")) for name, value in pairs if name not in there)
    return replace(request, headers=(*request.headers, *more)) if more else request


def _headers_in(query: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in query.items()}
    return {name: value for name, value in lower.items() if name.startswith("x-amz-") and name not in _OF_SIGNATURE}


def _in_header(request: Request, authorization: str, bucket: str) -> Claim:
    if not authorization.strip():
        raise Refusal("AccessDenied", "Access Denied. The Authorization header is empty.", 403)
    if authorization.startswith("AWS4-HMAC-SHA256"):
        _check_payload(request)
        _check_dated(request)
        return from_header(request, authorization)
    found = _V2.fullmatch(authorization.strip())
    if found is None:
        raise Refusal("InvalidArgument", "Unsupported Authorization Type", 400)
    return _v2_in_header(request, found[1], found[2], bucket)


def _check_payload(request: Request) -> None:
    declared = request.header("x-amz-content-sha256")
    if declared is None:
        raise Refusal("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", 400)
    if declared != "UNSIGNED-PAYLOAD" and declared not in STREAMING and not _HASH.fullmatch(declared):
        right = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or a valid sha256"
        raise Refusal("InvalidArgument", f"{right} value.", 400)


def _check_dated(request: Request) -> None:
    if not (request.header("x-amz-date") or request.header("date")):
        raise Refusal("AccessDenied", DATED, 403)


def _v2_in_header(request: Request, key: str, signature: str, bucket: str) -> Claim:
    when = request.header("x-amz-date") or request.header("date")
    try:
        if not when:
            raise ValueError(when)
        time = parsedate_to_datetime(when) if not when[:8].isdigit() else datetime.strptime(when, "%Y%m%dT%H%M%SZ")
        signed_at = (time.replace(tzinfo=UTC) if time.tzinfo is None else time).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Refusal("AccessDenied", DATED, 403) from None
    dated = "" if request.header("x-amz-date") else request.header("date") or ""
    return Claim(
        access_key=key,
        version="v2",
        service="s3",
        signed_at=signed_at,
        payload="UNSIGNED-PAYLOAD",
        digest="sha1",
        token=request.header("x-amz-security-token") or "",
        texts=_texts_v2(request, dated, bucket),
        signature=signature,
    )


def _v2_in_url(request: Request, query: Mapping[str, str], bucket: str) -> Claim:
    expires = query["Expires"]
    if not re.fullmatch("[0-9]{1,12}", expires):
        raise Refusal("AccessDenied", f"Invalid date (should be seconds since epoch): {shown(expires)}", 403)
    return Claim(
        access_key=query["AWSAccessKeyId"],
        version="v2",
        service="s3",
        presigned=True,
        expires_at=float(expires),
        payload="UNSIGNED-PAYLOAD",
        digest="sha1",
        token=query.get("x-amz-security-token", ""),
        texts=_texts_v2(_as_signed_v2(request, query), expires, bucket),
        signature=query["Signature"],
    )


def _as_signed_v2(request: Request, query: Mapping[str, str]) -> Request:
    """Version 2 signs the headers that are in the URL as if they were sent."""
    given = {name.lower(): value for name, value in query.items()}
    there = {name for name, _ in request.headers}
    kept = {name: given[name] for name in given if name.startswith("x-amz-") or name in ("content-md5", "content-type")}
    more = tuple((name, value.encode().decode("latin-1")) for name, value in kept.items() if name not in there)
    return replace(request, headers=(*request.headers, *more)) if more else request


def _texts_v2(request: Request, dated: str, bucket: str) -> tuple[bytes, ...]:
    """What may have been signed: AWS's SDKs sign `/BUCKET/` where they ask for `/BUCKET`."""
    md5, kind = request.header("content-md5") or "", request.header("content-type") or ""
    head = [request.method, md5, kind, dated, *_amz_headers(request)]
    path = f"/{bucket}{request.raw_path}" if bucket else request.raw_path
    paths = (path, f"{path}/") if path.count("/") == 1 and path != "/" else (path,)
    return tuple("\n".join([*head, _resource(request, one)]).encode("latin-1", "replace") for one in paths)


def _amz_headers(request: Request) -> list[str]:
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        if name.startswith("x-amz-"):
            values.setdefault(name, []).append(re.sub(r"\s*\r?\n\s+", " ", value.strip()))
    return [f"{name}:{','.join(values[name])}" for name in sorted(values)]


def _resource(request: Request, path: str) -> str:
    said = []
    for part in request.query.split("&"):
        name, equals, value = part.partition("=")
        if name in SIGNED_IN_V2:
            decoded = _decoded(value) if name.startswith("response-") else value
            said.append(f"{name}={decoded}" if equals and value else name)
    return f"{path}?{'&'.join(sorted(said))}" if said else path


def _decoded(text: str) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(text.replace("+", " ")).decode("latin-1")


def form_claim(fields: Mapping[str, str]) -> Claim | None:
    """What the signature of a browser's form claims; `fields` by names in lower case. What is signed is the policy."""
    policy = fields.get("policy", "")
    if "x-amz-signature" in fields:
        credential = fields.get("x-amz-credential", "").split("/")
        named = fields.get("x-amz-algorithm") == "AWS4-HMAC-SHA256" and bool(fields.get("x-amz-date"))
        if len(credential) != 5 or not named:
            raise Refusal(
                "InvalidArgument", "The form must have X-Amz-Algorithm, X-Amz-Credential and X-Amz-Date.", 400
            )
        return Claim(
            access_key=credential[0],
            version="v4",
            date=credential[1],
            region=credential[2],
            service=credential[3],
            token=fields.get("x-amz-security-token", ""),
            texts=(policy.encode(),),
            signature=fields["x-amz-signature"],
        )
    if "signature" in fields or "awsaccesskeyid" in fields:
        return Claim(
            access_key=fields.get("awsaccesskeyid", ""),
            version="v2",
            service="s3",
            digest="sha1",
            token=fields.get("x-amz-security-token", ""),
            texts=(policy.encode(),),
            signature=fields.get("signature", ""),
        )
    return None
