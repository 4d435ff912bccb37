"""Who else may use an image or a snapshot: AWS's launch and create-volume permissions, as requests name them."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account
from cumulet.model.sharing import Shares


class Permission(TypedDict, total=False):
    Group: str
    UserId: str


class Permissions(TypedDict, total=False):
    Add: list[Permission]
    Remove: list[Permission]


def by_name(operation: str, groups: list[str], users: list[str]) -> Permissions:
    """The older form of a request: OperationType with group names and UserId.N; raises `Refusal`."""
    given: list[Permission] = [{"Group": group} for group in groups]
    given += [{"UserId": user} for user in users]
    if not given:
        return {}
    if operation not in ("add", "remove"):
        raise invalid(operation, "operationType", "Expecting add or remove.")
    return {"Add": given} if operation == "add" else {"Remove": given}


def change(tx: Tx, shares: Shares, id: str, permissions: Permissions, code: str) -> None:
    """Do what a request asks for; raises `Refusal` with `code` for what no permission can be."""
    add, remove = permissions.get("Add") or [], permissions.get("Remove") or []
    for permission in [*add, *remove]:
        _check(tx, permission, code)
    if any("Group" in permission for permission in [*add, *remove]):
        shares.publish(tx, id, any("Group" in permission for permission in add))
    shares.close_to(tx, id, _users(remove))
    shares.open_to(tx, id, _users(add))


def shown(public: bool, users: list[str]) -> list[Permission]:
    """The permissions as AWS shows them."""
    everybody: list[Permission] = [{"Group": "all"}] if public else []
    return [*everybody, *(Permission(UserId=user) for user in users)]


def _users(permissions: list[Permission]) -> list[str]:
    return [permission["UserId"] for permission in permissions if "UserId" in permission]


def _check(tx: Tx, permission: Permission, code: str) -> None:
    if not permission:
        raise Refusal(code, "A permission names a Group or a UserId.")
    if "Group" in permission and permission["Group"] != "all":
        raise Refusal(code, f"Invalid attribute item value: {permission['Group']}; it is all.")
    if "UserId" in permission and account.find(tx, permission["UserId"]) is None:
        raise Refusal(code, f'Invalid attribute item value "{permission["UserId"]}" for userId item type.')
