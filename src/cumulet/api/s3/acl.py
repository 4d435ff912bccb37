"""Access control lists: canned, by headers, or as XML; kept as a list of (type, who, permission).

Source: "Access control list (ACL) overview" of the Amazon S3 User Guide.
"""

from __future__ import annotations

from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Call, Given
from cumulet.model import Tx, account
from cumulet.wire.request import shown

Grant = list[str]
"""[CanonicalUser or Group, the canonical id or the group's URI, the permission]"""

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = (ALL_USERS, AUTHENTICATED, LOG_DELIVERY)
PUBLIC = (ALL_USERS, AUTHENTICATED)
HEADERS = {
    "GrantFullControl": "FULL_CONTROL",
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}
MAX_GRANTS = 100
_CANNED: dict[str, list[Grant]] = {
    "private": [],
    "public-read": [["Group", ALL_USERS, "READ"]],
    "public-read-write": [["Group", ALL_USERS, "READ"], ["Group", ALL_USERS, "WRITE"]],
    "authenticated-read": [["Group", AUTHENTICATED, "READ"]],
    "log-delivery-write": [["Group", LOG_DELIVERY, "WRITE"], ["Group", LOG_DELIVERY, "READ_ACP"]],
    "aws-exec-read": [],
    "bucket-owner-read": [],
    "bucket-owner-full-control": [],
}
OF_BUCKETS = ("private", "public-read", "public-read-write", "authenticated-read", "log-delivery-write")
OF_OBJECTS = tuple(name for name in _CANNED if name != "log-delivery-write")


def canned(name: str, owner: str, bucket_owner: str = "") -> list[Grant]:
    """The grants of a canned list; `bucket_owner` for an object's."""
    grants = [["CanonicalUser", owner, "FULL_CONTROL"], *_CANNED[name]]
    if bucket_owner not in ("", owner) and name.startswith("bucket-owner-"):
        permission = "READ" if name == "bucket-owner-read" else "FULL_CONTROL"
        grants.append(["CanonicalUser", bucket_owner, permission])
    return grants


def requested(tx: Tx, given: Given, owner: str, bucket_owner: str = "") -> list[Grant] | None:
    """The grants that the headers of a request ask for (and are taken out of `given`); None if none."""
    name = given.pop("ACL", None)
    by_header = {header: given.pop(header) for header in HEADERS if header in given}
    if name is not None and by_header:
        raise errors.invalid_request("Specifying both Canned ACLs and Header Grants is not allowed")
    if name is not None:
        known = OF_OBJECTS if bucket_owner else OF_BUCKETS
        if name not in known:
            right = f"A canned access control list is one of {', '.join(known)}."
            raise errors.invalid_argument(right, "x-amz-acl", name)
        return canned(name, owner, bucket_owner)
    if not by_header:
        return None
    grants = [[*_grantee(tx, part), HEADERS[header]] for header, text in by_header.items() for part in text.split(",")]
    return _limited(grants)


def _limited(grants: list[Grant]) -> list[Grant]:
    if len(grants) > MAX_GRANTS:
        raise errors.malformed_list(f"there are {len(grants)} grants; there may be {MAX_GRANTS}")
    return grants


def _grantee(tx: Tx, text: str) -> tuple[str, str]:
    kind, _, value = text.strip().partition("=")
    value = value.strip().strip('"')
    if kind == "uri":
        return _group(value)
    if kind == "id":
        return _user(tx, value)
    if kind == "emailAddress":
        raise _no_email(value)
    raise errors.invalid_argument("Argument format not recognized", "x-amz-grant", text)


def _group(uri: str) -> tuple[str, str]:
    if uri not in GROUPS:
        raise errors.invalid_argument("Invalid group uri", "uri", uri)
    return "Group", uri


def _user(tx: Tx, id: str) -> tuple[str, str]:
    if not account.of_canonical(tx, [id]):
        raise errors.invalid_argument("Invalid id", "CanonicalUser/ID", id)
    return "CanonicalUser", id


def _no_email(address: str) -> errors.S3Refusal:
    known = "The e-mail address you provided does not match any account on record."
    return errors.S3Refusal("UnresolvableGrantByEmailAddress", f"{known} ({shown(address)})", 400)


def from_policy(tx: Tx, policy: dict[str, Any], owner: str) -> list[Grant]:
    """The grants of an AccessControlPolicy; its owner has to be the owner."""
    if "Owner" not in policy or "Grants" not in policy:
        raise errors.malformed_list("AccessControlPolicy has an Owner and an AccessControlList")
    if policy["Owner"].get("ID") not in (None, owner):
        raise errors.denied("The owner of a list cannot be changed.")
    return _limited([_from_xml(tx, grant) for grant in policy["Grants"]])


def _from_xml(tx: Tx, grant: dict[str, Any]) -> Grant:
    grantee, permission = grant.get("Grantee"), grant.get("Permission")
    if not grantee or not permission:
        raise errors.malformed_list("Grant has a Grantee and a Permission")
    if grantee["Type"] == "Group":
        return [*_group(grantee.get("URI", "")), permission]
    if grantee["Type"] == "CanonicalUser":
        return [*_user(tx, grantee.get("ID", "")), permission]
    raise _no_email(grantee.get("EmailAddress", ""))


def is_public(grants: list[Grant]) -> bool:
    return any(kind == "Group" and who in PUBLIC for kind, who, _ in grants)


def grants_to(grants: list[Grant], canonical_id: str, needed: str, *, groups: bool = True) -> bool:
    """Whether the list lets this caller ("" is anybody); `groups`: public grants count."""
    for kind, who, permission in grants:
        if permission not in (needed, "FULL_CONTROL"):
            continue
        if kind == "CanonicalUser" and canonical_id and who == canonical_id:
            return True
        if kind == "Group" and groups and (who == ALL_USERS or (who == AUTHENTICATED and canonical_id)):
            return True
    return False


def rendered(call: Call, tx: Tx, owner: str, grants: list[Grant]) -> dict[str, Any]:
    """Owner and Grants as an answer has them."""
    names = account.of_canonical(tx, {owner, *(who for kind, who, _ in grants if kind == "CanonicalUser")})
    return {
        "Owner": owner_of(owner, names),
        "Grants": [{"Grantee": _grantee_of(kind, who, names), "Permission": may} for kind, who, may in grants],
    }


def owner_of(id: str, names: dict[str, Any]) -> dict[str, str]:
    """Owner as answers have it."""
    return {"ID": id} | ({"DisplayName": names[id].name} if id in names else {})


def _grantee_of(kind: str, who: str, names: dict[str, Any]) -> dict[str, str]:
    if kind == "Group":
        return {"Type": "Group", "URI": who}
    return {"Type": "CanonicalUser", **owner_of(who, names)}
