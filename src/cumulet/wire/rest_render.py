"""From plain values to an answer of a REST service: headers and XML, as the model says."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from time import gmtime
from typing import Any

from cumulet.wire.models import Model
from cumulet.wire.render import render_inside
from cumulet.wire.scalars import write_boolean, write_time

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ROOTS = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
    "UploadPartCopy": "CopyPartResult",
}
"""The root elements of answers, which the model does not have: as in the examples of the S3 API Reference."""

LISTS = frozenset(["ListMultipartUploads", "ListObjects", "ListObjectVersions", "ListObjectsV2"])
"""Answers by whose names a client goes on, and asks for `encoding-type=url` where its XML could not hold them.

"The XML 1.0 parser can't parse certain characters, such as characters with an ASCII value from 0 to 10. For
characters that aren't supported in XML 1.0, you can add this parameter" (EncodingType of ListObjects in the S3 API
Reference). Who does not ask gets `&#x1;` from S3, and from here: most parsers refuse that. With U+FFFD in its place a
client would read the name of another object, and go on with it: of DeleteObjects that would be told that it is
deleted. Where an answer repeats a name that the client has just said (CreateMultipartUpload, say), S3 writes
`&#x1;` too, with which clients can do nothing; there it is U+FFFD here.
"""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
Headers = list[tuple[str, str]]


def render_rest(model: Model, operation: str, result: dict[str, Any]) -> tuple[Headers, bytes]:
    """The headers and the body; members are the model's, None is left out."""
    shape = model.output(operation)
    headers: Headers = []
    inside: dict[str, Any] = {}
    for name, value in result.items():
        if value is None:
            continue
        ref = shape.members[name]
        if ref.location == "header":
            headers.append((ref.location_name, _header(value, ref.timestamp_format)))
        elif ref.location == "headers":
            headers += [(f"{ref.location_name}{key}", mail_safe(text)) for key, text in value.items()]
        else:
            inside[name] = value
    return headers, _body(model, operation, inside)


def _body(model: Model, operation: str, inside: dict[str, Any]) -> bytes:
    shape = model.output(operation)
    if operation == "GetBucketLocation":
        text = inside.get("LocationConstraint") or ""
        return document("LocationConstraint", [text])
    if shape.payload:
        ref = shape.members[shape.payload]
        inner = model.shape(ref.shape)
        if inner.type != "structure":
            value = inside.get(shape.payload, "")
            return value.encode() if isinstance(value, str) else bytes(value)
        out: list[str] = []
        render_inside(model, ref.shape, inside.get(shape.payload) or {}, out)
        return document(ROOTS.get(operation) or ref.location_name or ref.shape, out)
    body_members = [name for name, ref in shape.members.items() if not ref.location]
    if not body_members:
        return b""
    out = []
    output = model.operation(operation).output.shape  # type: ignore[union-attr]
    render_inside(model, output, inside, out, names=operation in LISTS)
    return document(ROOTS.get(operation, f"{operation}Result"), out)


def render_pieces(model: Model, operation: str, pieces: list[dict[str, Any]]) -> bytes:
    """A body of pieces one after the other, where things of two lists are to come in one order."""
    out: list[str] = []
    output = model.operation(operation).output.shape  # type: ignore[union-attr]
    for piece in pieces:
        render_inside(model, output, piece, out, names=operation in LISTS)
    return document(ROOTS[operation], out)


def document(root: str, inside: list[str]) -> bytes:
    """A document of S3's namespace."""
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">'
    return f"{head}{''.join(inside)}</{root}>".encode()


def mail_safe(text: str) -> str:
    """The value of a user's metadata: what is not ASCII is encoded ("Working with object metadata", S3 User Guide)."""
    return text if text.isascii() else f"=?UTF-8?B?{b64encode(text.encode()).decode()}?="  # RFC 2047


def _header(value: Any, form: str) -> str:
    if isinstance(value, bool):
        return write_boolean(value)
    if isinstance(value, datetime):
        return write_time(value) if form == "iso8601" else http_date(value)
    return str(value)


def http_date(time: datetime | float) -> str:
    """A time as HTTP's headers have it: Fri, 02 Jan 2026 03:04:05 GMT."""
    at = gmtime(time.timestamp() if isinstance(time, datetime) else time)
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04} {clock} GMT"
