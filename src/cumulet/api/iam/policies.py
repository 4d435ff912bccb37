"""Managed policies: the account's own, and those that all accounts have."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import Tag
from cumulet.api.iam.entities import (
    change,
    check_limit,
    check_size,
    checked_tags,
    known_policy,
    paged,
    shown_tags,
)
from cumulet.identity import managed
from cumulet.identity.policy import compile_policy
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, policy, tag
from cumulet.model.database import Row


def checked_document(document: str) -> str:
    """Raises `Refusal` MalformedPolicyDocument or LimitExceeded."""
    check_size("PolicySize", document)
    compile_policy(document)
    return document


def own_policy(tx: Tx, ctx: Context, arn: str) -> Row:
    """The account's policy; raises `Refusal` NoSuchEntity, AccessDenied for those that all have."""
    row = known_policy(tx, ctx, arn)
    if isinstance(row, managed.Managed):
        raise Refusal("AccessDenied", f"The policy {arn} belongs to all accounts and cannot be changed.", 403)
    return row


def policy_view(row: Row | managed.Managed, attached: int, bounding: int, *, full: bool = False) -> Item:
    """As answered; `full` with the description."""
    item: Item = {
        "PolicyName": row.name,
        "PolicyId": row.id,
        "Arn": row.arn,
        "Path": row.path,
        "AttachmentCount": attached,
        "PermissionsBoundaryUsageCount": bounding,
        "IsAttachable": True,
    }
    if isinstance(row, managed.Managed):
        item |= {"DefaultVersionId": "v1", "CreateDate": managed.CREATED, "UpdateDate": managed.CREATED}
    else:
        times = {"CreateDate": int(row.created), "UpdateDate": int(row.changed)}
        item |= {"DefaultVersionId": f"v{row.version}", **times}
    return item | ({"Description": row.description} if full and row.description else {})


@action("iam")
def create_policy(
    ctx: Context,
    policy_name: str,
    policy_document: str,
    path: str = "/",
    description: str = "",
    tags: list[Tag] | None = None,
) -> Result:
    """A new managed policy, attached to nothing."""
    document = checked_document(policy_document)
    with change(ctx) as tx:
        check_limit("PoliciesPerAccount", policy.count(tx, ctx.account))
        try:
            with tx.attempt():
                row = policy.create(tx, ctx.account, policy_name, path, description, document)
        except IntegrityError:
            text = f"A policy called {policy_name} already exists. Duplicate names are not allowed."
            raise Refusal("EntityAlreadyExists", text, 409) from None
        given = checked_tags(tags)
        tag.put(tx, ctx.account, row.id, "policy", given)
        return {"Policy": policy_view(row, 0, 0) | ({"Tags": shown_tags(given)} if given else {})}


@action("iam")
def get_policy(ctx: Context, policy_arn: str) -> Result:
    """A managed policy; its document is that of a version."""
    with ctx.read() as tx:
        row = known_policy(tx, ctx, policy_arn)
        attached = len(policy.attached_to(tx, ctx.account, policy_arn))
        bounding = len(policy.bounded_by(tx, ctx.account, policy_arn))
        return {
            "Policy": policy_view(row, attached, bounding, full=True) | {"Tags": shown_tags(tag.of(tx, row.id))},
        }


@action("iam")
def list_policies(
    ctx: Context,
    scope: str = "All",
    only_attached: bool = False,
    path_prefix: str = "/",
    policy_usage_filter: str = "",
    marker: str = "",
    max_items: int = 0,
) -> Result:
    """The managed policies: Local are the account's, AWS those that all have."""
    with ctx.read() as tx:
        those: list[Row | managed.Managed] = []
        if scope in ("All", "Local"):
            those += policy.of_account(tx, ctx.account, path_prefix)
        if scope in ("All", "AWS"):
            those += [one for one in managed.ALL.values() if one.path.startswith(path_prefix)]
        attached, bounding = policy.attachment_counts(tx, ctx.account), policy.boundary_counts(tx, ctx.account)
    used = {"PermissionsPolicy": attached, "PermissionsBoundary": bounding}
    if policy_usage_filter:
        those = [one for one in those if one.arn in used[policy_usage_filter]]
    if only_attached:
        those = [one for one in those if one.arn in attached or one.arn in bounding]
    shown, page = paged(sorted(those, key=lambda one: str(one.arn)), marker, max_items, lambda one: str(one.arn))
    views = [policy_view(one, attached.get(one.arn, 0), bounding.get(one.arn, 0)) for one in shown]
    return {"Policies": views, **page}


@action("iam")
def delete_policy(ctx: Context, policy_arn: str) -> Result:
    """Raises `Refusal` DeleteConflict while it is attached, or has versions beside the one in force."""
    with change(ctx) as tx:
        row = own_policy(tx, ctx, policy_arn)
        if policy.attached_to(tx, ctx.account, policy_arn) or policy.bounded_by(tx, ctx.account, policy_arn):
            raise Refusal("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
        if len(policy.versions(tx, policy_arn)) > 1:
            raise Refusal(
                "DeleteConflict",
                "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                "versions. The default version is deleted with the policy.",
                409,
            )
        policy.remove(tx, row)
    return {}


@action("iam")
def list_entities_for_policy(
    ctx: Context,
    policy_arn: str,
    entity_filter: str = "",
    path_prefix: str = "/",
    policy_usage_filter: str = "",
    marker: str = "",
    max_items: int = 0,
) -> Result:
    """The users, groups and roles that a policy is attached to, or is the boundary of."""
    if entity_filter not in ("", "User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"):
        raise Refusal("ValidationError", f"The entity filter {entity_filter} is not User, Group or Role.")
    with ctx.read() as tx:
        known_policy(tx, ctx, policy_arn)
        rows = policy.attached_to(tx, ctx.account, policy_arn) if policy_usage_filter != "PermissionsBoundary" else []
        if policy_usage_filter != "PermissionsPolicy":
            there = {row.id for row in rows}
            rows += [row for row in policy.bounded_by(tx, ctx.account, policy_arn) if row.id not in there]
    chosen = [row for row in rows if row.path.startswith(path_prefix) and entity_filter in ("", row.kind.capitalize())]
    chosen.sort(key=lambda row: f"{row.kind}/{row.lower_name}")
    shown, page = paged(chosen, marker, max_items, lambda row: f"{row.kind}/{row.lower_name}")
    answer: Result = {f"Policy{noun}s": [] for noun in ("User", "Group", "Role")}
    for row in shown:
        noun = row.kind.capitalize()
        answer[f"Policy{noun}s"].append({f"{noun}Name": row.name, f"{noun}Id": row.id})
    return answer | page
