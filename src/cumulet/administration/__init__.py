"""What the operator sees and changes of accounts: by the administrative API, or where no cloud runs by the command."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from cumulet.identity import managed, quotas
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account, entity, policy
from cumulet.model.database import Row

_USER = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quota of an account; None: the configuration's."""

    name: str
    value: int | None


def named(tx: Tx, name: str) -> Row:
    """The account of this name or number; raises `Failure`."""
    row = account.named(tx, name) or account.find(tx, name)
    if row is None:
        raise Failure(f"there is no account {name}; there are: {', '.join(one.name for one in account.all(tx))}")
    return row


def quotas_of(tx: Tx, config: Config, name: str) -> list[dict[str, Any]]:
    """Each quota of an account with its value, the default, and what the account has asked for."""
    row = named(tx, name)
    asked = {one["name"]: one["desired"] for one in row.quotas.get("requests", []) if one["status"] == "PENDING"}
    return [
        {
            "name": quota.name,
            "value": quotas.of_row(row, config, quota.name),
            "default": quotas.of_row(None, config, quota.name),
            "asked": asked.get(quota.name),
        }
        for quota in quotas.KNOWN
    ]


def grant(tx: Tx, name: str, wanted: Grant) -> None:
    """Give an account a quota; raises `Failure`."""
    known = [quota.name for quota in quotas.KNOWN]
    if wanted.name not in known:
        raise Failure(f"there is no quota {wanted.name}; there are: {', '.join(known)}")
    if wanted.value is not None and wanted.value < 0:
        raise Failure(f"a quota is a whole number from 0 on, not {wanted.value}")
    quotas.grant(tx, named(tx, name).id, wanted.name, wanted.value)


class UserChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done with a user: made or taken away, or roles of the 2012 cloud added or removed."""

    do: Literal["create", "delete", "add", "remove"]
    user: str
    roles: list[str] = []


def users_of(tx: Tx, name: str) -> list[dict[str, Any]]:
    """An account's users with their keys and what is attached to them."""
    owner = named(tx, name).id
    return [
        {
            "name": row.name,
            "arn": entity.arn_of(row),
            "access_keys": [key.id for key in account.keys(tx, owner, row.id) if key.active],
            "policies": [arn.rpartition("/")[2] for arn in policy.attached(tx, [row.id])],
        }
        for row in entity.of_account(tx, owner, "user")
    ]


def change_user(tx: Tx, name: str, wanted: UserChange) -> dict[str, Any]:
    """What it has made; raises `Failure` for what cannot be."""
    owner = named(tx, name).id
    arns = [_role(role) for role in wanted.roles]
    account.revise(tx, owner)
    row = entity.named(tx, owner, "user", wanted.user)
    if wanted.do == "create":
        return _create(tx, owner, wanted.user, arns, is_there=row is not None)
    if row is None:
        raise Failure(f"the account {name} has no user {wanted.user}")
    if wanted.do == "delete":
        _delete(tx, owner, row)
    for arn in arns:
        if wanted.do == "add":
            policy.attach(tx, owner, row.id, arn)
        elif not policy.detach(tx, row.id, arn):
            raise Failure(f"{wanted.user} has not the role {arn.rpartition('/')[2]}")
    return {"user": wanted.user}


def _role(name: str) -> str:
    known = [one.name for one in managed.ALL.values() if one.path == managed.ROLE_PATH]
    if name not in known:
        raise Failure(f"there is no role {name}; there are: {', '.join(known)}")
    return f"arn:aws:iam::aws:policy{managed.ROLE_PATH}{name}"


def _create(tx: Tx, owner: str, name: str, arns: list[str], *, is_there: bool) -> dict[str, Any]:
    if is_there:
        raise Failure(f"there is a user {name} already")
    if not _USER.fullmatch(name):
        raise Failure(f"a user's name has 1 to 64 letters, digits and signs of +=,.@_-, and {name!r} is not so")
    made = entity.create(tx, owner, "user", name, "/")
    for arn in arns:
        policy.attach(tx, owner, made.id, arn)
    key, secret = account.add_key(tx, owner, made.id)
    return {"user": name, "account": owner, "access_key": key, "secret_key": secret}


def _delete(tx: Tx, owner: str, row: Row) -> None:
    tx.change(account.access_key.delete().where(account.access_key.c.entity == row.id))
    for arn in policy.attached(tx, [row.id]):
        policy.detach(tx, row.id, arn)
    for one in policy.inlines(tx, [row.id]):
        policy.take_inline(tx, row.id, one.name)
    entity.remove(tx, row.id)
