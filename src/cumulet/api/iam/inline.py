"""Policies that belong to one user, group or role."""

from __future__ import annotations

from urllib.parse import quote

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import change, check_size, found, no_such, paged
from cumulet.identity.policy import compile_policy
from cumulet.model import policy


def _put(ctx: Context, kind: str, owner: str, name: str, document: str) -> Result:
    compile_policy(document)
    with change(ctx) as tx:
        row = found(tx, ctx, kind, owner)
        others = [one.document for one in policy.inlines(tx, [row.id]) if one.name != name]
        check_size(f"{kind.capitalize()}PolicySize", *others, document)
        policy.put_inline(tx, row.id, name, document)
    return {}


def _get(ctx: Context, kind: str, owner: str, name: str) -> Result:
    with ctx.read() as tx:
        row = found(tx, ctx, kind, owner)
        document = policy.find_inline(tx, row.id, name)
    if document is None:
        raise no_such(f"The {kind} policy with name {name} cannot be found.")
    return {f"{kind.capitalize()}Name": row.name, "PolicyName": name, "PolicyDocument": quote(document, safe="")}


def _list(ctx: Context, kind: str, owner: str, marker: str, most: int) -> Result:
    with ctx.read() as tx:
        names = [one.name for one in policy.inlines(tx, [found(tx, ctx, kind, owner).id])]
    shown, page = paged(names, marker, most, str)
    return {"PolicyNames": shown, **page}


def _delete(ctx: Context, kind: str, owner: str, name: str) -> Result:
    with change(ctx) as tx:
        if not policy.take_inline(tx, found(tx, ctx, kind, owner).id, name):
            raise no_such(f"The {kind} policy with name {name} cannot be found.")
    return {}


@action("iam")
def put_user_policy(ctx: Context, user_name: str, policy_name: str, policy_document: str) -> Result:
    """Add an inline policy, or replace the one of this name."""
    return _put(ctx, "user", user_name, policy_name, policy_document)


@action("iam")
def put_group_policy(ctx: Context, group_name: str, policy_name: str, policy_document: str) -> Result:
    """Add an inline policy, or replace the one of this name."""
    return _put(ctx, "group", group_name, policy_name, policy_document)


@action("iam")
def put_role_policy(ctx: Context, role_name: str, policy_name: str, policy_document: str) -> Result:
    """Add an inline policy, or replace the one of this name."""
    return _put(ctx, "role", role_name, policy_name, policy_document)


@action("iam")
def get_user_policy(ctx: Context, user_name: str, policy_name: str) -> Result:
    """An inline policy with its document."""
    return _get(ctx, "user", user_name, policy_name)


@action("iam")
def get_group_policy(ctx: Context, group_name: str, policy_name: str) -> Result:
    """An inline policy with its document."""
    return _get(ctx, "group", group_name, policy_name)


@action("iam")
def get_role_policy(ctx: Context, role_name: str, policy_name: str) -> Result:
    """An inline policy with its document."""
    return _get(ctx, "role", role_name, policy_name)


@action("iam")
def list_user_policies(ctx: Context, user_name: str, marker: str = "", max_items: int = 0) -> Result:
    """The names of the inline policies."""
    return _list(ctx, "user", user_name, marker, max_items)


@action("iam")
def list_group_policies(ctx: Context, group_name: str, marker: str = "", max_items: int = 0) -> Result:
    """The names of the inline policies."""
    return _list(ctx, "group", group_name, marker, max_items)


@action("iam")
def list_role_policies(ctx: Context, role_name: str, marker: str = "", max_items: int = 0) -> Result:
    """The names of the inline policies."""
    return _list(ctx, "role", role_name, marker, max_items)


@action("iam")
def delete_user_policy(ctx: Context, user_name: str, policy_name: str) -> Result:
    """Take an inline policy away."""
    return _delete(ctx, "user", user_name, policy_name)


@action("iam")
def delete_group_policy(ctx: Context, group_name: str, policy_name: str) -> Result:
    """Take an inline policy away."""
    return _delete(ctx, "group", group_name, policy_name)


@action("iam")
def delete_role_policy(ctx: Context, role_name: str, policy_name: str) -> Result:
    """Take an inline policy away."""
    return _delete(ctx, "role", role_name, policy_name)
