"""Sessions of a user's own: for itself, or for somebody whom it vouches for."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import checked_tags
from cumulet.api.sts.credentials import PolicyArn, begin, limits, size
from cumulet.lib.errors import Refusal

DEFAULT_SECONDS = 43_200
ROOT_SECONDS = 3_600


@action("sts")
def get_session_token(
    ctx: Context, duration_seconds: int | None = None, serial_number: str = "", token_code: str = ""
) -> Result:
    """Credentials that may what who asks may, for some hours; those of the root for one at most."""
    _refuse_session(ctx, "GetSessionToken")
    if serial_number or token_code:
        raise Refusal("AccessDenied", "MultiFactorAuthentication failed: this cloud has no MFA devices.", 403)
    _, credentials = begin(ctx, ctx.account, _seconds(ctx, duration_seconds), kind="user", entity=ctx.principal.entity)
    return {"Credentials": credentials}


@action("sts")
def get_federation_token(
    ctx: Context,
    name: str,
    policy: str = "",
    policy_arns: list[PolicyArn] | None = None,
    duration_seconds: int | None = None,
    tags: list[Tag] | None = None,
) -> Result:
    """Credentials for somebody else, who may what both these policies and who asks may; without policies, nothing."""
    _refuse_session(ctx, "GetFederationToken")
    given = checked_tags(tags)
    with ctx.read() as tx:
        limited = {"limited": True, **limits(tx, ctx.account, policy, policy_arns)}
    made, credentials = begin(
        ctx,
        ctx.account,
        _seconds(ctx, duration_seconds),
        kind="federated",
        entity=ctx.principal.entity,
        name=name,
        tags=given,
        **limited,
    )
    user = {
        "FederatedUserId": f"{ctx.account}:{made.name}",
        "Arn": f"arn:aws:sts::{ctx.account}:federated-user/{made.name}",
    }
    return {"Credentials": credentials, "FederatedUser": user, **size(policy, given)}


def _refuse_session(ctx: Context, action: str) -> None:
    if ctx.principal.session is not None:
        raise Refusal("AccessDenied", f"Cannot call {action} with session credentials", 403)


def _seconds(ctx: Context, wanted: int | None) -> int:
    if ctx.principal.kind == "root":
        return min(wanted or ROOT_SECONDS, ROOT_SECONDS)
    return wanted or DEFAULT_SECONDS
