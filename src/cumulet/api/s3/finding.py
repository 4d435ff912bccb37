"""Finding the object that a request is about, as far as the caller may know of it; and conditions on it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from cumulet.api.s3 import access, errors
from cumulet.api.s3.call import Call, Given
from cumulet.model import Tx
from cumulet.model import object as objects
from cumulet.model.database import Row
from cumulet.wire.rest_render import http_date

_VERSION = re.compile(r"[A-Za-z0-9._-]{32}|null")
_OF_MARKERS = frozenset(["s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObjectTagging", "s3:PutObjectAcl"])
"""What S3 refuses for a delete marker (405) also where no version is named; else the key is not there (404)."""


def check_version(id: str | None, name: str = "versionId") -> None:
    """Raises InvalidArgument for what is no version id."""
    if id == "":
        raise errors.invalid_argument("Version id cannot be the empty string", name, "")
    if id is not None and not _VERSION.fullmatch(id):
        raise errors.invalid_argument("Invalid version id specified", name, id)


def fetch(call: Call, tx: Tx, version: str | None, action: str, listed: str = "READ") -> Row:
    """The version that is asked for, or the newest, if the caller may do `action` with it.

    Raises NoSuchKey or NoSuchVersion for what is not there (AccessDenied to who may not list the bucket), and for a
    delete marker what S3 says of one: where it is the newest, that nothing is there, or 405.
    """
    return fetch_from(call, tx, call.bucket, call.key, version, action, listed)


def fetch_from(
    call: Call, tx: Tx, bucket: Row, key: bytes, version: str | None, action: str, listed: str = "READ"
) -> Row:
    check_version(version)
    if version is None:
        row = objects.newest(tx, bucket.name, key)
    else:
        row = objects.find(tx, bucket.name, key, version)
        action = of_version(action)
    if row is not None and not row.marker:
        call.tags = row.facts.get("tags") or []
        access.require(call, bucket, action, listed, row)
        return row
    if not access.may(call, bucket, "s3:ListBucket", "READ"):
        raise errors.denied()
    text = key.decode()
    if row is None:
        raise errors.no_such_version(text, version) if version is not None else errors.no_such_key(text)
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": row.version}
    if version is None and action not in _OF_MARKERS:
        missing = errors.no_such_key(text)
        missing.headers |= headers
        raise missing
    changed = {"last-modified": http_date(row.modified)}
    raise errors.method_not_allowed(call.request.method, "DeleteMarker", "DELETE", **headers, **changed)


def of_version(action: str) -> str:
    """The action on a version that is named: s3:GetObjectAcl is s3:GetObjectVersionAcl."""
    return action.replace("Object", "ObjectVersion", 1)


def version_member(bucket: Row, row: Row) -> dict[str, str]:
    """VersionId, where there is or was versioning."""
    return {"VersionId": row.version} if bucket.versioning or row.version != objects.NULL else {}


def etag_matches(condition: str, etag: str) -> bool:
    """Whether a list of entity tags has this one, or is `*`."""
    if condition.strip() == "*":
        return True
    tags = [part.strip().removeprefix("W/").strip('"') for part in condition.split(",")]
    return etag.strip('"') in tags


def is_if_range(condition: str | None, row: Row) -> bool:
    """Whether a Range counts beside this If-Range: a strong entity tag or the very time (RFC 9110, 13.1.5)."""
    if condition is None:
        return True
    return condition.strip() in (f'"{row.etag}"', http_date(row.modified))


def check_read(given: Given, row: Row, names: tuple[str, str, str, str]) -> str | None:
    """The name of the condition that does not hold, in HTTP's order of precedence; None if all do.

    `names`: the parameters IfMatch, IfNoneMatch, IfModifiedSince, IfUnmodifiedSince, or a copy's of its source.
    """
    match, none_match, modified, unmodified = (given.get(name) for name in names)
    if match is not None and not etag_matches(match, row.etag):
        return "If-Match"
    if match is None and isinstance(unmodified, datetime) and int(row.modified) > unmodified.timestamp():
        return "If-Unmodified-Since"
    if none_match is not None:
        return "If-None-Match" if etag_matches(none_match, row.etag) else None
    if isinstance(modified, datetime) and int(row.modified) <= modified.timestamp():
        return "If-Modified-Since"
    return None


def check_write(call: Call, tx: Tx, given: Given) -> None:
    """Raises PreconditionFailed, or NoSuchKey, where what is there is not what a conditional write expects.

    ConditionalRequestConflict where it is, but of an upload in parts that `began` before the key was last changed: it
    has to be begun anew ("How to prevent object overwrites with conditional writes" of the S3 User Guide).
    """
    match, none_match = given.get("IfMatch"), given.get("IfNoneMatch")
    if match is None and none_match is None:
        return
    if none_match is not None and none_match.strip() != "*":
        raise errors.not_implemented("If-None-Match", "that of a write may be *")
    if match is not None and match.strip() == "*":
        raise errors.not_implemented("If-Match", "that of a write is an entity tag")
    before = objects.newest(tx, call.bucket_name, call.key)
    there = before if before is not None and not before.marker else None
    if none_match is not None and there is not None:
        raise errors.precondition("If-None-Match")
    if match is not None:
        if there is None:
            raise errors.no_such_key(call.key_text)
        if not etag_matches(match, there.etag):
            raise errors.precondition("If-Match")
    conditional = "If-None-Match" if match is None else "If-Match"
    if (match or none_match) and "began" in given and before is not None and before.modified > given["began"]:
        raise errors.conflict(conditional, call.key_text)


def modified_of(row: Row) -> Any:
    return float(int(row.modified))
