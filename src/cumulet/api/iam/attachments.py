"""Managed policies attached to users, groups and roles."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import change, check_limit, found, known_policy, no_such, paged
from cumulet.model import policy


def _attach(ctx: Context, kind: str, name: str, arn: str) -> Result:
    with change(ctx) as tx:
        row = found(tx, ctx, kind, name)
        known_policy(tx, ctx, arn)
        others = [one for one in policy.attached(tx, [row.id]) if one != arn]
        check_limit(f"AttachedPoliciesPer{kind.capitalize()}", len(others))
        policy.attach(tx, ctx.account, row.id, arn)
    return {}


def _detach(ctx: Context, kind: str, name: str, arn: str) -> Result:
    with change(ctx) as tx:
        if not policy.detach(tx, found(tx, ctx, kind, name).id, arn):
            raise no_such(f"Policy {arn} was not found.")
    return {}


def _list(ctx: Context, kind: str, name: str, prefix: str, marker: str, most: int) -> Result:
    with ctx.read() as tx:
        arns = policy.attached(tx, [found(tx, ctx, kind, name).id])
    chosen = [arn for arn in arns if f"/{arn.partition('/')[2]}".startswith(prefix)]
    shown, page = paged(chosen, marker, most, str)
    return {"AttachedPolicies": [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in shown], **page}


@action("iam")
def attach_user_policy(ctx: Context, user_name: str, policy_arn: str) -> Result:
    """The user may what the policy says, from the next request on."""
    return _attach(ctx, "user", user_name, policy_arn)


@action("iam")
def attach_group_policy(ctx: Context, group_name: str, policy_arn: str) -> Result:
    """Each user of the group may what the policy says."""
    return _attach(ctx, "group", group_name, policy_arn)


@action("iam")
def attach_role_policy(ctx: Context, role_name: str, policy_arn: str) -> Result:
    """Each session of the role may what the policy says, those too that there are."""
    return _attach(ctx, "role", role_name, policy_arn)


@action("iam")
def detach_user_policy(ctx: Context, user_name: str, policy_arn: str) -> Result:
    """The policy itself stays."""
    return _detach(ctx, "user", user_name, policy_arn)


@action("iam")
def detach_group_policy(ctx: Context, group_name: str, policy_arn: str) -> Result:
    """The policy itself stays."""
    return _detach(ctx, "group", group_name, policy_arn)


@action("iam")
def detach_role_policy(ctx: Context, role_name: str, policy_arn: str) -> Result:
    """The policy itself stays."""
    return _detach(ctx, "role", role_name, policy_arn)


@action("iam")
def list_attached_user_policies(
    ctx: Context, user_name: str, path_prefix: str = "/", marker: str = "", max_items: int = 0
) -> Result:
    """Those of the user itself, without its groups'."""
    return _list(ctx, "user", user_name, path_prefix, marker, max_items)


@action("iam")
def list_attached_group_policies(
    ctx: Context, group_name: str, path_prefix: str = "/", marker: str = "", max_items: int = 0
) -> Result:
    """Those of the group."""
    return _list(ctx, "group", group_name, path_prefix, marker, max_items)


@action("iam")
def list_attached_role_policies(
    ctx: Context, role_name: str, path_prefix: str = "/", marker: str = "", max_items: int = 0
) -> Result:
    """Those of the role."""
    return _list(ctx, "role", role_name, path_prefix, marker, max_items)
