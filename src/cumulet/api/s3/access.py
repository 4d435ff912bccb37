"""Who may do what with a bucket and its objects: the bucket's policy, public access blocks, and access control lists.

A policy that denies decides. Else it is allowed by the policy, by belonging to the owner's account, or by a list. The
bucket's owner reads an object of another account's only where that object's list lets it ("Object Ownership").
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cumulet.api.authorise import keys_of
from cumulet.api.s3 import acl, errors
from cumulet.api.s3.call import Call
from cumulet.identity import permissions
from cumulet.identity.policy import AccessRequest, Caller, Decision, Policies, Policy, compile_policy, evaluate
from cumulet.identity.principal import Principal
from cumulet.model.database import Row

ENFORCED = "BucketOwnerEnforced"
OWNERS_ALWAYS = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
"""What the root of the owner's account may do whatever the policy says, so that nobody locks himself out."""
OF_OBJECTS_DATA = ("READ", "READ_ACP", "WRITE_ACP")
_HEADERS = (
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "x-amz-object-ownership",
    "if-match",
    "if-none-match",
)
_LOCK = ("x-amz-object-lock-mode", "x-amz-object-lock-legal-hold", "x-amz-object-lock-retain-until-date")
_QUERY = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys", "versionId": "s3:VersionId"}
_NARROW = ("aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount", "aws:userid")
_NARROWING = (*_NARROW, "aws:sourceip", "aws:principalarn", "aws:principalaccount", "aws:principalorgid")


def require(
    call: Call, bucket: Row, action: str, listed: str, row: Row | None = None, key: bytes | None = None
) -> None:
    """Return if the caller may; else raise AccessDenied. `listed`: the permission of a list that would do, or ""."""
    if not may(call, bucket, action, listed, row, key):
        raise errors.denied()


def require_of_upload(call: Call, action: str, listed: str, initiator: str) -> None:
    """Who has begun an upload may end and list it, unless a policy denies that; others need a permission.

    Source: "Multipart upload API and permissions" of the Amazon S3 User Guide.
    """
    if initiator != call.canonical_id:
        require(call, call.bucket, action, listed, key=call.key)
        return
    asked = _asked(call, call.bucket, action, None, call.key)
    if _decide(call, asked, _policy(call, call.bucket, action)).verdict == "explicitDeny":
        raise errors.denied()


def require_own(call: Call, action: str, resource: str) -> Principal:
    """The caller, who may do in its own account what is not of a bucket that is there; else raise AccessDenied."""
    if call.principal is None:
        raise errors.denied()
    if not call.principal.may_all:
        asked = AccessRequest(
            caller=call.principal.caller, action=action, resource=resource, context=_context(call, None)
        )
        if not evaluate(asked, permissions.policies(call.database, call.principal)).allowed:
            raise errors.denied()
    return call.principal


def check_payer(call: Call, bucket: Row) -> None:
    """Raises AccessDenied to another account that does not say that it pays, where the requester has to.

    Source: "Using Requester Pays buckets" of the Amazon S3 User Guide. Nobody is billed.
    """
    if bucket.settings.get("payer") != "Requester" or (call.principal is not None and call.account == bucket.account):
        return
    if call.principal is None or call.header("x-amz-request-payer") != "requester":
        raise errors.denied("The requester pays for this bucket, and has to sign and to send x-amz-request-payer.")
    call.charged = True


def may(call: Call, bucket: Row, action: str, listed: str, row: Row | None = None, key: bytes | None = None) -> bool:
    """Whether the caller may do `action` with the bucket, its object `row`, or what is or will be at `key`."""
    own = call.principal is not None and call.account == bucket.account
    anothers = _is_anothers(bucket, listed, row)
    if own and call.principal and call.principal.may_all and not (anothers or bucket.settings.get("policy")):
        return True  # the root of its account, whom nothing limits: most requests, so no policy is looked at for them
    asked = _asked(call, bucket, action, row, key)
    policy = _policy(call, bucket, action)
    decision = _decide(call, asked, policy)
    if decision.verdict == "explicitDeny":
        return False
    by_policy = any(match.layer == "resource" for match in decision.matched)
    if decision.allowed and by_policy and not (not own and _is_restricted(bucket)):
        return True
    if own and decision.allowed and not anothers:
        return True
    if not listed or not _by_list(call, bucket, listed, row):
        return False
    return call.principal is None or _own_account_allows(call, asked)


def _asked(call: Call, bucket: Row, action: str, row: Row | None, key: bytes | None) -> AccessRequest:
    resource = f"arn:aws:s3:::{bucket.name}"
    if row is not None or key is not None:
        resource += "/" + (row.key if row is not None else key or b"").decode()
    caller = call.principal.caller if call.principal else Caller()
    context = _context(call, row) if _looks(call, bucket) else {}
    return AccessRequest(caller=caller, action=action, resource=resource, owner=bucket.account, context=context)


def _looks(call: Call, bucket: Row) -> bool:
    """Whether anybody looks at the context of a request."""
    return bool(bucket.settings.get("policy")) or (call.principal is not None and not call.principal.may_all)


def _policy(call: Call, bucket: Row, action: str) -> Policy | None:
    text = bucket.settings.get("policy")
    root = call.principal is not None and call.account == bucket.account and call.principal.may_all
    return None if not text or (root and action in OWNERS_ALWAYS) else compiled(text)


def _decide(call: Call, asked: AccessRequest, policy: Policy | None) -> Decision:
    if call.principal is None:
        return evaluate(asked, Policies(resource=policy))
    return evaluate(asked, permissions.policies(call.database, call.principal, policy))


def _own_account_allows(call: Call, asked: AccessRequest) -> bool:
    """A list lets an account in; who of it, its own policies say."""
    if call.principal is None or call.principal.may_all:
        return True
    mine = AccessRequest(caller=asked.caller, action=asked.action, resource=asked.resource, context=asked.context)
    return evaluate(mine, permissions.policies(call.database, call.principal)).allowed


def _is_restricted(bucket: Row) -> bool:
    return bool(block(bucket).get("RestrictPublicBuckets")) and is_public(bucket.settings["policy"])


def _is_anothers(bucket: Row, listed: str, row: Row | None) -> bool:
    """Whether it is the content of an object that another account has written and not let go of."""
    others = row is not None and row.owner != bucket.owner and listed in OF_OBJECTS_DATA
    return others and ownership(bucket) != ENFORCED


def _by_list(call: Call, bucket: Row, listed: str, row: Row | None) -> bool:
    if ownership(bucket) == ENFORCED:
        return False
    groups = not block(bucket).get("IgnorePublicAcls")
    owner = row.owner if row is not None else bucket.owner
    if call.canonical_id == owner and listed in ("READ_ACP", "WRITE_ACP"):
        return True
    return acl.grants_to(grants_of(bucket, row), call.canonical_id, listed, groups=groups)


def grants_of(bucket: Row, row: Row | None) -> list[acl.Grant]:
    """The access control list of the object, or of the bucket; where lists are off, that of the bucket's owner."""
    if ownership(bucket) == ENFORCED:
        return acl.canned("private", bucket.owner)
    kept = bucket.settings.get("acl") if row is None else row.facts.get("acl")
    owner = bucket.owner if row is None else row.owner
    return acl.canned("private", owner) if kept is None else list(kept)  # an empty one grants nothing to anybody


def owner_of(bucket: Row, row: Row) -> str:
    """Whose an object is; where lists are off, all are the bucket owner's."""
    return str(bucket.owner if ownership(bucket) == ENFORCED else row.owner)


def ownership(bucket: Row) -> str:
    """ObjectWriter, BucketOwnerPreferred or BucketOwnerEnforced."""
    rules = (bucket.settings.get("ownership") or {}).get("Rules") or [{}]
    return str(rules[0].get("ObjectOwnership", "ObjectWriter"))


def block(bucket: Row) -> dict[str, bool]:
    """The bucket's public access block."""
    return dict(bucket.settings.get("public_access_block") or {})


def compiled(text: str) -> Policy:
    return compile_policy(text, "resource", code="MalformedPolicy")


def _context(call: Call, row: Row | None) -> dict[str, Any]:
    found: dict[str, Any] = dict(keys_of(call.database, call.config, call.request, call.principal))
    found |= _signature(call)
    if call.bucket_row is not None:
        found["aws:ResourceAccount"] = found["s3:ResourceAccount"] = call.bucket.account
    found |= {f"s3:{header}": value for header in _HEADERS if (value := call.header(header)) is not None}
    found |= {name: call.query[parameter] for parameter, name in _QUERY.items() if parameter in call.query}
    if row is not None:
        found |= {f"s3:ExistingObjectTag/{key}": value for key, value in row.facts.get("tags") or []}
    return found | call.context


def context_of_form(fields: Mapping[str, str]) -> dict[str, Any]:
    """The keys of a browser's form, whose fields stand for headers."""
    found = {f"s3:{name}": fields[name] for name in _HEADERS if name in fields}
    found |= {f"s3:{name[6:]}": fields[name] for name in _LOCK if name in fields}
    return found | {"s3:authType": "POST"} | ({"s3:x-amz-acl": fields["acl"]} if "acl" in fields else {})


def _signature(call: Call) -> dict[str, Any]:
    """How the request is signed, and for how many milliseconds it has been."""
    if call.claim is None:
        return {"s3:authType": "ANONYMOUS"}
    found: dict[str, Any] = {"s3:authType": "REST-QUERY-STRING" if call.claim.presigned else "REST-HEADER"}
    found["s3:signatureversion"] = "AWS4-HMAC-SHA256" if call.claim.version == "v4" else "AWS"
    if call.claim.signed_at is not None:
        found["s3:signatureAge"] = str(max(0, int(1000 * (call.database.clock.now() - call.claim.signed_at))))
    return found


def lock_context(mode: str | None, until: datetime | None, hold: str | None, now: float) -> dict[str, Any]:
    """The keys of what a request would lock."""
    found = {"s3:object-lock-mode": mode, "s3:object-lock-legal-hold": hold}
    if until is not None:
        found["s3:object-lock-retain-until-date"] = until.isoformat()
        found["s3:object-lock-remaining-retention-days"] = str(math.ceil((until.timestamp() - now) / 86400))
    return {name: value for name, value in found.items() if value is not None}


def is_public(text: str) -> bool:
    """Whether a policy lets everybody in: an Allow for "*" that no condition on who or from where makes narrower.

    Source: "The meaning of public" in "Blocking public access" of the Amazon S3 User Guide.
    """
    statements = json.loads(text).get("Statement") or []
    for one in statements if isinstance(statements, list) else [statements]:
        principal = one.get("Principal")
        everybody = principal == "*" or (isinstance(principal, dict) and "*" in _several(principal.get("AWS")))
        everybody = everybody or "NotPrincipal" in one
        if one.get("Effect") == "Allow" and everybody and not _is_narrow(one.get("Condition") or {}):
            return True
    return False


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_narrow(conditions: dict[str, dict[str, Any]]) -> bool:
    for name, tests in conditions.items():
        for key, values in tests.items():
            narrows = key.lower() in _NARROWING and not name.startswith(("ForAllValues:", "Null")) and "Not" not in name
            if narrows and all(_is_fixed(key.lower(), str(value)) for value in _several(values)):
                return True
    return False


def _is_fixed(key: str, value: str) -> bool:
    """Whether a condition's value is of somebody: without wildcards and variables, and no wide range of addresses."""
    if key == "aws:sourceip":
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return False
        return network.is_private or network.prefixlen >= (8 if network.version == 4 else 32)
    name = value.partition(":")[0] if key == "aws:userid" else value  # of a role, with any name of a session
    return not any(sign in name for sign in ("*", "?", "${"))


def refuse_public(bucket: Row, grants: list[acl.Grant]) -> None:
    """Raise AccessDenied for a public list where they are blocked, and where lists have no effect for any."""
    if block(bucket).get("BlockPublicAcls") and acl.is_public(grants):
        raise errors.denied("Public access control lists are blocked by the BlockPublicAcls setting of the bucket.")


def refuse_lists(bucket: Row, grants: list[acl.Grant] | None, canned: str | None = None) -> None:
    """Raise AccessControlListNotSupported where lists are off, for any of a new object but that of the bucket's owner.

    `canned` is the name of the list, if it has one.
    """
    if grants is None or ownership(bucket) != ENFORCED:
        return
    full = all(one == ["CanonicalUser", bucket.owner, "FULL_CONTROL"] for one in grants)
    if full and canned in (None, "bucket-owner-full-control"):
        return
    raise _no_lists()


def refuse_list(bucket: Row) -> None:
    """Raise AccessControlListNotSupported to who sets a list where lists are off."""
    if ownership(bucket) == ENFORCED:
        raise _no_lists()


def _no_lists() -> errors.S3Refusal:
    return errors.S3Refusal("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)
