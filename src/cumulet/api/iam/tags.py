"""Tags of users, roles, policies and instance profiles."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import change, check_limit, checked_tags, found, known_policy, paged
from cumulet.api.iam.policies import own_policy
from cumulet.model import Tx, tag


def _put(tx: Tx, ctx: Context, kind: str, id: str, tags: list[Tag]) -> Result:
    given = checked_tags(tags)
    there = tag.of(tx, id)
    for key in there:  # a key in another case is the same tag
        if key.lower() in {one.lower() for one in given}:
            tag.take_away(tx, id, key)
    kept = {key for key in there if key.lower() not in {one.lower() for one in given}}
    check_limit("TagsPerEntity", len(kept), len(given))
    tag.put(tx, ctx.account, id, kind, given)
    return {}


def _take(tx: Tx, id: str, keys: list[str]) -> Result:
    wanted = {key.lower() for key in keys}
    for key in tag.of(tx, id):
        if key.lower() in wanted:
            tag.take_away(tx, id, key)
    return {}


def _list(tx: Tx, id: str, marker: str, most: int) -> Result:
    shown, page = paged(list(tag.of(tx, id).items()), marker, most, lambda pair: str(pair[0]))
    return {"Tags": [{"Key": key, "Value": value} for key, value in shown], **page}


@action("iam")
def tag_user(ctx: Context, user_name: str, tags: list[Tag]) -> Result:
    """Set these tags; policies may speak of them as aws:PrincipalTag."""
    with change(ctx) as tx:
        return _put(tx, ctx, "user", found(tx, ctx, "user", user_name).id, tags)


@action("iam")
def tag_role(ctx: Context, role_name: str, tags: list[Tag]) -> Result:
    """Set these tags; its sessions have them as aws:PrincipalTag."""
    with change(ctx) as tx:
        return _put(tx, ctx, "role", found(tx, ctx, "role", role_name).id, tags)


@action("iam")
def tag_policy(ctx: Context, policy_arn: str, tags: list[Tag]) -> Result:
    """Set these tags."""
    with change(ctx) as tx:
        return _put(tx, ctx, "policy", own_policy(tx, ctx, policy_arn).id, tags)


@action("iam")
def tag_instance_profile(ctx: Context, instance_profile_name: str, tags: list[Tag]) -> Result:
    """Set these tags."""
    with change(ctx) as tx:
        row = found(tx, ctx, "instance-profile", instance_profile_name)
        return _put(tx, ctx, "instance-profile", row.id, tags)


@action("iam")
def untag_user(ctx: Context, user_name: str, tag_keys: list[str]) -> Result:
    """Take these tags away."""
    with change(ctx) as tx:
        return _take(tx, found(tx, ctx, "user", user_name).id, tag_keys)


@action("iam")
def untag_role(ctx: Context, role_name: str, tag_keys: list[str]) -> Result:
    """Take these tags away."""
    with change(ctx) as tx:
        return _take(tx, found(tx, ctx, "role", role_name).id, tag_keys)


@action("iam")
def untag_policy(ctx: Context, policy_arn: str, tag_keys: list[str]) -> Result:
    """Take these tags away."""
    with change(ctx) as tx:
        return _take(tx, own_policy(tx, ctx, policy_arn).id, tag_keys)


@action("iam")
def untag_instance_profile(ctx: Context, instance_profile_name: str, tag_keys: list[str]) -> Result:
    """Take these tags away."""
    with change(ctx) as tx:
        return _take(tx, found(tx, ctx, "instance-profile", instance_profile_name).id, tag_keys)


@action("iam")
def list_user_tags(ctx: Context, user_name: str, marker: str = "", max_items: int = 0) -> Result:
    """By key."""
    with ctx.read() as tx:
        return _list(tx, found(tx, ctx, "user", user_name).id, marker, max_items)


@action("iam")
def list_role_tags(ctx: Context, role_name: str, marker: str = "", max_items: int = 0) -> Result:
    """By key."""
    with ctx.read() as tx:
        return _list(tx, found(tx, ctx, "role", role_name).id, marker, max_items)


@action("iam")
def list_policy_tags(ctx: Context, policy_arn: str, marker: str = "", max_items: int = 0) -> Result:
    """By key."""
    with ctx.read() as tx:
        return _list(tx, known_policy(tx, ctx, policy_arn).id, marker, max_items)


@action("iam")
def list_instance_profile_tags(
    ctx: Context, instance_profile_name: str, marker: str = "", max_items: int = 0
) -> Result:
    """By key."""
    with ctx.read() as tx:
        return _list(tx, found(tx, ctx, "instance-profile", instance_profile_name).id, marker, max_items)
