"""Roles."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import (
    boundary_of,
    change,
    check_size,
    checked_tags,
    conflict,
    create,
    found,
    page_of,
    remove_without_policies,
    view,
)
from cumulet.identity.policy import AccessRequest, Caller, Policies, compile_policy, evaluate
from cumulet.model import Tx, entity, profile, tag


def checked_trust(document: str) -> str:
    """Who may assume a role; raises `Refusal` MalformedPolicyDocument or LimitExceeded."""
    check_size("AssumeRolePolicySize", document)
    compile_policy(document, "trust")
    return document


def _for_ec2(ctx: Context, document: str) -> bool:
    """Whether instances may have the role, by a profile."""
    asked = AccessRequest(
        caller=Caller(service="ec2.amazonaws.com"), action="sts:AssumeRole", owner=ctx.account, context={}
    )
    return evaluate(asked, Policies(resource=compile_policy(document, "trust"))).allowed


@action("iam")
def create_role(
    ctx: Context,
    role_name: str,
    assume_role_policy_document: str,
    path: str = "/",
    description: str = "",
    max_session_duration: int = 3600,
    permissions_boundary: str = "",
    tags: list[Tag] | None = None,
) -> Result:
    """A new role, which the policy document says who may assume."""
    trust = checked_trust(assume_role_policy_document)
    attributes: dict[str, Any] = {"max_session": max_session_duration, "for_ec2": _for_ec2(ctx, trust)} | (
        {"description": description} if description else {}
    )
    with change(ctx) as tx:
        boundary = boundary_of(tx, ctx, permissions_boundary)
        values: dict[str, Any] = {"boundary": boundary, "trust": trust, "attributes": attributes}
        row = create(tx, ctx, "role", role_name, path, checked_tags(tags), **values)
        return {"Role": view(row, tag.of(tx, row.id))}


@action("iam")
def get_role(ctx: Context, role_name: str) -> Result:
    """A role, with its policy of who may assume it."""
    with ctx.read() as tx:
        row = found(tx, ctx, "role", role_name)
        return {"Role": view(row, tag.of(tx, row.id)) | {"RoleLastUsed": {}}}


@action("iam")
def list_roles(ctx: Context, path_prefix: str = "/", marker: str = "", max_items: int = 0) -> Result:
    """The account's roles."""
    shown, page = page_of(ctx, "role", path_prefix, marker, max_items)
    return {"Roles": shown, **page}


@action("iam")
def update_role(
    ctx: Context, role_name: str, description: str | None = None, max_session_duration: int | None = None
) -> Result:
    """Another description or longest session."""
    with change(ctx) as tx:
        _set(tx, ctx, role_name, description=description, max_session=max_session_duration)
    return {}


@action("iam")
def update_role_description(ctx: Context, role_name: str, description: str) -> Result:
    """Another description."""
    with change(ctx) as tx:
        _set(tx, ctx, role_name, description=description)
        return {"Role": view(found(tx, ctx, "role", role_name))}


def _set(tx: Tx, ctx: Context, name: str, **values: Any) -> None:
    row = found(tx, ctx, "role", name)
    given = {key: value for key, value in values.items() if value is not None}
    entity.change(tx, row.id, attributes={**row.attributes, **given})


@action("iam")
def update_assume_role_policy(ctx: Context, role_name: str, policy_document: str) -> Result:
    """Others may assume it; sessions that there are go on."""
    trust = checked_trust(policy_document)
    with change(ctx) as tx:
        row = found(tx, ctx, "role", role_name)
        entity.change(tx, row.id, trust=trust, attributes={**row.attributes, "for_ec2": _for_ec2(ctx, trust)})
        profile.changed(tx, [one.id for one in entity.containers(tx, row.id)])
    return {}


@action("iam")
def delete_role(ctx: Context, role_name: str) -> Result:
    """Its sessions end. Raises `Refusal` DeleteConflict while it has policies or is in an instance profile."""
    with change(ctx) as tx:
        row = found(tx, ctx, "role", role_name)
        if entity.containers(tx, row.id):
            raise conflict("must remove roles from instance profile first.")
        remove_without_policies(tx, row)
    return {}
