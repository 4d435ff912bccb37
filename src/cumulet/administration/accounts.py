"""Accounts that come and go, and what accounts have used."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.administration import named
from cumulet.administration.desk import Desk, Named, Nothing
from cumulet.lib.config import Config
from cumulet.lib.config_rules import LONGEST_ACCOUNT
from cumulet.lib.errors import Failure
from cumulet.model import (
    Tx,
    account,
    address,
    bootstrap,
    bucket,
    certificate,
    client_token,
    entity,
    fixed_network,
    group,
    image,
    image_task,
    instance,
    instance_use,
    interface,
    key_pair,
    launch_template,
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
from cumulet.model.fixed_network import LARGEST, SMALLEST

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
    launch_template.version,
    launch_template.launch_template,
    placement_group.placement_group,
    policy.attachment,
    policy.policy,
    snapshot.snapshot_permission,
    subnet.subnet,
    tag.tag,
    vpc.vpc,
    entity.entity,
)


class New(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to be made; `vpc_cidr` is the range of its default VPC."""

    name: str
    administrator: bool = False
    vpc_cidr: str | None = None


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the account is an administrator's."""

    name: str
    administrator: bool


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when until when, in seconds since 1970."""

    since: float
    until: float


def listed(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each account: name, account (its number), canonical_id, administrator, and its active access_keys."""
    return [
        {
            "name": row.name,
            "account": row.id,
            "canonical_id": row.canonical_id,
            "administrator": bool(row.administrator),
            "access_keys": [key.id for key in account.all_keys(tx, row.id) if key.active],
        }
        for row in account.all(tx)
    ]


def create(desk: Desk, wanted: New) -> dict[str, Any]:
    """Make an account with a default VPC and a key; raises `Failure`."""
    name = wanted.name
    if not name.strip() or len(name) > LONGEST_ACCOUNT:
        raise Failure(f"an account's name has 1 to {LONGEST_ACCOUNT} characters; this one has {len(name.strip())}")
    _check_range(wanted.vpc_cidr)
    is_one, cidr = wanted.administrator, wanted.vpc_cidr
    try:
        with desk.database.write() as tx:
            made = bootstrap.create_account(tx, desk.config, name, administrator=is_one, cidr=cidr)
            key = account.keys(tx, made.id)[0]
            secret = account.secret(tx, key)
    except IntegrityError:
        raise Failure(f"the name {name} is taken: `cumulet account list` shows all of them") from None
    ids = {"name": name, "account": made.id, "canonical_id": made.canonical_id}
    return {**ids, "access_key": key.id, "secret_key": secret}


def _check_range(text: str | None) -> None:
    try:
        network = ipaddress.IPv4Network(text or "10.0.0.0/16")
    except ValueError as e:
        raise Failure(f"the range of a VPC is an IPv4 range, such as 10.0.0.0/16: {e}") from None
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise Failure(f"a VPC has a range of /16 to /28, not {network}")


def set_account(tx: Tx, config: Config, wanted: Setting) -> dict[str, Any]:
    """It holds from the next request on; raises `Failure`."""
    row = named(tx, wanted.name)
    if row.name == config.account and not wanted.administrator:
        raise Failure(f"{row.name} is the cloud's first account (the setting account): it stays its administrator's")
    account.revise(tx, row.id, administrator=wanted.administrator)
    return {"name": row.name, "account": row.id, "administrator": wanted.administrator}


def delete(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
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
    image_task.wake_of_account(tx, row.id)
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


def usage(tx: Tx, config: Config, wanted: Period) -> list[dict[str, Any]]:
    """What each account has used in a period; those that are gone by number."""
    names = {row.id: row.name for row in account.all(tx)}
    used = instance_use.between(tx, wanted.since, wanted.until)
    found = [{**one._asdict(), "name": names.get(one.account, "")} for one in used]
    return sorted(found, key=lambda one: (one["name"], one["account"]))
