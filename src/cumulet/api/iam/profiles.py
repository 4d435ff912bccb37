"""Instance profiles: what gives an instance a role."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import (
    by_name,
    change,
    checked_tags,
    conflict,
    create,
    found,
    no_such,
    paged,
    view,
)
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, entity, profile, tag
from cumulet.model.database import Row


def profile_view(tx: Tx, row: Row) -> Item:
    return view(row, tag.of(tx, row.id)) | {"Roles": [view(role) for role in entity.members(tx, row.id)]}


@action("iam")
def create_instance_profile(
    ctx: Context, instance_profile_name: str, path: str = "/", tags: list[Tag] | None = None
) -> Result:
    """A new profile with no role in it."""
    with change(ctx) as tx:
        row = create(tx, ctx, "instance-profile", instance_profile_name, path, checked_tags(tags))
        return {"InstanceProfile": profile_view(tx, row)}


@action("iam")
def get_instance_profile(ctx: Context, instance_profile_name: str) -> Result:
    """A profile and its role."""
    with ctx.read() as tx:
        return {"InstanceProfile": profile_view(tx, found(tx, ctx, "instance-profile", instance_profile_name))}


@action("iam")
def list_instance_profiles(ctx: Context, path_prefix: str = "/", marker: str = "", max_items: int = 0) -> Result:
    """The account's profiles."""
    with ctx.read() as tx:
        those = entity.of_account(tx, ctx.account, "instance-profile", path_prefix)
        rows, page = paged(those, marker, max_items, by_name)
        return {"InstanceProfiles": [profile_view(tx, row) for row in rows], **page}


@action("iam")
def list_instance_profiles_for_role(ctx: Context, role_name: str, marker: str = "", max_items: int = 0) -> Result:
    """The profiles that a role is in."""
    with ctx.read() as tx:
        role = found(tx, ctx, "role", role_name)
        rows, page = paged(entity.containers(tx, role.id), marker, max_items, by_name)
        return {"InstanceProfiles": [profile_view(tx, row) for row in rows], **page}


@action("iam")
def add_role_to_instance_profile(ctx: Context, instance_profile_name: str, role_name: str) -> Result:
    """A profile has one role."""
    with change(ctx) as tx:
        row = found(tx, ctx, "instance-profile", instance_profile_name)
        role = found(tx, ctx, "role", role_name)
        if entity.members(tx, row.id):
            raise Refusal("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", 409)
        entity.add(tx, row.id, role.id)
        profile.changed(tx, [row.id])
    return {}


@action("iam")
def remove_role_from_instance_profile(ctx: Context, instance_profile_name: str, role_name: str) -> Result:
    """Instances with this profile get no new credentials."""
    with change(ctx) as tx:
        row = found(tx, ctx, "instance-profile", instance_profile_name)
        role = found(tx, ctx, "role", role_name)
        if not entity.take_out(tx, row.id, role.id):
            raise no_such(f"Role {role_name} is not in instance profile {instance_profile_name}.")
        profile.changed(tx, [row.id])
    return {}


@action("iam")
def delete_instance_profile(ctx: Context, instance_profile_name: str) -> Result:
    """Raises `Refusal` DeleteConflict while there is a role in it."""
    with change(ctx) as tx:
        row = found(tx, ctx, "instance-profile", instance_profile_name)
        if entity.members(tx, row.id):
            raise conflict("must remove roles from instance profile first.")
        entity.remove(tx, row.id)
    return {}
