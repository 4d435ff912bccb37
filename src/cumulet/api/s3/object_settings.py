"""What an object is set to after it was put: tags, list, retention, legal hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cumulet.api.s3 import access, acl, describing, errors, finding, notifications
from cumulet.api.s3.bucket_settings import acl_of
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.model import Tx, bucket
from cumulet.model import object as objects
from cumulet.model.database import Row
from cumulet.wire.rest_parse import malformed


def _set(call: Call, given: Given, action: str, event: str = "", **facts: Any) -> Row:
    """Set these facts of the version that is asked for, and have `event` told; None takes a fact away."""
    with call.write() as tx:
        held = call.still_there(bucket.hold(tx, call.bucket_name))
        row = finding.fetch(call, tx, given.get("VersionId"), action, "")
        objects.change(tx, row, **facts)
        if event:
            _tell(call, tx, held, event, row)
    return row


def _tell(call: Call, tx: Tx, held: Row, event: str, row: Row) -> None:
    version = row.version if held.versioning else None
    notifications.tell(call, tx, held, event, row.key, eTag=row.etag, versionId=version)


def _get(call: Call, given: Given, action: str, listed: str) -> Row:
    with call.read() as tx:
        return finding.fetch(call, tx, given.get("VersionId"), action, listed)


@operation("GetObjectTagging", "VersionId")
def get_object_tagging(call: Call, given: Given) -> Result:
    row = _get(call, given, "s3:GetObjectTagging", "")
    tags = [{"Key": key, "Value": value} for key, value in row.facts.get("tags") or []]
    return {"TagSet": tags, **finding.version_member(call.bucket, row)}


@operation("PutObjectTagging", "Tagging VersionId")
def put_object_tagging(call: Call, given: Given) -> Result:
    if not given.get("Tagging"):
        raise malformed("the body is Tagging")
    tags = describing.checked_tags(given["Tagging"]["TagSet"], describing.MAX_TAGS)
    describing.note_tags(call, tags)
    row = _set(call, given, "s3:PutObjectTagging", "s3:ObjectTagging:Put", tags=tags or None)
    found = finding.version_member(call.bucket, row)
    return dict(found)


@operation("DeleteObjectTagging", "VersionId")
def delete_object_tagging(call: Call, given: Given) -> Answer:
    row = _set(call, given, "s3:DeleteObjectTagging", "s3:ObjectTagging:Delete", tags=None)
    found = finding.version_member(call.bucket, row)
    return Answer(204, [("x-amz-version-id", found["VersionId"])] if found else [])


@operation("GetObjectAcl", "VersionId")
def get_object_acl(call: Call, given: Given) -> Result:
    with call.read() as tx:
        row = finding.fetch(call, tx, given.get("VersionId"), "s3:GetObjectAcl", "READ_ACP")
        return acl.rendered(call, tx, access.owner_of(call.bucket, row), access.grants_of(call.bucket, row))


@operation("PutObjectAcl", f"{describing.GRANTS} GrantWrite AccessControlPolicy VersionId")
def put_object_acl(call: Call, given: Given) -> Result:
    with call.write() as tx:
        held = call.still_there(bucket.hold(tx, call.bucket_name))
        row = finding.fetch(call, tx, given.pop("VersionId", None), "s3:PutObjectAcl", "WRITE_ACP")
        grants = acl_of(tx, given, row.owner, held.owner)
        access.refuse_list(held)
        access.refuse_public(held, grants)
        objects.change(tx, row, acl=grants)
        _tell(call, tx, held, "s3:ObjectAcl:Put", row)
    return {}


def _check_locked_bucket(call: Call, action: str) -> None:
    """Who may not do `action` is not told how the bucket is."""
    if not call.bucket.object_lock:
        access.require(call, call.bucket, action, "", key=call.key)
        raise errors.invalid_request("Bucket is missing Object Lock Configuration")


@operation("GetObjectRetention", "VersionId")
def get_object_retention(call: Call, given: Given) -> Result:
    _check_locked_bucket(call, "s3:GetObjectRetention")
    lock = _get(call, given, "s3:GetObjectRetention", "").facts.get("lock")
    if lock is None:
        raise _no_lock()
    until = datetime.fromtimestamp(lock["until"], UTC)
    return {"Retention": {"Mode": lock["mode"], "RetainUntilDate": until}}


def _no_lock() -> errors.S3Refusal:
    why = "The specified object does not have a ObjectLock configuration"
    return errors.S3Refusal("NoSuchObjectLockConfiguration", why, 404)


@operation("PutObjectRetention", "Retention VersionId BypassGovernanceRetention")
def put_object_retention(call: Call, given: Given) -> Result:
    _check_locked_bucket(call, "s3:PutObjectRetention")
    wanted = given.get("Retention")
    if wanted is None:
        raise malformed("the body is Retention")
    with call.write() as tx:
        call.still_there(bucket.hold(tx, call.bucket_name))
        call.context |= access.lock_context(wanted.get("Mode"), wanted.get("RetainUntilDate"), None, tx.now)
        row = finding.fetch(call, tx, given.get("VersionId"), "s3:PutObjectRetention", "")
        before = row.facts.get("lock")
        after = None
        if wanted:
            if "Mode" not in wanted or "RetainUntilDate" not in wanted:
                raise malformed("Retention has a Mode and a RetainUntilDate")
            after = describing.checked_lock(wanted["Mode"], wanted["RetainUntilDate"].timestamp(), tx.now)
        if before is not None and before["until"] > tx.now and not _is_longer(before, after):
            _require_bypass(call, given, row, before)
        objects.change(tx, row, lock=after)
    return {}


def _is_longer(before: dict[str, Any], after: dict[str, Any] | None) -> bool:
    """Whoever may retain may retain for longer; all else is to alter a lock ("Object Lock" of the S3 User Guide)."""
    return after is not None and after["until"] >= before["until"] and after["mode"] == before["mode"]


def _require_bypass(call: Call, given: Given, row: Row, before: dict[str, Any]) -> None:
    allowed = bool(given.get("BypassGovernanceRetention"))
    allowed = allowed and access.may(call, call.bucket, "s3:BypassGovernanceRetention", "", row)
    if before["mode"] == "COMPLIANCE" or not allowed:
        raise errors.S3Refusal("AccessDenied", "Access Denied because object protected by object lock.", 403)


@operation("GetObjectLegalHold", "VersionId")
def get_object_legal_hold(call: Call, given: Given) -> Result:
    _check_locked_bucket(call, "s3:GetObjectLegalHold")
    hold = _get(call, given, "s3:GetObjectLegalHold", "").facts.get("hold")
    if hold is None:
        raise _no_lock()
    return {"LegalHold": {"Status": hold}}


@operation("PutObjectLegalHold", "LegalHold VersionId")
def put_object_legal_hold(call: Call, given: Given) -> Result:
    _check_locked_bucket(call, "s3:PutObjectLegalHold")
    status = (given.get("LegalHold") or {}).get("Status")
    if status is None:
        raise malformed("LegalHold has a Status")
    call.context |= access.lock_context(None, None, status, 0)
    _set(call, given, "s3:PutObjectLegalHold", hold=status)
    return {}
