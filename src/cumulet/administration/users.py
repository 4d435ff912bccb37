"""The users of accounts, and the roles of the 2012 cloud that they have."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cumulet.administration import named
from cumulet.identity import managed
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account, entity, policy
from cumulet.model.database import Row

_USER = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user of an account."""

    account: str
    name: str


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user of an account, and roles of the 2012 cloud."""

    account: str
    name: str
    roles: list[str] = []


def listed(tx: Tx, name: str) -> list[dict[str, Any]]:
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


def create(tx: Tx, config: Config, wanted: Roles) -> dict[str, Any]:
    """Make a user with a key; raises `Failure`."""
    owner = named(tx, wanted.account).id
    arns = [_role(role) for role in wanted.roles]
    account.revise(tx, owner)
    if entity.named(tx, owner, "user", wanted.name) is not None:
        raise Failure(f"there is a user {wanted.name} already")
    if not _USER.fullmatch(wanted.name):
        raise Failure(f"a user's name has 1 to 64 letters, digits and signs of +=,.@_-, and {wanted.name!r} is not so")
    made = entity.create(tx, owner, "user", wanted.name, "/")
    for arn in arns:
        policy.attach(tx, owner, made.id, arn)
    key, secret = account.add_key(tx, owner, made.id)
    return {"user": wanted.name, "account": owner, "access_key": key, "secret_key": secret}


def delete(tx: Tx, config: Config, wanted: User) -> dict[str, Any]:
    """Take a user away, with its keys and policies; raises `Failure`."""
    _, row = _revised(tx, wanted.account, wanted.name)
    tx.change(account.access_key.delete().where(account.access_key.c.entity == row.id))
    for arn in policy.attached(tx, [row.id]):
        policy.detach(tx, row.id, arn)
    for one in policy.inlines(tx, [row.id]):
        policy.take_inline(tx, row.id, one.name)
    entity.remove(tx, row.id)
    return {"user": wanted.name}


def add_roles(tx: Tx, config: Config, wanted: Roles) -> dict[str, Any]:
    """A user may what these roles may, from the next request on; raises `Failure`."""
    arns = [_role(role) for role in wanted.roles]
    owner, row = _revised(tx, wanted.account, wanted.name)
    for arn in arns:
        policy.attach(tx, owner, row.id, arn)
    return {"user": wanted.name}


def remove_roles(tx: Tx, config: Config, wanted: Roles) -> dict[str, Any]:
    """A user has these roles no more; raises `Failure` for one that it has not."""
    arns = [_role(role) for role in wanted.roles]
    _, row = _revised(tx, wanted.account, wanted.name)
    for arn in arns:
        if not policy.detach(tx, row.id, arn):
            raise Failure(f"{wanted.name} has not the role {arn.rpartition('/')[2]}")
    return {"user": wanted.name}


def _revised(tx: Tx, name: str, user: str) -> tuple[str, Row]:
    """The account's id, and its user, who may something else from now on; raises `Failure`."""
    owner = named(tx, name).id
    account.revise(tx, owner)
    row = entity.named(tx, owner, "user", user)
    if row is None:
        raise Failure(f"the account {name} has no user {user}")
    return owner, row


def _role(name: str) -> str:
    known = [one.name for one in managed.ALL.values() if one.path == managed.ROLE_PATH]
    if name not in known:
        raise Failure(f"there is no role {name}; there are: {', '.join(known)}")
    return f"arn:aws:iam::aws:policy{managed.ROLE_PATH}{name}"
