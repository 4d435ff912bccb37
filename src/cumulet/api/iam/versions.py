"""Versions of managed policies: up to five, of which one is in force."""

from __future__ import annotations

from urllib.parse import quote

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import change, check_limit, known_policy, no_such, paged
from cumulet.api.iam.policies import checked_document, own_policy
from cumulet.identity import managed
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, policy
from cumulet.model.database import Row


def _view(version: Row, in_force: int) -> Item:
    times = {"CreateDate": int(version.created)}
    return {"VersionId": f"v{version.number}", "IsDefaultVersion": version.number == in_force, **times}


def _found(tx: Tx, arn: str, version_id: str) -> Row:
    number = version_id.removeprefix("v").partition(".")[0]
    row = policy.find_version(tx, arn, int(number)) if number.isdigit() and len(number) < 10 else None
    if row is None:
        raise no_such(f"Policy {arn} version {version_id} does not exist or is not attachable.")
    return row


@action("iam")
def create_policy_version(ctx: Context, policy_arn: str, policy_document: str, set_as_default: bool = False) -> Result:
    """A new version; in force at once if it is set as default."""
    document = checked_document(policy_document)
    with change(ctx) as tx:
        row = own_policy(tx, ctx, policy_arn)
        check_limit("VersionsPerPolicy", len(policy.versions(tx, policy_arn)))
        version = policy.add_version(tx, row, document, in_force=set_as_default)
        return {"PolicyVersion": _view(version, version.number if set_as_default else row.version)}


@action("iam")
def get_policy_version(ctx: Context, policy_arn: str, version_id: str) -> Result:
    """A version with its document."""
    with ctx.read() as tx:
        row = known_policy(tx, ctx, policy_arn)
        if isinstance(row, managed.Managed):
            if version_id != "v1":
                raise no_such(f"Policy {policy_arn} version {version_id} does not exist or is not attachable.")
            shown: Item = {"VersionId": "v1", "IsDefaultVersion": True, "CreateDate": managed.CREATED}
            return {"PolicyVersion": {"Document": quote(row.document, safe=""), **shown}}
        version = _found(tx, policy_arn, version_id)
    return {"PolicyVersion": {"Document": quote(version.document, safe=""), **_view(version, row.version)}}


@action("iam")
def list_policy_versions(ctx: Context, policy_arn: str, marker: str = "", max_items: int = 0) -> Result:
    """The versions, newest first, without their documents."""
    with ctx.read() as tx:
        row = known_policy(tx, ctx, policy_arn)
        if isinstance(row, managed.Managed):
            views: list[Item] = [{"VersionId": "v1", "IsDefaultVersion": True, "CreateDate": managed.CREATED}]
        else:
            views = [_view(version, row.version) for version in policy.versions(tx, policy_arn)]
    shown, page = paged(views, marker, max_items, lambda one: f"{10**9 - int(one['VersionId'][1:])}")
    return {"Versions": shown, **page}


@action("iam")
def set_default_policy_version(ctx: Context, policy_arn: str, version_id: str) -> Result:
    """Put a version in force, for all that the policy is attached to."""
    with change(ctx) as tx:
        own_policy(tx, ctx, policy_arn)
        policy.set_version(tx, policy_arn, _found(tx, policy_arn, version_id).number)
    return {}


@action("iam")
def delete_policy_version(ctx: Context, policy_arn: str, version_id: str) -> Result:
    """Raises `Refusal` DeleteConflict for the version in force."""
    with change(ctx) as tx:
        row = own_policy(tx, ctx, policy_arn)
        version = _found(tx, policy_arn, version_id)
        if version.number == row.version:
            raise Refusal("DeleteConflict", "Cannot delete the default version of a policy.", 409)
        policy.remove_version(tx, policy_arn, version.number)
    return {}
