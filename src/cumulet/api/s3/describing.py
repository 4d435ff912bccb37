"""What an object is described by beside its bytes: headers, metadata, tags, list, storage class, lock."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from cumulet.api.s3 import access, acl, errors
from cumulet.api.s3.call import Call, Given, Result
from cumulet.lib import checksums
from cumulet.model import Tx
from cumulet.model.database import Row

HEADERS = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "Expires": "Expires",
}
GRANTS = "ACL GrantFullControl GrantRead GrantReadACP GrantWriteACP"
PARAMETERS = (
    f"{' '.join(HEADERS)} {GRANTS} Metadata StorageClass Tagging WebsiteRedirectLocation ObjectLockMode "
    "ObjectLockRetainUntilDate ObjectLockLegalHoldStatus"
)
CLASSES = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
)
MAX_METADATA = 2048
MAX_TAGS = 10
DEFAULT_TYPE = "binary/octet-stream"


def described(call: Call, tx: Tx, given: Given) -> tuple[dict[str, Any], str]:
    """The facts of a new object, as the request describes it, and its storage class."""
    facts: dict[str, Any] = {"headers": headers_of(given)}
    facts |= meta_of(given)
    if "WebsiteRedirectLocation" in given:
        facts["redirect"] = redirect_of(given["WebsiteRedirectLocation"])
    if given.get("Tagging"):
        facts["tags"] = tags_of_header(given["Tagging"])
        note_tags(call, facts["tags"])
    facts |= lock_of(call, given, tx.now)
    mode, until, hold = (given.get(f"ObjectLock{name}") for name in ("Mode", "RetainUntilDate", "LegalHoldStatus"))
    if mode or hold:
        call.context |= access.lock_context(mode, until, hold, tx.now)
    return facts, storage_class(given)


def headers_of(given: Given) -> dict[str, str]:
    found = {HEADERS[name]: given[name] for name in HEADERS if given.get(name)}
    coding = found.get("Content-Encoding")
    if coding is not None:
        kept = [part.strip() for part in coding.split(",") if part.strip() not in ("aws-chunked", "")]
        found.pop("Content-Encoding")
        found |= {"Content-Encoding": ",".join(kept)} if kept else {}
    found.setdefault("Content-Type", DEFAULT_TYPE)
    return found


def meta_of(given: Given) -> dict[str, Any]:
    meta = given.get("Metadata") or {}
    size = sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())
    if size > MAX_METADATA:
        why = "Your metadata headers exceed the maximum allowed metadata size"
        raise errors.S3Refusal("MetadataTooLarge", why, 400, Size=str(size), MaxSizeAllowed=str(MAX_METADATA))
    return {"meta": meta} if meta else {}


def redirect_of(location: str) -> str:
    if not location.startswith(("/", "http://", "https://")):
        why = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        raise errors.S3Refusal("InvalidRedirectLocation", why, 400)
    return location


def storage_class(given: Given) -> str:
    name = str(given.get("StorageClass") or "STANDARD")
    if name not in CLASSES:
        asked = {"StorageClassRequested": name[:100]}
        raise errors.S3Refusal("InvalidStorageClass", "The storage class you specified is not valid", 400, **asked)
    return name


def tags_of_header(text: str) -> list[list[str]]:
    """Tags as `key=value&…`; a key alone has an empty value."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise _invalid_header(text) from None
    if len(dict(pairs)) < len(pairs) or not all(_is_of_tags(word) for pair in pairs for word in pair):
        raise _invalid_header(text)
    return checked_tags([{"Key": key, "Value": value} for key, value in pairs], MAX_TAGS)


def _invalid_header(text: str) -> errors.S3Refusal:
    why = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name"
    return errors.invalid_argument(f"{why} duplicates.", "x-amz-tagging", text)


def checked_tags(tags: list[dict[str, str]], most: int) -> list[list[str]]:
    """Tags as they are kept; raises InvalidTag."""
    if len(tags) > most:
        what = "Object" if most == MAX_TAGS else "Bucket"
        raise errors.S3Refusal("InvalidTag", f"{what} tags cannot be greater than {most}", 400)
    seen: set[str] = set()
    for tag in tags:
        key, value = tag["Key"], tag["Value"]
        if not 1 <= len(key) <= 128:
            raise _invalid_tag("The TagKey you have provided is invalid", key)
        if not _is_of_tags(key):
            raise _invalid_tag("The TagKey you have provided is invalid", key)
        if len(value) > 256 or not _is_of_tags(value):
            raise _invalid_tag("The TagValue you have provided is invalid", key)
        if key.lower().startswith("aws:"):
            raise _invalid_tag("System tags cannot be added/updated by requester", key)
        if key in seen:
            raise _invalid_tag("Cannot provide multiple Tags with the same key", key)
        seen.add(key)
    return [[tag["Key"], tag["Value"]] for tag in tags]


def _is_of_tags(text: str) -> bool:
    """Letters, digits and spaces of any script, and a few signs ("Tagging" of the Amazon S3 User Guide)."""
    return all(one in "_.:/=+-@" or unicodedata.category(one)[0] in "LZN" for one in text)


def _invalid_tag(why: str, key: str) -> errors.S3Refusal:
    return errors.S3Refusal("InvalidTag", why, 400, TagKey=key[:130])


def note_tags(call: Call, tags: list[list[str]]) -> None:
    """Policies may decide on the tags that a request brings."""
    call.tags = tags
    call.context |= {f"s3:RequestObjectTag/{key}": value for key, value in tags}
    call.context["s3:RequestObjectTagKeys"] = [key for key, _ in tags]


def lock_of(call: Call, given: Given, now: float) -> dict[str, Any]:
    """Retention and legal hold: as the request says, else as the bucket does by default."""
    mode, until, hold = (
        given.get("ObjectLockMode"),
        given.get("ObjectLockRetainUntilDate"),
        given.get("ObjectLockLegalHoldStatus"),
    )
    if not call.bucket.object_lock:
        if mode or until or hold:
            raise errors.invalid_request("Bucket is missing Object Lock Configuration")
        return {}
    facts: dict[str, Any] = {}
    if hold is not None:
        if hold not in ("ON", "OFF"):
            raise errors.invalid_argument("Legal Hold must be either of 'ON' or 'OFF'")
        facts["hold"] = hold
    if (mode is None) != (until is None):
        both = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        raise errors.invalid_argument(both)
    if mode is not None and isinstance(until, datetime):
        return facts | {"lock": checked_lock(mode, until.timestamp(), now)}
    return facts | _default_lock(call.bucket, now)


def checked_lock(mode: str, until: float, now: float) -> dict[str, Any]:
    if mode not in ("GOVERNANCE", "COMPLIANCE"):
        raise errors.invalid_argument("Unknown wormMode directive.", "x-amz-object-lock-mode", mode)
    if until <= now:
        raise errors.invalid_argument("The retain until date must be in the future!")
    return {"mode": mode, "until": until}


def _default_lock(bucket: Row, now: float) -> dict[str, Any]:
    rule = (bucket.settings.get("object_lock") or {}).get("Rule") or {}
    default = rule.get("DefaultRetention")
    if not default:
        return {}
    days = default.get("Days") or 365 * default.get("Years", 0)
    return {"lock": {"mode": default["Mode"], "until": now + days * 86400}}


def owner_of_new(call: Call, bucket: Row, grants: list[acl.Grant] | None) -> str:
    """Who owns what this request makes."""
    if access.ownership(bucket) == access.ENFORCED or not call.canonical_id:
        return str(bucket.owner)
    full = ["CanonicalUser", bucket.owner, "FULL_CONTROL"]
    if access.ownership(bucket) == "BucketOwnerPreferred" and grants is not None and full in grants:
        return str(bucket.owner)
    return call.canonical_id


def list_of_new(call: Call, tx: Tx, bucket: Row, given: Given) -> list[acl.Grant] | None:
    """The access control list that the request asks for; refused where lists are off or blocked."""
    named = given.get("ACL")
    grants = acl.requested(tx, given, call.canonical_id or bucket.owner, bucket.owner)
    if access.ownership(bucket) == access.ENFORCED:
        access.refuse_lists(bucket, grants, named)
        return None
    if grants is not None:
        access.refuse_public(bucket, grants)
    return grants


def members(row: Row) -> Result:
    """What GetObject and HeadObject say of an object's description."""
    facts = row.facts
    headers = facts.get("headers") or {}
    result: Result = {name: headers.get(header) for name, header in HEADERS.items()}
    result["ContentType"] = headers.get("Content-Type", DEFAULT_TYPE)
    result["Metadata"] = facts.get("meta") or {}
    result["WebsiteRedirectLocation"] = facts.get("redirect")
    if row.storage_class != "STANDARD":
        result["StorageClass"] = row.storage_class
    lock = facts.get("lock")
    if lock:
        result["ObjectLockMode"] = lock["mode"]
        result["ObjectLockRetainUntilDate"] = datetime.fromtimestamp(lock["until"], UTC)
    result["ObjectLockLegalHoldStatus"] = facts.get("hold")
    if facts.get("tags"):
        result["TagCount"] = len(facts["tags"])
    return result


def checksum_members(checksum: dict[str, str] | None) -> Result:
    """An object's checksum, as answers have it."""
    if not checksum:
        return {}
    algorithm = checksums.ALGORITHMS[checksum["algorithm"]]
    return {algorithm.member: checksum["value"], "ChecksumType": checksum["type"]}
