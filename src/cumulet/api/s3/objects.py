"""Objects: put, get, head, attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cumulet.api.s3 import access, describing, encryption, errors, expiry, finding, notifications, quotas
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.api.s3.reading import BodyStream, Segment, read_all, segments_of
from cumulet.api.s3.receiving import Received, Receiver, require_digest_of_locked, wanted
from cumulet.lib import checksums, ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, blob, bucket, upload
from cumulet.model import object as objects
from cumulet.model.database import Row
from cumulet.wire.models import load
from cumulet.wire.rest_render import http_date, render_rest

READ = "IfMatch IfNoneMatch IfModifiedSince IfUnmodifiedSince Range VersionId PartNumber ChecksumMode"
READ_ALSO = (
    f"{READ} ResponseCacheControl ResponseContentDisposition ResponseContentEncoding ResponseContentLanguage "
    "ResponseContentType ResponseExpires SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5"
)
CONDITIONS = ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince")
SMALL = 256 << 10
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def start_put(call: Call, given: Given) -> Receiver:
    """What can be said before the body comes: whether it may come, and how it is to be kept."""
    if not call.key:
        raise errors.invalid_request("An object has a key.")
    for name in {"partNumber", "uploadId"} & call.query.keys():
        why = f"{name} alone is of no operation; a part has both partNumber and uploadId."
        raise errors.invalid_argument(why, name, call.query[name])
    with call.read() as tx:
        grants = describing.list_of_new(call, tx, call.bucket, given)
        facts, storage = describing.described(call, tx, given)
        access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
        require_extras(call, given, has_list=grants is not None)
        finding.check_write(call, tx, given)
    require_digest_of_locked(call, facts, "Put Object")
    sealing = encryption.sealing_of(call, given)
    if sealing.kind:
        facts["sse"] = sealing.facts
    if grants is not None:
        facts["acl"] = grants
    given["facts"], given["storage"] = facts, storage
    given["owner"] = describing.owner_of_new(call, call.bucket, grants)
    said = wanted(call)
    quotas.check(call, call.bucket, said.size)
    return Receiver(call, said, sealing)


def require_extras(call: Call, given: Given, *, has_list: bool) -> None:
    """What else a request that makes an object has to be allowed."""
    needed = {"Tagging": "s3:PutObjectTagging", "ObjectLockMode": "s3:PutObjectRetention"}
    needed |= {"ObjectLockLegalHoldStatus": "s3:PutObjectLegalHold"}
    actions = [action for name, action in needed.items() if given.get(name)]
    for action in [*actions, *(["s3:PutObjectAcl"] if has_list else [])]:
        access.require(call, call.bucket, action, "WRITE", key=call.key)


@operation(
    "PutObject",
    f"{describing.PARAMETERS} {encryption.PARAMETERS} IfMatch IfNoneMatch",
    receive=start_put,
    accepts={"BucketKeyEnabled": "it is a setting of KMS keys"},
)
def put_object(call: Call, given: Given, received: Received) -> Result:
    facts = {**given["facts"], "sealed": received.sealed} if received.sealed else given["facts"]
    name, value = next(iter(received.checksums.items()))
    facts = {**facts, "checksum": {"algorithm": name, "type": "FULL_OBJECT", "value": value}}
    values = {"size": received.size, "etag": received.md5, "blob": received.blob, "facts": facts}
    version = keep(call, given, values, received)
    result: Result = {"ETag": f'"{received.md5}"', "VersionId": version, **encryption.members(facts.get("sse"))}
    result |= expiry.member(call.bucket, call.key_text, facts.get("tags"), received.size, call.database.clock.now())
    return result | describing.checksum_members(facts["checksum"])


def keep(call: Call, given: Given, values: dict[str, Any], *new: Received) -> str | None:
    """Write the row that makes an object visible; gives its version id, where there is versioning.

    The blobs that are `new` are named from here on. Raises what a conditional write, a lock or a quota says.
    """
    with unless_refused(call, *new), call.write_together() as tx:
        version = keep_in(call, tx, given, values, *new)
    call.house.wake()
    return version


@contextmanager
def unless_refused(call: Call, *new: Received) -> Iterator[None]:
    """Remove these blobs if their rows are refused.

    After any other mistake it is not known whether there are rows: what has none is swept.
    """
    try:
        yield
    except Refusal:
        for received in new:
            call.house.blobs.remove(received.blob)
        raise


def keep_in(call: Call, tx: Tx, given: Given, values: dict[str, Any], *new: Received) -> str | None:
    """The same in a transaction that has begun."""
    row = call.still_there(bucket.hold(tx, call.bucket_name))
    finding.check_write(call, tx, given)
    quotas.check_held(call, tx, row, values["size"])
    for received in new:
        blob.add(tx, received.blob, received.size, received.crc)
    version = ids.token(32) if row.versioning == "Enabled" else objects.NULL
    shared = {"bucket": row.name, "key": call.key, "version": version}
    shared |= {"owner": given["owner"], "storage_class": given["storage"]}
    objects.add(tx, {**values, **shared})
    shown = version if row.versioning else None
    notifications.tell_created(call, tx, row, values["size"], values["etag"], shown)
    return shown


@operation("GetObject", READ_ALSO)
def get_object(call: Call, given: Given) -> Answer:
    return serve(call, given, "s3:GetObject")


@operation("HeadObject", READ_ALSO)
def head_object(call: Call, given: Given) -> Answer:
    return serve(call, given, "s3:GetObject")


def serve(call: Call, given: Given, action: str) -> Answer:
    """The object's headers, and its body where it is not HEAD."""
    encryption.refuse_method(call)
    key = encryption.customer_key(given)
    with call.read() as tx:
        row = finding.fetch(call, tx, given.get("VersionId"), action)
        segments = segments_of(tx, row)
        checksum = _checksum(tx, given, row) if "ChecksumMode" in given else {}
    customer = encryption.check_key(row.facts.get("sse") or {}, key)
    failed = finding.check_read(given, row, CONDITIONS)
    if failed is not None:
        return _not_as_expected(call, row, failed)
    if "Range" in given and not finding.is_if_range(call.header("if-range"), row):
        del given["Range"]
    start, length, more = _part_of(given, row, segments)
    if "Range" in given and length < row.size:
        checksum = {}
    result = _members(call, given, row) | checksum | more
    headers, _ = render_rest(load("s3"), "HeadObject", {**result, "ContentLength": length})
    status = 206 if "ContentRange" in more else 200
    if call.request.method == "HEAD":
        return Answer(status, headers)
    if length <= SMALL:
        return Answer(status, headers, read_all(call.house, segments, customer, start, length))
    return Answer(status, headers, stream=BodyStream(call.house, segments, customer, start, length))


def _not_as_expected(call: Call, row: Row, failed: str) -> Answer:
    if failed in ("If-None-Match", "If-Modified-Since"):
        headers = [("ETag", f'"{row.etag}"'), ("Last-Modified", http_date(row.modified))]
        kept = row.facts.get("headers") or {}
        headers += [(name, kept[name]) for name in ("Cache-Control", "Expires") if name in kept]
        headers += [("x-amz-version-id", id) for id in finding.version_member(call.bucket, row).values()]
        return Answer(304, headers)
    raise errors.precondition(failed)


def _members(call: Call, given: Given, row: Row) -> Result:
    result = _as_allowed(call, row, describing.members(row)) | encryption.members(row.facts.get("sse"))
    result |= {"AcceptRanges": "bytes", "LastModified": http_date(row.modified), "ETag": f'"{row.etag}"'}
    result |= finding.version_member(call.bucket, row) | _overridden(call, given)
    if row.latest:
        result |= expiry.member(call.bucket, call.key_text, row.facts.get("tags"), row.size, row.modified)
    return result


_LOOKS = {
    "TagCount": "s3:GetObjectTagging",
    "ObjectLockMode": "s3:GetObjectRetention",
    "ObjectLockRetainUntilDate": "s3:GetObjectRetention",
    "ObjectLockLegalHoldStatus": "s3:GetObjectLegalHold",
}
"""What is only said to who may ask for it too ("Response elements" of GetObject in the S3 API Reference)."""


def _as_allowed(call: Call, row: Row, found: Result) -> Result:
    shown = {name: action for name, action in _LOOKS.items() if found.get(name) is not None}
    for name, action in shown.items():
        if not access.may(call, call.bucket, action, "", row):
            del found[name]
    return found


def _checksum(tx: Tx, given: Given, row: Row) -> Result:
    """The checksum of what is asked for: the whole, or a part that has one of its own."""
    checksum = row.facts.get("checksum")
    if given["ChecksumMode"].upper() != "ENABLED" or not checksum:
        return {}
    if "PartNumber" not in given:
        return describing.checksum_members(checksum)
    parts = upload.parts(tx, row.upload) if row.upload and checksum["type"] == "COMPOSITE" else []
    algorithm, at = checksum["algorithm"], given["PartNumber"] - 1
    if not 0 <= at < len(parts) or algorithm not in parts[at].facts["checksums"]:
        return {}
    return describing.checksum_members({**checksum, "value": parts[at].facts["checksums"][algorithm]})


def _overridden(call: Call, given: Given) -> Result:
    """The headers of the answer that the URL asks for."""
    asked = {name.removeprefix("Response"): given[name] for name in given if name.startswith("Response")}
    if asked and call.principal is None:
        why = "Request specific response headers cannot be used for anonymous GET requests."
        raise errors.invalid_request(why)
    return asked


def _part_of(given: Given, row: Row, segments: list[Segment]) -> tuple[int, int, Result]:
    """Where to begin, how much to give, and what the answer says of that."""
    if "PartNumber" in given:
        if "Range" in given:
            raise errors.invalid_request("Cannot specify both Range header and partNumber query parameter")
        return _numbered(given["PartNumber"], row, segments)
    found = _RANGE.fullmatch(given.get("Range", "").replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return 0, row.size, {}
    first, last = found[1], found[2]
    start = int(first) if first else max(row.size - int(last), 0)
    end = min(int(last), row.size - 1) if first and last else row.size - 1
    if first and last and int(first) > int(last):
        return 0, row.size, {}
    if start >= row.size or (not first and int(last) == 0):
        raise _no_range(given["Range"], row.size)
    return start, end - start + 1, {"ContentRange": f"bytes {start}-{end}/{row.size}"}


def _no_range(asked: str, size: int) -> errors.S3Refusal:
    details = {"RangeRequested": asked, "ActualObjectSize": str(size)}
    refusal = errors.S3Refusal("InvalidRange", "The requested range is not satisfiable", 416, **details)
    return refusal.having({"Content-Range": f"bytes */{size}"})


def _numbered(number: int, row: Row, segments: list[Segment]) -> tuple[int, int, Result]:
    if number < 1 or number > 10_000:
        raise errors.invalid_argument("Part number must be an integer between 1 and 10000, inclusive")
    parts = segments if row.upload else [Segment(row.blob, row.size, "", 1)]
    if number > len(parts):
        details = {"PartNumberRequested": str(number), "ActualPartCount": str(len(parts))}
        raise errors.S3Refusal("InvalidPartNumber", "The requested partnumber is not satisfiable", 416, **details)
    start = sum(one.size for one in parts[: number - 1])
    length = parts[number - 1].size
    more: Result = {"PartsCount": len(parts)} if row.upload else {}
    if row.size:
        more["ContentRange"] = f"bytes {start}-{start + length - 1}/{row.size}"
    return start, length, more


@operation(
    "GetObjectAttributes",
    "VersionId MaxParts PartNumberMarker ObjectAttributes SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5",
)
def get_object_attributes(call: Call, given: Given) -> Result:
    named = given.get("ObjectAttributes") or []
    known = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
    if not named or any(name not in known for name in named):
        raise errors.invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", ",".join(named))
    key = encryption.customer_key(given)
    with call.read() as tx:
        row = finding.fetch(call, tx, given.get("VersionId"), "s3:GetObject")
        action = "s3:GetObjectAttributes"
        action = action if given.get("VersionId") is None else finding.of_version(action)
        access.require(call, call.bucket, action, "READ", row)
        parts = _parts(tx, given, row) if "ObjectParts" in named and row.upload else None
    encryption.check_key(row.facts.get("sse") or {}, key)
    found: Result = {
        "ETag": row.etag,
        "Checksum": describing.checksum_members(row.facts.get("checksum")) or None,
        "ObjectParts": parts,
        "StorageClass": row.storage_class,
        "ObjectSize": row.size,
    }
    result: Result = {name: found[name] for name in known if name in named}
    return result | {"LastModified": http_date(row.modified)} | finding.version_member(call.bucket, row)


def _parts(tx: Tx, given: Given, row: Row) -> Result:
    marker, most = given.get("PartNumberMarker", 0), min(given.get("MaxParts", 1000), 1000)
    all_parts = upload.parts(tx, row.upload)
    behind = [one for one in all_parts if one.number > marker]
    shown = behind[:most]
    checksum = row.facts.get("checksum")
    result: Result = {"TotalPartsCount": len(all_parts), "PartNumberMarker": marker}
    result |= {"NextPartNumberMarker": shown[-1].number if shown else 0, "MaxParts": most}
    result["IsTruncated"] = len(behind) > most
    if checksum and checksum["type"] == "COMPOSITE":
        result["Parts"] = [part_members(one) for one in shown]
    return result


def part_members(part: Row) -> Result:
    """A part, as attributes have it."""
    found = {checksums.ALGORITHMS[name].member: value for name, value in (part.facts.get("checksums") or {}).items()}
    return {"PartNumber": part.number, "Size": part.size, **found}
