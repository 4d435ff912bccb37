"""Users."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import (
    boundary_of,
    change,
    checked_tags,
    conflict,
    create,
    found,
    own_or,
    page_of,
    relocate,
    remove_without_policies,
    view,
)
from cumulet.model import account, entity, tag


@action("iam")
def create_user(
    ctx: Context, user_name: str, path: str = "/", permissions_boundary: str = "", tags: list[Tag] | None = None
) -> Result:
    """A new user, who has no keys and may do nothing yet."""
    with change(ctx) as tx:
        boundary = boundary_of(tx, ctx, permissions_boundary)
        row = create(tx, ctx, "user", user_name, path, checked_tags(tags), boundary=boundary)
        return {"User": view(row, tag.of(tx, row.id))}


@action("iam")
def get_user(ctx: Context, user_name: str = "") -> Result:
    """A user; without a name, who asks."""
    with ctx.read() as tx:
        if not user_name and ctx.principal.kind == "root":
            own = account.find(tx, ctx.account)
            assert own is not None
            root = {"UserId": ctx.account, "Arn": ctx.principal.owner_arn, "CreateDate": int(own.created)}
            return {"User": root | ({"UserName": own.alias} if own.alias else {})}
        row = found(tx, ctx, "user", own_or(ctx, user_name))
        password = row.attributes.get("password_used")
        used = {"PasswordLastUsed": int(password)} if password else {}
        return {"User": view(row, tag.of(tx, row.id)) | used}


@action("iam")
def list_users(ctx: Context, path_prefix: str = "/", marker: str = "", max_items: int = 0) -> Result:
    """The account's users."""
    shown, page = page_of(ctx, "user", path_prefix, marker, max_items)
    return {"Users": shown, **page}


@action("iam")
def update_user(ctx: Context, user_name: str, new_path: str = "", new_user_name: str = "") -> Result:
    """Another name or path; keys, groups and policies stay."""
    return relocate(ctx, "user", user_name, new_path, new_user_name)


@action("iam")
def delete_user(ctx: Context, user_name: str) -> Result:
    """Raises `Refusal` DeleteConflict while anything hangs on the user."""
    with change(ctx) as tx:
        row = found(tx, ctx, "user", user_name)
        if account.keys(tx, ctx.account, row.id):
            raise conflict("must delete access keys first.")
        if row.attributes.get("password"):
            raise conflict("must delete login profile first.")
        if entity.containers(tx, row.id):
            raise conflict("must remove users from group first.")
        remove_without_policies(tx, row)
    return {}
