"""Accounts that go, and what accounts have used."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.administration import named
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import (
    Tx,
    account,
    address,
    bucket,
    certificate,
    client_token,
    entity,
    fixed_network,
    group,
    image,
    instance,
    instance_use,
    interface,
    key_pair,
    placement_group,
    policy,
    snapshot,
    subnet,
    tag,
    upload,
    volume,
    vpc,
    work,
)
from cumulet.model.database import Row

_LIVING = {
    "instances": (instance.instance, instance.instance.c.state != "terminated"),
    "network interfaces": (interface.interface, sa.true()),
    "volumes": (volume.volume, sa.true()),
    "snapshots": (snapshot.snapshot, sa.true()),
    "public addresses": (address.address, sa.true()),
    "images": (image.image, sa.not_(image.image.c.deregistered)),
    "buckets": (bucket.bucket, sa.true()),
    "uploads": (upload.upload, sa.true()),
    "security groups": (group.group, group.group.c.name != "default"),
}
"""What an account must not have any more when it goes, by its name."""
_GOES_WITH_IT = (
    account.access_key,
    certificate.certificate,
    client_token.client_token,
    image.image_permission,
    instance.instance,
    key_pair.key_pair,
    placement_group.placement_group,
    policy.attachment,
    policy.policy,
    snapshot.snapshot_permission,
    subnet.subnet,
    tag.tag,
    vpc.vpc,
    entity.entity,
)


class Deletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account of this name or number is to go."""

    name: str


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the account is an administrator's."""

    name: str
    administrator: bool


def set_account(tx: Tx, config: Config, wanted: Setting) -> dict[str, Any]:
    """It holds from the next request on; raises `Failure`."""
    row = named(tx, wanted.name)
    account.revise(tx, row.id, administrator=wanted.administrator)
    return {"name": row.name, "account": row.id, "administrator": wanted.administrator}


def delete(tx: Tx, config: Config, wanted: Deletion) -> dict[str, Any]:
    """Take an account away that has nothing any more, with its users, keys and default VPC; raises `Failure`."""
    row = named(tx, wanted.name)
    account.hold(tx, row.id)
    if row.name == config.account:
        raise Failure(f"{row.name} is the cloud's first account (the setting account): it stays")
    left = [f"{count} {what}" for what, count in _living(tx, row.id).items() if count]
    if left:
        raise Failure(f"the account {row.name} has still {', '.join(left)}: they go first")
    for one in vpc.of_account(tx, row.id):
        work.wake(tx, "vpc", one.id)
    for one in group.of_account(tx, row.id):
        group.delete(tx, one.id)
    _delete_identity(tx, row)
    for table in _GOES_WITH_IT:
        tx.change(table.delete().where(table.c.account == row.id))
    fixed_network.give_back(tx, row.id)
    tx.change(account.account.delete().where(account.account.c.id == row.id))
    return {"name": row.name, "account": row.id}


def _living(tx: Tx, id: str) -> dict[str, int]:
    def count(table: sa.Table, there: sa.ColumnElement[bool]) -> int:
        return int(tx.value(sa.select(sa.func.count()).select_from(table).where(table.c.account == id, there)))

    return {what: count(table, there) for what, (table, there) in _LIVING.items()}


def _delete_identity(tx: Tx, row: Row) -> None:
    """What hangs on the account's users, groups, roles and policies, and has no column for the account."""
    mine = sa.select(entity.entity.c.id).where(entity.entity.c.account == row.id)
    arns = sa.select(policy.policy.c.arn).where(policy.policy.c.account == row.id)
    tx.change(policy.inline.delete().where(policy.inline.c.entity.in_(mine)))
    tx.change(entity.member.delete().where(entity.member.c.container.in_(mine)))
    tx.change(policy.version.delete().where(policy.version.c.arn.in_(arns)))


def usage(tx: Tx, config: Config, since: str, until: str) -> list[dict[str, Any]]:
    """What each account has used in a period, given in seconds since 1970; those that are gone by number."""
    try:
        moments = float(since), float(until)
    except ValueError:
        raise Failure(f"a period is two numbers of seconds since 1970, not {since} and {until}") from None
    names = {row.id: row.name for row in account.all(tx)}
    found = [{**one._asdict(), "name": names.get(one.account, "")} for one in instance_use.between(tx, *moments)]
    return sorted(found, key=lambda one: (one["name"], one["account"]))
