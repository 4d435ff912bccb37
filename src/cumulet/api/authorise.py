"""May the principal do this? Each action's name and the ARNs of what it names, against the policies.

A service says with `@needs("ec2")` what a request of it needs; without that, its action on `*`. The root of an account
is asked nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cumulet.api.context import Context
from cumulet.identity import permissions
from cumulet.identity.policy import AccessRequest, Decision, Policy
from cumulet.identity.principal import Principal
from cumulet.lib.config import Config
from cumulet.lib.errors import Refusal
from cumulet.model import Database
from cumulet.wire.request import Request

Keys = Mapping[str, str | Sequence[str]]


class Need(NamedTuple):
    """One permission that a request needs: an action on a resource, with the condition keys that concern these two."""

    action: str
    resource: str = "*"
    keys: Keys = {}


Needs = Callable[[Context, str, dict[str, Any]], list[Need]]
NEEDS: dict[str, Needs] = {}
PREFIX = {"service-quotas": "servicequotas"}
"""The service in an action's name, where that is not the model's."""


def needs(service: str) -> Callable[[Needs], Needs]:
    """Register what requests of a service need."""

    def register(function: Needs) -> Needs:
        NEEDS[service] = function
        return function

    return register


def authorise(ctx: Context, service: str, name: str, parameters: dict[str, Any]) -> None:
    """Return if the principal may; else raises `Refusal` with the service's code."""
    if ctx.principal.may_all:
        return
    found = NEEDS.get(service)
    default = [Need(f"{PREFIX.get(service, service)}:{name}")]
    for need in found(ctx, name, parameters) if found else default:
        demand(ctx, service, need)


def demand(ctx: Context, service: str, need: Need, resource: Policy | None = None, owner: str | None = None) -> None:
    """Raises `Refusal` unless the principal may; `resource` is the policy of the resource, `owner` whose that is."""
    if ctx.principal.may_all and resource is None:
        return
    asked = request_of(ctx, need, owner)
    decision = permissions.decide(ctx.database, ctx.principal, asked, resource)
    if not decision.allowed:
        raise denied(ctx, service, asked, decision)


def request_of(ctx: Context, need: Need, owner: str | None = None) -> AccessRequest:
    """What is asked of the policies."""
    return AccessRequest(
        caller=ctx.principal.caller,
        action=need.action,
        resource=need.resource,
        owner=owner,
        context={**global_keys(ctx), **need.keys},
    )


def global_keys(ctx: Context) -> dict[str, str | Sequence[str]]:
    """The condition keys that every request has (IAM User Guide: "AWS global condition context keys")."""
    return keys_of(ctx.database, ctx.config, ctx.request, ctx.principal)


def keys_of(
    database: Database, config: Config, request: Request, principal: Principal | None
) -> dict[str, str | Sequence[str]]:
    """The same of any request, also of nobody's."""
    now = database.clock.now()
    keys: dict[str, str | Sequence[str]] = {
        "aws:CurrentTime": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "aws:EpochTime": str(int(now)),
        "aws:SecureTransport": "true" if request.secure else "false",
        "aws:RequestedRegion": config.region,
        "aws:ViaAWSService": "false",
    }
    if request.address:
        keys["aws:SourceIp"] = request.address
    if agent := request.header("user-agent"):
        keys["aws:UserAgent"] = agent
    if referer := request.header("referer"):
        keys["aws:Referer"] = referer
    return keys | (_of_principal(database, config, principal) if principal is not None else {})


def _of_principal(database: Database, config: Config, principal: Principal) -> dict[str, str]:
    keys = {
        "aws:PrincipalArn": principal.owner_arn,
        "aws:PrincipalAccount": principal.account,
        "aws:PrincipalType": principal.type,
        "aws:userid": principal.user_id,
    }
    if principal.type == "User":
        keys["aws:username"] = principal.name
    tags = permissions.held(database, principal).tags
    session = principal.session
    if session is not None:
        tags = tags | session.tags
        issued = datetime.fromtimestamp(session.issued, UTC)
        keys |= {"aws:TokenIssueTime": f"{issued:%Y-%m-%dT%H:%M:%SZ}", "aws:MultiFactorAuthPresent": "false"}
        if session.source_identity:
            keys["aws:SourceIdentity"] = session.source_identity
        if session.instance:
            keys["ec2:SourceInstanceARN"] = (
                f"arn:aws:ec2:{config.region}:{principal.account}:instance/{session.instance}"
            )
            keys["ec2:RoleDelivery"] = "1.0"
    return keys | {f"aws:PrincipalTag/{key}": value for key, value in tags.items()}


def denied(ctx: Context, service: str, asked: AccessRequest, decision: Decision) -> Refusal:
    """AWS's words for whoever may not; EC2's with a message that DecodeAuthorizationMessage reads."""
    what = f"User: {ctx.principal.arn} is not authorized to perform: {asked.action} on resource: {asked.resource}"
    if asked.resource == "*":
        what = f"User: {ctx.principal.arn} is not authorized to perform: {asked.action}"
    whole = what + decision.reason(asked.action)
    if service != "ec2":
        return Refusal("AccessDenied", whole, 403)
    encoded = ctx.database.keys.seal(json.dumps(_explained(ctx, asked, decision)).encode())
    text = (
        f"You are not authorized to perform this operation. {whole}. Encoded authorization failure message: {encoded}"
    )
    return Refusal("UnauthorizedOperation", text, 403)


def _explained(ctx: Context, asked: AccessRequest, decision: Decision) -> dict[str, Any]:
    """In the form that AWS documents for DecodeAuthorizationMessage."""
    matched = [
        {"statementId": match.statement.sid, "effect": "DENY", "sourcePolicyId": match.policy.name}
        for match in decision.matched
    ]
    conditions = [
        {"key": key, "values": {"items": [{"value": value} for value in values]}}
        for key, values in sorted(asked.context.items())
    ]
    return {
        "account": ctx.account,
        "allowed": decision.allowed,
        "explicitDeny": decision.verdict == "explicitDeny",
        "matchedStatements": {"items": matched},
        "failures": {"items": []},
        "context": {
            "principal": {"id": ctx.principal.user_id, "arn": ctx.principal.arn},
            "action": asked.action,
            "resource": asked.resource,
            "conditions": {"items": conditions},
        },
    }
