"""Assuming a role, of one's own account or another."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from cumulet.api.actions import Result, action
from cumulet.api.authorise import Need, request_of
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import checked_tags
from cumulet.api.sts.credentials import PolicyArn, begin, limits, size
from cumulet.identity import permissions
from cumulet.identity.policy import compile_policy
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, entity
from cumulet.model.database import Row

CHAINED_SECONDS = 3_600
DEFAULT_SECONDS = 3_600
_ROLE = re.compile(r"arn:aws:iam::([0-9]{12}):role/(?:.+/)?([^/]+)")


class _Wish(NamedTuple):
    """What is asked for beside the role and the name."""

    tags: dict[str, str]
    transitive: list[str]
    keys: dict[str, Any]
    actions: list[str]


@action("sts")
def assume_role(
    ctx: Context,
    role_arn: str,
    role_session_name: str,
    policy: str = "",
    policy_arns: list[PolicyArn] | None = None,
    duration_seconds: int | None = None,
    tags: list[Tag] | None = None,
    transitive_tag_keys: list[str] | None = None,
    external_id: str = "",
    source_identity: str = "",
) -> Result:
    """Credentials of a role, if its policy and those of who asks allow that."""
    if ctx.principal.kind == "root":
        raise Refusal("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    identity = _source_identity(ctx, source_identity)
    wish = _wish(ctx, role_session_name, checked_tags(tags), transitive_tag_keys or [], external_id, identity)
    with ctx.read() as tx:
        role = _allowed(tx, ctx, role_arn, wish)
        limited = limits(tx, role.account, policy, policy_arns)
    made, credentials = begin(
        ctx,
        role.account,
        _seconds(ctx, role, duration_seconds),
        kind="role",
        entity=role.id,
        name=role_session_name,
        tags=wish.tags,
        transitive=tuple(wish.transitive),
        source_identity=identity,
        **limited,
    )
    user = {
        "AssumedRoleId": f"{role.id}:{made.name}",
        "Arn": f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{made.name}",
    }
    shown = {"SourceIdentity": identity} if identity else {}
    return {"Credentials": credentials, "AssumedRoleUser": user, **size(policy, wish.tags), **shown}


def _wish(
    ctx: Context, name: str, tags: dict[str, str], transitive: list[str], external_id: str, source_identity: str
) -> _Wish:
    keys: dict[str, Any] = {"sts:RoleSessionName": name}
    keys |= {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    keys |= {"aws:TagKeys": list(tags)} if tags else {}
    keys |= {"sts:TransitiveTagKeys": transitive} if transitive else {}
    keys |= {"sts:ExternalId": external_id} if external_id else {}
    keys |= {"sts:SourceIdentity": source_identity} if source_identity else {}
    actions = ["sts:AssumeRole", *(["sts:TagSession"] if tags else [])]
    session = ctx.principal.session
    inherited = {key: session.tags[key] for key in session.transitive if key in session.tags} if session else {}
    if twice := sorted(set(inherited) & set(tags)):
        raise Refusal("InvalidParameterValue", f"The session already has the transitive tag {twice[0]}.")
    if source_identity and not (session and session.source_identity):
        actions.append("sts:SetSourceIdentity")
    return _Wish(inherited | tags, [*inherited, *transitive], keys, actions)


def _source_identity(ctx: Context, wanted: str) -> str:
    """Once it is set it stays, from role to role."""
    session = ctx.principal.session
    kept = session.source_identity if session is not None else ""
    if kept and wanted not in ("", kept):
        raise Refusal("AccessDenied", f"The session has the source identity {kept}, which cannot be changed.", 403)
    return kept or wanted


def _allowed(tx: Tx, ctx: Context, role_arn: str, wish: _Wish) -> Row:
    """The role; raises `Refusal` AccessDenied where it is not there, or may not be assumed, in the same words."""
    found = _ROLE.fullmatch(role_arn)
    if found is None:
        raise Refusal("ValidationError", f"{role_arn[:200]} is invalid: it is arn:aws:iam::ACCOUNT:role/NAME.")
    role = entity.named(tx, found[1], "role", found[2])
    for name in wish.actions:
        refusal = Refusal(
            "AccessDenied",
            f"User: {ctx.principal.arn} is not authorized to perform: {name} on resource: {role_arn}",
            403,
        )
        if role is None or entity.arn_of(role) != role_arn:
            raise refusal
        asked = request_of(ctx, Need(name, role_arn, wish.keys), role.account)
        if not permissions.decide(ctx.database, ctx.principal, asked, compile_policy(role.trust, "trust")).allowed:
            raise refusal
    assert role is not None
    return role


def _seconds(ctx: Context, role: Row, wanted: int | None) -> int:
    chained = ctx.principal.session is not None and ctx.principal.session.kind == "role"
    if chained and (wanted or 0) > CHAINED_SECONDS:
        raise Refusal(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    if (wanted or 0) > role.attributes.get("max_session", DEFAULT_SECONDS):
        raise Refusal(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return wanted or DEFAULT_SECONDS
