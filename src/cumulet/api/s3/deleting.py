"""Deleting objects: one, a version, or a thousand at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cumulet.api.s3 import access, errors, finding, notifications
from cumulet.api.s3.call import Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, bucket
from cumulet.model import object as objects
from cumulet.model.database import Row
from cumulet.wire.rest_parse import malformed

MOST = 1000
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
"""The MD5 of nothing, which is a delete marker's."""
CONDITIONS = "IfMatch IfMatchLastModifiedTime IfMatchSize"


@operation("DeleteObject", f"VersionId BypassGovernanceRetention {CONDITIONS}")
def delete_object(call: Call, given: Given) -> Result:
    version = given.get("VersionId")
    finding.check_version(version)
    _allow(call, call.key, version)
    bypass = _bypass(call, given)
    with call.write() as tx:
        row = call.still_there(bucket.hold(tx, call.bucket_name))
        found = _delete(call, tx, row, call.key, version, given, bypass=bypass)
    call.house.wake()
    marked = found.get("DeleteMarkerVersionId")
    result: Result = {"VersionId": found.get("VersionId") or marked}
    return result | ({"DeleteMarker": True} if found.get("DeleteMarker") else {})


def _allow(call: Call, key: bytes, version: str | None) -> None:
    action = "s3:DeleteObject" if version is None else "s3:DeleteObjectVersion"
    access.require(call, call.bucket, action, "WRITE" if version is None else "", key=key)


def _bypass(call: Call, given: Given) -> bool:
    """Whether a retention is to be passed by; raises InvalidArgument where the bucket can have none."""
    wanted = bool(given.get("BypassGovernanceRetention"))
    if wanted and not call.bucket.object_lock:
        name = "x-amz-bypass-governance-retention"
        raise errors.invalid_argument(f"{name} is only applicable to Object Lock enabled buckets.", name)
    return wanted


@operation("DeleteObjects", "Delete BypassGovernanceRetention MFA")
def delete_objects(call: Call, given: Given) -> Result:
    wanted = given.get("Delete")
    if not wanted or not wanted.get("Objects"):
        raise malformed("Delete has at least one Object")
    if len(wanted["Objects"]) > MOST:
        raise malformed(f"Delete has at most {MOST} Objects")
    if not all(one["Key"] for one in wanted["Objects"]):
        raise malformed("a Key is empty")
    bypass = _bypass(call, given)
    deleted: list[Result] = []
    failed: list[Result] = []
    with call.write() as tx:
        row = call.still_there(bucket.hold(tx, call.bucket_name))
        for one in wanted["Objects"]:
            try:
                deleted.append(_one_of_many(call, tx, row, one, bypass))
            except Refusal as e:
                failed.append(_failure(one, e))
    call.house.wake()
    return {"Deleted": [] if wanted.get("Quiet") else deleted, "Errors": failed}


def _one_of_many(call: Call, tx: Tx, row: Row, one: Given, bypass: bool) -> Result:
    key, version = one["Key"].encode(), one.get("VersionId")
    if len(key) > 1024:
        raise errors.S3Refusal("KeyTooLongError", "Your key is too long", 400)
    finding.check_version(version)
    _allow(call, key, version)
    conditions = {"IfMatch": one.get("ETag"), "IfMatchSize": one.get("Size")}
    conditions["IfMatchLastModifiedTime"] = one.get("LastModifiedTime")
    return {"Key": one["Key"], **_delete(call, tx, row, key, version, conditions, bypass=bypass)}


def _failure(one: Given, refusal: Refusal) -> Result:
    named = {"VersionId": one["VersionId"]} if one.get("VersionId") else {}
    return {"Key": one["Key"], **named, "Code": refusal.code, "Message": refusal.message}


def _delete(
    call: Call, tx: Tx, row: Row, key: bytes, version: str | None, conditions: Given, *, bypass: bool
) -> dict[str, Any]:
    """Delete in a bucket that is held; what was done, as DeleteObjects says it."""
    if version is not None:
        found = objects.find(tx, row.name, key, version)
        _check(call, conditions, found)
        if found is None:
            return {"VersionId": version}
        check_lock(call, found, tx.now, bypass=bypass)
        objects.delete(tx, found)
        notifications.tell(call, tx, row, "s3:ObjectRemoved:Delete", key, versionId=version)
        marker = {"DeleteMarker": True, "DeleteMarkerVersionId": version} if found.marker else {}
        return {"VersionId": version, **marker}
    found = objects.newest(tx, row.name, key)
    _check(call, conditions, found)
    if not row.versioning:
        if found is not None:
            objects.delete(tx, found)
            notifications.tell(call, tx, row, "s3:ObjectRemoved:Delete", key)
        return {}
    id = ids.token(32) if row.versioning == "Enabled" else objects.NULL
    owner = call.canonical_id or row.owner
    if id == objects.NULL and (null := objects.find(tx, row.name, key, id)) is not None:
        check_lock(call, null, tx.now, bypass=bypass)
    objects.add(tx, {"bucket": row.name, "key": key, "version": id, "owner": owner, "marker": True})
    told = "s3:ObjectRemoved:DeleteMarkerCreated"
    notifications.tell(call, tx, row, told, key, eTag=EMPTY, versionId=id)
    return {"DeleteMarker": True, "DeleteMarkerVersionId": id}


def _check(call: Call, conditions: Given, found: Row | None) -> None:
    """Raises PreconditionFailed where what is there is not what the request expects."""
    etag, size, modified = (
        conditions.get(name) for name in CONDITIONS.split()[:1] + ["IfMatchSize", "IfMatchLastModifiedTime"]
    )
    if etag is None and size is None and modified is None:
        return
    if found is None or found.marker:
        raise errors.precondition("If-Match") if etag != "*" or found else errors.no_such_key(call.key_text)
    if etag is not None and not finding.etag_matches(etag, found.etag):
        raise errors.precondition("If-Match")
    if size is not None and size != found.size:
        raise errors.precondition("x-amz-if-match-size")
    if isinstance(modified, datetime) and int(modified.timestamp()) != int(found.modified):
        raise errors.precondition("x-amz-if-match-last-modified-time")


def check_lock(call: Call, row: Row, now: float, *, bypass: bool) -> None:
    """Raises AccessDenied for a version that is held or retained."""
    lock = row.facts.get("lock")
    protected = "Access Denied because object protected by object lock."
    if row.facts.get("hold") == "ON":
        raise errors.S3Refusal("AccessDenied", protected, 403)
    if lock is None or lock["until"] <= now:
        return
    may_bypass = bypass and access.may(call, call.bucket, "s3:BypassGovernanceRetention", "", row)
    if lock["mode"] == "COMPLIANCE" or not may_bypass:
        raise errors.S3Refusal("AccessDenied", protected, 403)
