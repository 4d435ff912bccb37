"""What would be allowed: the very function that decides about requests, asked about ones that nobody has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import no_such, paged
from cumulet.identity import permissions
from cumulet.identity.policy import AccessRequest, Caller, Decision, Policies, Policy, compile_policy, evaluate
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, entity
from cumulet.model.database import Row
from cumulet.wire.service import ADMINISTRATIVE

SOURCES = {"identity": "IAM Policy", "resource": "Resource Policy", "boundary": "Permissions Boundary"}


class ContextEntry(TypedDict, total=False):
    ContextKeyName: str
    ContextKeyValues: list[str]
    ContextKeyType: str


@action("iam")
def simulate_custom_policy(
    ctx: Context,
    policy_input_list: list[str],
    action_names: list[str],
    permissions_boundary_policy_input_list: list[str] | None = None,
    resource_arns: list[str] | None = None,
    resource_policy: str = "",
    resource_owner: str = "",
    caller_arn: str = "",
    context_entries: list[ContextEntry] | None = None,
    marker: str = "",
    max_items: int = 0,
) -> Result:
    """What somebody could do who had these policies."""
    policies = Policies(
        identity=_inputs(policy_input_list),
        boundary=_boundary(permissions_boundary_policy_input_list),
        resource=compile_policy(resource_policy, "resource", code="InvalidInput") if resource_policy else None,
    )
    arn = caller_arn or f"arn:aws:iam::{ctx.account}:user/simulated"
    caller = Caller(account=_account_of(caller_arn) or ctx.account, arn=arn)
    owner = _account_of(resource_owner) or caller.account
    results = _results(ctx, policies, caller, owner, action_names, resource_arns or ["*"], context_entries or [])
    return _answer(results, marker, max_items)


@action("iam")
def simulate_principal_policy(
    ctx: Context,
    policy_source_arn: str,
    action_names: list[str],
    policy_input_list: list[str] | None = None,
    permissions_boundary_policy_input_list: list[str] | None = None,
    resource_arns: list[str] | None = None,
    resource_policy: str = "",
    resource_owner: str = "",
    caller_arn: str = "",
    context_entries: list[ContextEntry] | None = None,
    marker: str = "",
    max_items: int = 0,
) -> Result:
    """What this user, group or role can do, with these policies besides."""
    with ctx.read() as tx:
        row = _source(tx, ctx, policy_source_arn)
        identity = [*permissions.of_entity(tx, row.id), *_inputs(policy_input_list or [])]
        boundary = permissions.boundary_of(tx, row)
    policies = Policies(
        identity=identity,
        boundary=_boundary(permissions_boundary_policy_input_list) or boundary,
        resource=compile_policy(resource_policy, "resource", code="InvalidInput") if resource_policy else None,
    )
    caller = Caller(account=ctx.account, arn=caller_arn or policy_source_arn)
    owner = _account_of(resource_owner) or caller.account
    results = _results(ctx, policies, caller, owner, action_names, resource_arns or ["*"], context_entries or [])
    return _answer(results, marker, max_items)


@action("iam")
def get_context_keys_for_custom_policy(ctx: Context, policy_input_list: list[str]) -> Result:
    """The condition keys that these policies look at."""
    return {"ContextKeyNames": _keys(_inputs(policy_input_list))}


@action("iam")
def get_context_keys_for_principal_policy(
    ctx: Context, policy_source_arn: str, policy_input_list: list[str] | None = None
) -> Result:
    """The condition keys that the policies of this user, group or role look at."""
    with ctx.read() as tx:
        row = _source(tx, ctx, policy_source_arn)
        held = permissions.of_entity(tx, row.id)
    return {"ContextKeyNames": _keys([*held, *_inputs(policy_input_list or [])])}


def _source(tx: Tx, ctx: Context, arn: str) -> Row:
    kind, _, path = arn.partition(":iam::")[2].partition(":")[2].partition("/")
    if kind not in ("user", "group", "role"):
        raise Refusal("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    row = entity.named(tx, ctx.account, kind, path.rpartition("/")[2]) if _account_of(arn) == ctx.account else None
    if row is None:
        raise no_such(f"Policy source {arn} cannot be found.")
    return row


def _inputs(texts: Sequence[str]) -> list[Policy]:
    return [compile_policy(text, code="InvalidInput", name=f"PolicyInputList.{i}") for i, text in enumerate(texts, 1)]


def _boundary(texts: Sequence[str] | None) -> Policy | None:
    return compile_policy(texts[0], code="InvalidInput", name="PermissionsBoundary") if texts else None


def _account_of(arn: str) -> str:
    fields = arn.split(":")
    return fields[4] if len(fields) > 4 else ""


def _keys(policies: Sequence[Policy]) -> list[str]:
    return sorted({key for policy in policies for key in policy.keys})


def _results(
    ctx: Context,
    policies: Policies,
    caller: Caller,
    owner: str,
    actions: Sequence[str],
    resources: Sequence[str],
    entries: Sequence[ContextEntry],
) -> list[Item]:
    context = {entry.get("ContextKeyName", ""): tuple(entry.get("ContextKeyValues") or ()) for entry in entries}
    listed = [*policies.identity, *filter(None, [policies.boundary, policies.resource])]
    administers = _is_administrators(ctx, caller.account)
    known = {name.lower() for name in context}
    missing = [key for key in _keys(listed) if key.lower() not in known]
    results = []
    for name in actions:
        if ":" not in name:
            raise Refusal(
                "InvalidInput", f"Invalid action name {name}: it is SERVICE:ACTION, such as ec2:RunInstances."
            )
        for resource in resources:
            asked = AccessRequest(caller=caller, action=name, resource=resource, owner=owner, context=context)
            decided = _result(asked, evaluate(asked, policies), policies, missing)
            results.append(decided if administers or not _administers(name) else _not_his(decided))
    return results


def _is_administrators(ctx: Context, account_id: str) -> bool:
    with ctx.read() as tx:
        row = account.find(tx, account_id)
    return row is not None and bool(row.administrator)


def _administers(name: str) -> bool:
    return name.lower().startswith(f"{ADMINISTRATIVE}:")


def _not_his(decided: Item) -> Item:
    """No policy gives an account what is the administrators'; AWS's form for what is denied from above an account."""
    verdict = decided["EvalDecision"]
    return {
        **decided,
        "EvalDecision": "explicitDeny" if verdict == "explicitDeny" else "implicitDeny",
        "MatchedStatements": decided["MatchedStatements"] if verdict == "explicitDeny" else [],
        "OrganizationsDecisionDetail": {"AllowedByOrganizations": False},
    }


def _result(asked: AccessRequest, decision: Decision, policies: Policies, missing: list[str]) -> Item:
    item: Item = {
        "EvalActionName": asked.action,
        "EvalResourceName": asked.resource,
        "EvalDecision": decision.verdict,
        "MatchedStatements": [
            {"SourcePolicyId": match.policy.name.rpartition("/")[2], "SourcePolicyType": SOURCES[match.layer]}
            for match in decision.matched
            if match.layer in SOURCES
        ],
        "MissingContextValues": missing,
    }
    if policies.boundary is not None:
        allowed = decision.layer != "boundary"
        item["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allowed}
    return item


def _answer(results: list[Item], marker: str, most: int) -> Result:
    numbered = [(f"{i:06}", result) for i, result in enumerate(results)]
    shown, page = paged(numbered, marker, most, lambda pair: str(pair[0]))
    return {"EvaluationResults": [result for _, result in shown], **page}
