"""Server access logs: a line for each request to a bucket that has logging, kept aside until it is delivered.

The form is that of "Amazon S3 server access log format" (Amazon S3 User Guide). Lines of a bucket are in one file below
`Config.access_log_directory()`; who delivers takes that away by another name. A line that cannot be written is said,
and stops no request.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from urllib.parse import quote

from cumulet.api.s3.call import HOST_ID, Answer, Call
from cumulet.identity.principal import Principal
from cumulet.lib import files
from cumulet.lib.log import Log
from cumulet.wire.claim import Claim

log = Log("access")
DELIVERER = "log-delivery"
"""Name of the session that puts logs into their bucket: what that does is not logged, else there would be no end."""
_SECRET = re.compile(r"((?:X-Amz-Signature|X-Amz-Security-Token|Signature)=)[^&\s]*", re.I)
_RESOURCES = {
    "UploadPart": "PUT.PART",
    "UploadPartCopy": "COPY.PART",
    "ListParts": "GET.UPLOAD",
    "CreateMultipartUpload": "POST.UPLOADS",
    "CompleteMultipartUpload": "POST.UPLOAD",
    "AbortMultipartUpload": "DELETE.UPLOAD",
    "ListMultipartUploads": "GET.UPLOADS",
    "CopyObject": "COPY.OBJECT",
    "DeleteObjects": "POST.MULTI_OBJECT_DELETE",
    "ListObjectVersions": "GET.BUCKETVERSIONS",
}
_SUBRESOURCES = {
    "acl": "ACL",
    "cors": "CORS",
    "encryption": "ENCRYPTION",
    "legal-hold": "LEGAL_HOLD",
    "lifecycle": "LIFECYCLE",
    "location": "LOCATION",
    "logging": "LOGGING_STATUS",
    "notification": "NOTIFICATION",
    "object-lock": "OBJECT_LOCK_CONFIGURATION",
    "ownershipControls": "OWNERSHIP_CONTROLS",
    "policy": "BUCKETPOLICY",
    "policyStatus": "POLICY_STATUS",
    "publicAccessBlock": "PUBLIC_ACCESS_BLOCK",
    "requestPayment": "REQUEST_PAYMENT",
    "retention": "RETENTION",
    "versioning": "VERSIONING",
    "website": "WEBSITE",
}
Times = tuple[float, float]
"""Seconds from the request to the last byte of its answer, and from its last byte to the answer's first."""


def is_wanted(call: Call | None) -> bool:
    """Whether the request's bucket has logging."""
    if call is None or call.bucket_row is None or not call.bucket_row.settings.get("logging"):
        return False
    session = call.principal.session if call.principal is not None else None
    return session is None or (session.kind, session.name) != ("user", DELIVERER)


def write(call: Call, answer: Answer, error: str, sent: int, times: Times) -> None:
    """Keep the line of an answered request; `error` is the code of its refusal, `sent` the bytes of its body."""
    file = call.config.access_log_directory() / call.bucket_name
    try:
        files.make_directory(file.parent)
        descriptor = files.append_to(file)
        try:
            os.write(descriptor, line(call, answer, error, sent, times).encode())
        finally:
            os.close(descriptor)
    except OSError as e:
        log.error("a line of an access log is lost", bucket=call.bucket_name, error=e)


def line(call: Call, answer: Answer, error: str, sent: int, times: Times) -> str:
    """What is known of the request; a hyphen stands for what is not."""
    headers = {name.lower(): value for name, value in answer.headers}
    when = datetime.fromtimestamp(call.database.clock.now() - times[0], UTC)
    total, turned = (f"{max(1, round(1000 * seconds))}" for seconds in times)
    version, kind = _signature(call.claim)
    fields = (
        call.bucket.owner,
        call.bucket_name,
        f"[{when:%d/%b/%Y:%H:%M:%S} +0000]",
        call.request.address or "-",
        _requester(call.principal),
        call.request_id,
        _operation(call),
        quote(call.key, safe="/") if call.key else "-",
        _quoted(f"{call.request.method} {_uri(call)} HTTP/1.1"),
        str(answer.status),
        error or "-",
        str(sent or "-"),
        _size(call, headers),
        total,
        turned,
        _quoted(call.header("referer")),
        _quoted(call.header("user-agent")),
        headers.get("x-amz-version-id", "-"),
        HOST_ID,
        version,
        "-",
        kind,
        call.header("host") or "-",
        "-",
        "-",
        "-",
    )
    return " ".join(fields) + "\n"


def _requester(who: Principal | None) -> str:
    if who is None:
        return "-"
    return who.canonical_id if who.kind == "root" and who.session is None else who.arn


def _operation(call: Call) -> str:
    method = call.request.method
    if method == "OPTIONS":
        return "REST.OPTIONS.PREFLIGHT"
    if not call.operation:
        return f"WEBSITE.{method}.{'OBJECT' if call.key else 'BUCKET'}"
    if call.operation in _RESOURCES:
        return f"REST.{_RESOURCES[call.operation]}"
    if "tagging" in call.query:
        return f"REST.{method}.{'OBJECT_TAGGING' if call.key else 'TAGGING'}"
    found = next((word for name, word in _SUBRESOURCES.items() if name in call.query), None)
    return f"REST.{method}.{found or ('OBJECT' if call.key else 'BUCKET')}"


def _uri(call: Call) -> str:
    raw, query = call.request.raw_path, call.request.query
    return _SECRET.sub(r"\1-", f"{raw}?{query}" if query else raw)


def _quoted(text: str | None) -> str:
    """In quotes, without anything that would end them or the line."""
    return '"-"' if not text else '"' + re.sub(r'[\x00-\x1f"\x7f]', lambda bad: f"%{ord(bad[0]):02X}", text) + '"'


def _size(call: Call, headers: dict[str, str]) -> str:
    """Of the object, where there is one."""
    if not call.key:
        return "-"
    if call.request.method in ("GET", "HEAD"):
        whole = headers.get("content-range", "").rpartition("/")[2]
        return whole or (headers.get("content-length", "-") if "etag" in headers else "-")
    return call.header("x-amz-decoded-content-length") or call.header("content-length") or "-"


def _signature(claim: Claim | None) -> tuple[str, str]:
    if claim is None:
        return "-", "-"
    return {"v4": "SigV4", "v2": "SigV2"}[claim.version], "QueryString" if claim.presigned else "AuthHeader"
