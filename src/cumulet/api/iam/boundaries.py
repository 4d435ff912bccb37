"""Permissions boundaries: what a user or role may at most."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import change, found, known_policy, no_such
from cumulet.model import entity


def _put(ctx: Context, kind: str, name: str, arn: str) -> Result:
    with change(ctx) as tx:
        row = found(tx, ctx, kind, name)
        known_policy(tx, ctx, arn)
        entity.change(tx, row.id, boundary=arn)
    return {}


def _delete(ctx: Context, kind: str, name: str) -> Result:
    with change(ctx) as tx:
        row = found(tx, ctx, kind, name)
        if not row.boundary:
            raise no_such(f"The {kind} {name} has no permissions boundary.")
        entity.change(tx, row.id, boundary="")
    return {}


@action("iam")
def put_user_permissions_boundary(ctx: Context, user_name: str, permissions_boundary: str) -> Result:
    """The user may no more than this policy allows."""
    return _put(ctx, "user", user_name, permissions_boundary)


@action("iam")
def put_role_permissions_boundary(ctx: Context, role_name: str, permissions_boundary: str) -> Result:
    """The role's sessions may no more than this policy allows."""
    return _put(ctx, "role", role_name, permissions_boundary)


@action("iam")
def delete_user_permissions_boundary(ctx: Context, user_name: str) -> Result:
    """The user's policies alone say what it may."""
    return _delete(ctx, "user", user_name)


@action("iam")
def delete_role_permissions_boundary(ctx: Context, role_name: str) -> Result:
    """The role's policies alone say what it may."""
    return _delete(ctx, "role", role_name)
