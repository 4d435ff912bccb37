"""What IAM's actions have in common: finding entities, showing them, pages, limits, and the changes of an account."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy.exc import IntegrityError

from cumulet.api.actions import Item, Result
from cumulet.api.context import Context
from cumulet.identity import managed
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, entity, policy, tag
from cumulet.model.database import Row

NOUNS = {"user": "user", "group": "group", "role": "role", "instance-profile": "Instance Profile"}
LIMITS = {
    "UsersPerAccount": 5000,
    "GroupsPerAccount": 300,
    "RolesPerAccount": 1000,
    "InstanceProfilesPerAccount": 1000,
    "PoliciesPerAccount": 1500,
    "GroupsPerUser": 10,
    "AttachedPoliciesPerUser": 10,
    "AttachedPoliciesPerGroup": 10,
    "AttachedPoliciesPerRole": 10,
    "VersionsPerPolicy": 5,
    "AccessKeysPerUser": 2,
    "UserPolicySize": 2048,
    "GroupPolicySize": 5120,
    "RolePolicySize": 10240,
    "PolicySize": 6144,
    "AssumeRolePolicySize": 2048,
    "TagsPerEntity": 50,
}
"""IAM User Guide: "IAM and AWS STS quotas"."""
PAGE = 100


@contextmanager
def change(ctx: Context) -> Iterator[Tx]:
    """The transaction of a change of who may do what: they come one after the other in an account."""
    with ctx.write() as tx:
        account.revise(tx, ctx.account)
        yield tx


def no_such(message: str) -> Refusal:
    return Refusal("NoSuchEntity", message, 404)


def conflict(message: str) -> Refusal:
    return Refusal("DeleteConflict", f"Cannot delete entity, {message}", 409)


def found(tx: Tx, ctx: Context, kind: str, name: str) -> Row:
    """The account's entity of this name; raises `Refusal` NoSuchEntity."""
    row = entity.named(tx, ctx.account, kind, name)
    if row is None:
        said = f"Instance Profile {name}" if kind == "instance-profile" else f"The {kind} with name {name}"
        raise no_such(f"{said} cannot be found.")
    return row


def own_or(ctx: Context, name: str) -> str:
    """The user that is named, or who asks; raises `Refusal` ValidationError where that is no user."""
    if name or ctx.principal.kind == "user":
        return name or ctx.principal.name
    raise Refusal("ValidationError", "Must specify userName when calling with non-User credentials")


@contextmanager
def uniquely(kind: str, name: str) -> Iterator[None]:
    """Raises `Refusal` EntityAlreadyExists where the name is taken."""
    try:
        yield
    except IntegrityError:
        noun = NOUNS[kind]
        said = f"{noun} {name}" if kind == "instance-profile" else f"{noun.capitalize()} with name {name}"
        raise Refusal("EntityAlreadyExists", f"{said} already exists.", 409) from None


def create(tx: Tx, ctx: Context, kind: str, name: str, path: str, tags: dict[str, str], **values: Any) -> Row:
    """A new entity with its tags; raises `Refusal` LimitExceeded or EntityAlreadyExists."""
    quota = {"user": "Users", "group": "Groups", "role": "Roles", "instance-profile": "InstanceProfiles"}[kind]
    check_limit(f"{quota}PerAccount", entity.count(tx, ctx.account, kind))
    with uniquely(kind, name), tx.attempt():
        row = entity.create(tx, ctx.account, kind, name, path or "/", **values)
    tag.put(tx, ctx.account, row.id, kind, tags)
    return row


def relocate(ctx: Context, kind: str, name: str, path: str, new_name: str) -> Result:
    """Another path or name, where there is one; raises `Refusal` EntityAlreadyExists."""
    given = {"path": path, "name": new_name}
    values = {key: value for key, value in given.items() if value}
    with change(ctx) as tx, uniquely(kind, new_name), tx.attempt():
        row = found(tx, ctx, kind, name)
        if values:
            entity.change(tx, row.id, **values)
    return {}


def page_of(ctx: Context, kind: str, prefix: str, marker: str, most: int) -> tuple[list[Item], Item]:
    """A page of the account's entities of a kind, and what is said of the page."""
    with ctx.read() as tx:
        rows, page = paged(entity.of_account(tx, ctx.account, kind, prefix), marker, most, by_name)
    return [view(row) for row in rows], page


def remove_without_policies(tx: Tx, row: Row) -> None:
    """The entity goes; raises `Refusal` DeleteConflict while it has policies."""
    if policy.inlines(tx, [row.id]):
        raise conflict("must delete policies first.")
    if policy.attached(tx, [row.id]):
        raise conflict("must detach all policies first.")
    entity.remove(tx, row.id)


def check_limit(quota: str, have: int, more: int = 1) -> None:
    """Raises `Refusal` LimitExceeded where there would be more than `LIMITS` has."""
    if have + more > LIMITS[quota]:
        raise Refusal("LimitExceeded", f"Cannot exceed quota for {quota}: {LIMITS[quota]}", 409)


def check_size(quota: str, *documents: str) -> None:
    """White space is not counted, as AWS does not."""
    check_limit(quota, sum(len(re.sub(r"\s", "", document)) for document in documents), 0)


def boundary_of(tx: Tx, ctx: Context, arn: str) -> str:
    """A boundary's ARN, if there is such a policy; raises `Refusal` NoSuchEntity."""
    if arn:
        known_policy(tx, ctx, arn)
    return arn


def known_policy(tx: Tx, ctx: Context, arn: str) -> Row | managed.Managed:
    """A managed policy of the account or of all; raises `Refusal` NoSuchEntity."""
    row = managed.ALL.get(arn) or policy.find(tx, arn)
    if row is None or not isinstance(row, managed.Managed) and row.account != ctx.account:
        raise no_such(f"Policy {arn} does not exist or is not attachable.")
    return row


def checked_tags(tags: list[Any] | None) -> dict[str, str]:
    """Key to value; raises `Refusal` InvalidInput."""
    given = tags or []
    keys = [one.get("Key", "") for one in given]
    if len({key.lower() for key in keys}) != len(keys):
        raise Refusal("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise Refusal("InvalidInput", f"Tag keys beginning with aws: are reserved: {key}")
    return {one.get("Key", ""): one.get("Value", "") for one in given}


def shown_tags(tags: dict[str, str]) -> list[Item]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def view(row: Row, tags: dict[str, str] | None = None) -> Item:
    """A user, group, role or instance profile as IAM answers it; with all details if `tags` are given."""
    noun = {"user": "User", "group": "Group", "role": "Role", "instance-profile": "InstanceProfile"}[row.kind]
    item: Item = {
        "Path": row.path,
        f"{noun}Name": row.name,
        f"{noun}Id": row.id,
        "Arn": entity.arn_of(row),
        "CreateDate": int(row.created),
    }
    if row.kind == "role":
        item |= {
            "AssumeRolePolicyDocument": quote(row.trust, safe=""),
            "MaxSessionDuration": row.attributes.get("max_session", 3600),
        }
        if description := row.attributes.get("description"):
            item["Description"] = description
    if tags is not None:
        item |= {"Tags": shown_tags(tags)} if tags else {}
        if row.boundary:
            item["PermissionsBoundary"] = {
                "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
                "PermissionsBoundaryArn": row.boundary,
            }
    return item


def paged(items: list[Any], marker: str, most: int, key: Callable[[Any], str]) -> tuple[list[Any], Item]:
    """The page after the item that the marker names, and IsTruncated (with the next Marker)."""
    first = 0
    if marker:
        last = _last(marker)
        first = next((i for i, item in enumerate(items) if key(item) > last), len(items))
    shown = items[first : first + (most or PAGE)]
    if first + len(shown) < len(items):
        return shown, {"IsTruncated": True, "Marker": base64.urlsafe_b64encode(key(shown[-1]).encode()).decode()}
    return shown, {"IsTruncated": False}


def _last(marker: str) -> str:
    try:
        return base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refusal("ValidationError", f"Invalid Marker: {marker[:80]}") from None


def by_name(row: Row) -> str:
    return str(row.lower_name)
