"""May this be done? A pure function of the request and the policies that concern it, as AWS's evaluation logic says.

    request = AccessRequest(caller=caller, action="s3:GetObject", resource=arn, owner=bucket_owner, context={...})
    bucket = compile_policy(text, "resource", code="MalformedPolicy")
    decision = evaluate(request, Policies(identity=[...], resource=bucket))

1. A statement that denies, in any policy, decides.
2. Within one account the resource's policy or an identity policy has to allow; from another account both have to.
   A role is assumed only if its own (trust) policy allows. Naming an account leaves the choice to that account.
3. Where there is a permissions boundary, or session policies, they have to allow as well; but what the resource's
   policy grants to the very user or session of its own account, they do not limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from cumulet.identity.policy_document import Kind, Policy, Statement, compile_policy, speaking
from cumulet.identity.policy_patterns import Context, Unresolved
from cumulet.identity.policy_principals import Caller, Grant

Layer = Literal["identity", "resource", "boundary", "session"]
Verdict = Literal["allowed", "explicitDeny", "implicitDeny"]

ALLOW_ALL = compile_policy('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}')
"""What the root of an account may do."""

_NOUN: dict[Layer, str] = {
    "identity": "identity-based policy",
    "resource": "resource-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
}


class AccessRequest:
    """What is asked: who, which action (`ec2:RunInstances`), on what (an ARN, or `*`) and whose, in which context.

    A value of the context is a string or several; keys may be in any case. The owner is by default the caller's
    account.
    """

    __slots__ = ("action", "caller", "context", "owner", "resource")

    def __init__(
        self,
        *,
        caller: Caller,
        action: str,
        resource: str = "*",
        owner: str | None = None,
        context: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        self.caller = caller
        self.action = action
        self.resource = resource
        self.owner = caller.account if owner is None else owner
        self.context: Context = {
            key.lower(): (value,) if isinstance(value, str) else value for key, value in (context or {}).items()
        }


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies that concern a request. No boundary, no session policies: None; an empty list allows nothing."""

    identity: Sequence[Policy] = ()
    resource: Policy | None = None
    boundary: Policy | None = None
    session: Sequence[Policy] | None = None


class Match(msgspec.Struct, frozen=True):
    """A statement that speaks of the request."""

    layer: Layer
    policy: Policy
    statement: Statement
    grant: Grant


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    verdict: Verdict
    layer: Layer | None = None
    """Where it was denied, or who did not allow it."""
    matched: tuple[Match, ...] = ()
    """The statements that decided: the denials, or else all that allow."""

    @property
    def allowed(self) -> bool:
        return self.verdict == "allowed"

    def reason(self, action: str) -> str:
        """Why not, as AWS ends its messages: ` because no identity-based policy allows the ec2:RunInstances action`."""
        if self.layer is None:
            return ""
        noun = _NOUN[self.layer]
        if self.verdict == "explicitDeny":
            return f" with an explicit deny in {'an' if noun[0] in 'aeiou' else 'a'} {noun}"
        return f" because no {noun} allows the {action} action"


def evaluate(request: AccessRequest, policies: Policies) -> Decision:
    """Whether the policies allow the request."""
    matched = list(_matches(request, policies))
    denials = tuple(match for match in matched if match.statement.deny)
    if denials:
        return Decision(verdict="explicitDeny", layer=denials[0].layer, matched=denials)
    lacking = _lacking(request, policies, matched)
    if lacking is not None:
        return Decision(verdict="implicitDeny", layer=lacking)
    return Decision(verdict="allowed", matched=tuple(matched))


def _matches(request: AccessRequest, policies: Policies) -> Iterable[Match]:
    action = request.action.lower()
    layers: list[tuple[Layer, Sequence[Policy]]] = [
        ("identity", policies.identity),
        ("resource", [policies.resource] if policies.resource else []),
        ("boundary", [policies.boundary] if policies.boundary else []),
        ("session", policies.session or []),
    ]
    for layer, listed in layers:
        for policy in listed:
            for statement in speaking(policy, action):
                if grant := _applies(statement, request):
                    yield Match(layer, policy, statement, grant)


def _applies(statement: Statement, request: AccessRequest) -> Grant:
    """How directly the statement speaks of the request; of one whose variables have no value here, not at all."""
    context = request.context
    grant = Grant.BROAD
    if statement.principals is not None:
        grant = statement.principals.grant(request.caller, deny=statement.deny)
        if not grant:
            return grant
    try:
        if not statement.resources(request.resource, context):
            return Grant.NONE
        for condition in statement.conditions:
            if not condition.holds(context):
                return Grant.NONE
    except Unresolved:
        return Grant.NONE
    return grant


def _lacking(request: AccessRequest, policies: Policies, matched: Sequence[Match]) -> Layer | None:
    """The layer that has to allow the request and does not; None if it is allowed."""
    allowing = {match.layer for match in matched}
    grant = max((match.grant for match in matched if match.layer == "resource"), default=Grant.NONE)
    caller = request.caller
    if not caller.account:
        return None if grant >= Grant.BROAD else "resource"
    same_account = caller.account == request.owner
    if not grant and (not same_account or (policies.resource is not None and policies.resource.kind == "trust")):
        return "resource"
    if same_account and grant is Grant.DIRECT:
        return None
    if "identity" not in allowing and not (same_account and grant is Grant.BROAD):
        return "identity"
    if policies.boundary is not None and "boundary" not in allowing:
        return "boundary"
    if policies.session is not None and "session" not in allowing:
        return "session"
    return None


__all__ = [
    "ALLOW_ALL",
    "AccessRequest",
    "Caller",
    "Decision",
    "Grant",
    "Kind",
    "Policies",
    "Policy",
    "compile_policy",
    "evaluate",
]
