"""Everything of an account's IAM in one answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import paged, view
from cumulet.api.iam.policies import policy_view
from cumulet.api.iam.profiles import profile_view
from cumulet.identity import managed
from cumulet.model import Tx, entity, policy, tag
from cumulet.model.database import Row

MEMBERS = {"User": "UserDetailList", "Group": "GroupDetailList", "Role": "RoleDetailList"}


@action("iam")
def get_account_authorization_details(
    ctx: Context, filter: list[str] | None = None, marker: str = "", max_items: int = 0
) -> Result:
    """Users, groups, roles and managed policies with all that is attached to them; `filter` names the kinds."""
    wanted = set(filter or ["User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"])
    with ctx.read() as tx:
        things: list[tuple[str, str, Any]] = []
        for kind in ("User", "Group", "Role"):
            if kind in wanted:
                rows = entity.of_account(tx, ctx.account, kind.lower())
                things += [(MEMBERS[kind], f"{kind}/{row.lower_name}", row) for row in rows]
        attached = policy.attachment_counts(tx, ctx.account)
        if "LocalManagedPolicy" in wanted:
            things += [("Policies", f"policy/{row.arn}", row) for row in policy.of_account(tx, ctx.account)]
        if "AWSManagedPolicy" in wanted:
            things += [("Policies", f"policy/{arn}", one) for arn, one in managed.ALL.items() if arn in attached]
        things.sort(key=lambda thing: thing[1])
        shown, page = paged(things, marker, max_items, lambda thing: str(thing[1]))
        answer: Result = {member: [] for member in (*MEMBERS.values(), "Policies")}
        for member, _, row in shown:
            answer[member].append(_policy(tx, row, attached) if member == "Policies" else _detail(tx, row))
    return answer | page


def _detail(tx: Tx, row: Row) -> Item:
    kind = row.kind.capitalize()
    inline = policy.inlines(tx, [row.id])
    arns = policy.attached(tx, [row.id])
    item = view(row, tag.of(tx, row.id)) if kind != "Group" else view(row)
    for name in ("MaxSessionDuration", "Description"):
        item.pop(name, None)
    item[f"{'Role' if kind == 'Role' else kind}PolicyList"] = [
        {"PolicyName": one.name, "PolicyDocument": quote(one.document, safe="")} for one in inline
    ]
    item["AttachedManagedPolicies"] = [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in arns]
    if kind == "User":
        item["GroupList"] = [group.name for group in entity.containers(tx, row.id)]
    if kind == "Role":
        item["InstanceProfileList"] = [profile_view(tx, one) for one in entity.containers(tx, row.id)]
    return item


def _policy(tx: Tx, row: Row | managed.Managed, attached: dict[str, int]) -> Item:
    item = policy_view(row, attached.get(row.arn, 0), 0)
    if isinstance(row, managed.Managed):
        document = quote(row.document, safe="")
        versions: list[Item] = [{"Document": document, "VersionId": "v1", "IsDefaultVersion": True}]
    else:
        versions = [
            {
                "Document": quote(one.document, safe=""),
                "VersionId": f"v{one.number}",
                "IsDefaultVersion": one.number == row.version,
                "CreateDate": int(one.created),
            }
            for one in policy.versions(tx, row.arn)
        ]
    return item | {"PolicyVersionList": versions}
