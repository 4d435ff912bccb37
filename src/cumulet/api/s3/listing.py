"""Lists of a bucket: objects in two versions, versions, uploads. Cost follows what is shown, not what is there.

Where a delimiter rolls keys up to a common prefix, what is below it is skipped by seeking behind it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_from_bytes

from cumulet.api.s3 import access, acl, errors, finding
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.model import Tx, account, upload
from cumulet.model import object as objects
from cumulet.model.database import Row
from cumulet.wire.models import load
from cumulet.wire.rest_render import render_pieces

MOST = 1000
FEW = 16
"""Rows to look at where those behind them may be skipped."""
Place = tuple[bytes, Any]
"""A key, and what orders things of one key; whatever is behind it comes next."""
Fetch = Callable[[bytes, Any, bytes | None, int], list[Row]]


@dataclass
class Page:
    """What is shown, in order; `last`: the key or prefix shown last, `row`: the thing shown last, if it was one."""

    rows: list[Row] = field(default_factory=list)
    prefixes: list[bytes] = field(default_factory=list)
    truncated: bool = False
    last: bytes = b""
    row: Row | None = None


@dataclass(frozen=True)
class Order:
    """How things of one key are ordered: `place` of a row, and what is before all of them."""

    place: Callable[[Row], Any]
    before: Any


BY_KEY = Order(lambda row: True, False)
BY_RANK = Order(lambda row: row.rank, -1)
BY_ID = Order(lambda row: row.id, "")


def page(fetch: Fetch, order: Order, prefix: bytes, delimiter: bytes, start: Place, most: int) -> Page:
    """Up to `most` things and common prefixes behind `start`."""
    found = Page()
    if most == 0:
        return found
    end = successor(prefix) if prefix else None
    at: Place | None = max(start, (prefix, order.before)) if start[0] < prefix else start
    limit = FEW if delimiter else most + 1
    while at is not None:
        rows = fetch(*at, end, limit)
        at = _take(found, rows, order, prefix, delimiter, most, limit)
        skips = at is not None and at[0] != rows[-1].key
        limit = FEW if skips else min(2 * limit, MOST + 1)
    return found


def _take(
    found: Page, rows: list[Row], order: Order, prefix: bytes, delimiter: bytes, most: int, limit: int
) -> Place | None:
    """Show these; gives where to go on, None if there is no more to show or nothing more there."""
    rolled: bytes | None = None
    for row in rows:
        if rolled is not None and row.key.startswith(rolled):
            continue
        rolled = common_prefix(row.key, prefix, delimiter)
        if len(found.rows) + len(found.prefixes) == most:
            found.truncated = True
            return None
        if rolled is None:
            found.rows.append(row)
            found.last, found.row = row.key, row
        else:
            found.prefixes.append(rolled)
            found.last, found.row = rolled, None
    if len(rows) < limit:
        return None
    if rolled is not None:
        behind = successor(rolled)
        return None if behind is None else (behind, order.before)
    return rows[-1].key, order.place(rows[-1])


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """The key up to the first delimiter behind the prefix; None if there is none."""
    if not delimiter or not key.startswith(prefix):
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]


def successor(prefix: bytes) -> bytes | None:
    """The first key behind all those with the prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def behind(marker: bytes, prefix: bytes, delimiter: bytes, beyond: Any, order: Order) -> Place:
    """Where a list goes on behind a marker: behind the whole common prefix that it is, or is below."""
    rolled = common_prefix(marker, prefix, delimiter)
    following = successor(rolled) if rolled is not None else None
    return (following, order.before) if following is not None else (marker, beyond)


@dataclass(frozen=True)
class Asked:
    """What the lists have in common."""

    prefix: bytes
    delimiter: bytes
    most: int
    encoding: str | None

    def shown(self, text: bytes) -> str:
        return quote_from_bytes(text, safe="/") if self.encoding else text.decode("utf-8", "replace")

    def members(self, given: Given) -> Result:
        result: Result = {"Prefix": self.shown(self.prefix)}
        if self.delimiter:
            result["Delimiter"] = self.shown(self.delimiter)
        return result | ({"EncodingType": "url"} if self.encoding else {})


def asked(given: Given, most_name: str = "MaxKeys", header: str = "max-keys") -> Asked:
    encoding = given.get("EncodingType")
    if encoding not in (None, "url"):
        raise errors.invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", encoding)
    most = given.get(most_name, MOST)
    if most < 0:
        raise errors.invalid_argument(
            f"Argument {header} must be an integer between 0 and 2147483647", header, str(most)
        )
    delimiter = given.get("Delimiter", "").encode()
    return Asked(given.get("Prefix", "").encode(), delimiter, min(most, MOST), encoding)


def _objects(call: Call, tx: Tx, wanted: Asked, start: Place) -> Page:
    def fetch(key: bytes, beyond: Any, end: bytes | None, limit: int) -> list[Row]:
        return objects.listed(tx, call.bucket_name, key, bool(beyond), end, limit)

    return page(fetch, BY_KEY, wanted.prefix, wanted.delimiter, start, wanted.most)


def _contents(call: Call, tx: Tx, found: Page, wanted: Asked) -> list[dict[str, Any]]:
    """With their owners."""
    names = account.of_canonical(tx, {access.owner_of(call.bucket, row) for row in found.rows})
    return [_content(row, wanted) | _owner(call, row, names) for row in found.rows]


def _owner(call: Call, row: Row, names: dict[str, Any]) -> dict[str, Any]:
    return {"Owner": acl.owner_of(access.owner_of(call.bucket, row), names)}


def _content(row: Row, wanted: Asked) -> dict[str, Any]:
    content: dict[str, Any] = {
        "Key": wanted.shown(row.key),
        "LastModified": float(int(row.modified)),
        "ETag": f'"{row.etag}"',
    }
    checksum = row.facts.get("checksum")
    if checksum:
        content |= {"ChecksumAlgorithm": [checksum["algorithm"]], "ChecksumType": checksum["type"]}
    return content | {"Size": row.size, "StorageClass": row.storage_class}


def _prefixes(found: Page, wanted: Asked) -> list[dict[str, str]]:
    return [{"Prefix": wanted.shown(prefix)} for prefix in found.prefixes]


OPTIONAL = {"OptionalObjectAttributes": "nothing is archived, so there is no RestoreStatus"}


@operation(
    "ListObjects", "Prefix Marker MaxKeys Delimiter EncodingType", needs=("s3:ListBucket", "READ"), accepts=OPTIONAL
)
def list_objects(call: Call, given: Given) -> Result:
    wanted = asked(given)
    marker = given.get("Marker", "").encode()
    start = behind(marker, wanted.prefix, wanted.delimiter, True, BY_KEY) if marker else (b"", False)
    with call.read() as tx:
        found = _objects(call, tx, wanted, start)
        contents = _contents(call, tx, found, wanted)
    result: Result = {"Name": call.bucket_name, **wanted.members(given), "Marker": wanted.shown(marker)}
    result |= {"MaxKeys": wanted.most, "IsTruncated": found.truncated}
    if found.truncated and wanted.delimiter:
        result["NextMarker"] = wanted.shown(found.last)
    return result | {"Contents": contents, "CommonPrefixes": _prefixes(found, wanted)}


@operation(
    "ListObjectsV2",
    "Prefix StartAfter ContinuationToken FetchOwner MaxKeys Delimiter EncodingType",
    needs=("s3:ListBucket", "READ"),
    accepts=OPTIONAL,
)
def list_objects_v2(call: Call, given: Given) -> Result:
    wanted = asked(given)
    token, after = given.get("ContinuationToken"), given.get("StartAfter", "").encode()
    if token is not None:
        start = behind(_from_token(token), wanted.prefix, wanted.delimiter, True, BY_KEY)
    else:
        start = after, bool(after)  # a key, unlike a marker: what is behind it in its common prefix is rolled up
    with call.read() as tx:
        found = _objects(call, tx, wanted, start)
        owners = bool(given.get("FetchOwner"))
        contents = _contents(call, tx, found, wanted) if owners else [_content(row, wanted) for row in found.rows]
    result: Result = {"Name": call.bucket_name, **wanted.members(given), "MaxKeys": wanted.most}
    result |= {"KeyCount": len(found.rows) + len(found.prefixes), "IsTruncated": found.truncated}
    if token is not None:
        result["ContinuationToken"] = token
    if found.truncated:
        result["NextContinuationToken"] = base64.urlsafe_b64encode(found.last).decode()
    if after or "StartAfter" in given:
        result["StartAfter"] = wanted.shown(after)
    return result | {"Contents": contents, "CommonPrefixes": _prefixes(found, wanted)}


def _from_token(token: str) -> bytes:
    try:
        found = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        found.decode()  # a key, or a prefix
    except ValueError:
        found = b""
    if not found:
        raise errors.invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
    return found


@operation(
    "ListObjectVersions",
    "Prefix KeyMarker VersionIdMarker MaxKeys Delimiter EncodingType",
    needs=("s3:ListBucketVersions", "READ"),
    accepts=OPTIONAL,
)
def list_object_versions(call: Call, given: Given) -> Answer:
    wanted = asked(given)
    marker, version = given.get("KeyMarker", "").encode(), given.get("VersionIdMarker")
    if version == "":
        raise errors.invalid_argument("A version-id marker cannot be empty.", "version-id-marker", "")
    if version is not None and not marker:
        right = "A version-id marker cannot be specified without a key marker."
        raise errors.invalid_argument(right, "version-id-marker", version)
    finding.check_version(version, "version-id-marker")
    with call.read() as tx:
        start = behind(marker, wanted.prefix, wanted.delimiter, objects.LAST, BY_RANK) if marker else (b"", -1)
        if version is not None and start[0] == marker:
            row = objects.find(tx, call.bucket_name, marker, version)
            start = marker, row.rank if row is not None else -1

        def fetch(key: bytes, rank: Any, end: bytes | None, limit: int) -> list[Row]:
            return objects.versions(tx, call.bucket_name, key, rank, end, limit)

        found = page(fetch, BY_RANK, wanted.prefix, wanted.delimiter, start, wanted.most)
        names = account.of_canonical(tx, {access.owner_of(call.bucket, row) for row in found.rows})
    result: Result = {"Name": call.bucket_name, **wanted.members(given), "KeyMarker": wanted.shown(marker)}
    result |= {"VersionIdMarker": version or "", "MaxKeys": wanted.most, "IsTruncated": found.truncated}
    if found.truncated:
        result["NextKeyMarker"] = wanted.shown(found.last)
        if found.row is not None:
            result["NextVersionIdMarker"] = found.row.version
    pieces: list[Result] = [result]
    for row in found.rows:
        shown = _version(row, wanted) | _owner(call, row, names)
        pieces.append({"DeleteMarkers": [_marker(shown)]} if row.marker else {"Versions": [shown]})
    body = render_pieces(load("s3"), "ListObjectVersions", [*pieces, {"CommonPrefixes": _prefixes(found, wanted)}])
    return Answer(200, [], body)


def _version(row: Row, wanted: Asked) -> dict[str, Any]:
    return _content(row, wanted) | {"VersionId": row.version, "IsLatest": bool(row.latest)}


def _marker(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: shown[name] for name in ("Key", "VersionId", "IsLatest", "LastModified", "Owner")}


@operation(
    "ListMultipartUploads",
    "Prefix KeyMarker UploadIdMarker MaxUploads Delimiter EncodingType",
    needs=("s3:ListBucketMultipartUploads", "READ"),
)
def list_multipart_uploads(call: Call, given: Given) -> Result:
    wanted = asked(given, "MaxUploads", "max-uploads")
    marker, id = given.get("KeyMarker", "").encode(), given.get("UploadIdMarker", "")
    last = "\U0010ffff"
    start = behind(marker, wanted.prefix, wanted.delimiter, id or last, BY_ID) if marker else (b"", "")
    with call.read() as tx:

        def fetch(key: bytes, at: Any, end: bytes | None, limit: int) -> list[Row]:
            return upload.listed(tx, call.bucket_name, key, at, end, limit)

        found = page(fetch, BY_ID, wanted.prefix, wanted.delimiter, start, wanted.most)
        names = account.of_canonical(tx, {who for row in found.rows for who in (row.owner, row.initiator)})
    result: Result = {"Bucket": call.bucket_name, "KeyMarker": wanted.shown(marker), "UploadIdMarker": id}
    if found.truncated:
        result["NextKeyMarker"] = wanted.shown(found.last)
        result["NextUploadIdMarker"] = found.row.id if found.row is not None else ""
    result |= {**wanted.members(given), "MaxUploads": wanted.most, "IsTruncated": found.truncated}
    uploads = [_upload(row, wanted, names) for row in found.rows]
    return result | {"Uploads": uploads, "CommonPrefixes": _prefixes(found, wanted)}


def _upload(row: Row, wanted: Asked, names: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"Key": wanted.shown(row.key), "UploadId": row.id}
    shown |= {"Initiator": acl.owner_of(row.initiator, names), "Owner": acl.owner_of(row.owner, names)}
    shown |= {"StorageClass": row.storage_class, "Initiated": row.created}
    checksum = row.facts.get("checksum")
    return shown | ({"ChecksumAlgorithm": checksum["algorithm"], "ChecksumType": checksum["type"]} if checksum else {})
