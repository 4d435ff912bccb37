"""Groups, and who is in them."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import (
    by_name,
    change,
    check_limit,
    conflict,
    create,
    found,
    no_such,
    page_of,
    paged,
    relocate,
    remove_without_policies,
    view,
)
from cumulet.model import entity


@action("iam")
def create_group(ctx: Context, group_name: str, path: str = "/") -> Result:
    """A new group with nobody in it."""
    with change(ctx) as tx:
        return {"Group": view(create(tx, ctx, "group", group_name, path, {}))}


@action("iam")
def get_group(ctx: Context, group_name: str, marker: str = "", max_items: int = 0) -> Result:
    """A group and its users."""
    with ctx.read() as tx:
        row = found(tx, ctx, "group", group_name)
        users, page = paged(entity.members(tx, row.id), marker, max_items, by_name)
    return {"Group": view(row), "Users": [view(user) for user in users], **page}


@action("iam")
def list_groups(ctx: Context, path_prefix: str = "/", marker: str = "", max_items: int = 0) -> Result:
    """The account's groups."""
    shown, page = page_of(ctx, "group", path_prefix, marker, max_items)
    return {"Groups": shown, **page}


@action("iam")
def list_groups_for_user(ctx: Context, user_name: str, marker: str = "", max_items: int = 0) -> Result:
    """The groups that a user is in."""
    with ctx.read() as tx:
        row = found(tx, ctx, "user", user_name)
        rows, page = paged(entity.containers(tx, row.id), marker, max_items, by_name)
    return {"Groups": [view(row) for row in rows], **page}


@action("iam")
def update_group(ctx: Context, group_name: str, new_path: str = "", new_group_name: str = "") -> Result:
    """Another name or path."""
    return relocate(ctx, "group", group_name, new_path, new_group_name)


@action("iam")
def delete_group(ctx: Context, group_name: str) -> Result:
    """Raises `Refusal` DeleteConflict while it has users or policies."""
    with change(ctx) as tx:
        row = found(tx, ctx, "group", group_name)
        if entity.members(tx, row.id):
            raise conflict("must remove users from group first.")
        remove_without_policies(tx, row)
    return {}


@action("iam")
def add_user_to_group(ctx: Context, group_name: str, user_name: str) -> Result:
    """Who is in it already stays in it."""
    with change(ctx) as tx:
        group, user = found(tx, ctx, "group", group_name), found(tx, ctx, "user", user_name)
        others = [one for one in entity.containers(tx, user.id) if one.id != group.id]
        check_limit("GroupsPerUser", len(others))
        entity.add(tx, group.id, user.id)
    return {}


@action("iam")
def remove_user_from_group(ctx: Context, group_name: str, user_name: str) -> Result:
    """Raises `Refusal` NoSuchEntity for who is not in it."""
    with change(ctx) as tx:
        group, user = found(tx, ctx, "group", group_name), found(tx, ctx, "user", user_name)
        if not entity.take_out(tx, group.id, user.id):
            raise no_such(f"User {user_name} is not in group {group_name}.")
    return {}
