"""Instances of all accounts, the types that they have, zones, and what a host has for whom."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.administration.desk import Named, Nothing
from cumulet.control import hosts
from cumulet.lib.config import Config
from cumulet.lib.config_rules import NAME
from cumulet.lib.errors import Failure
from cumulet.lib.zones import zone_id
from cumulet.model import Tx, account, address, host, instance, instance_type, interface, volume, work
from cumulet.model.explanation import explain


class Type(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instance type as it is to be."""

    name: str
    vcpus: int
    memory_mib: int
    requires: dict[str, str] = {}


def types(tx: Tx, config: Config, wanted: Nothing | None = None) -> list[dict[str, Any]]:
    """Each instance type that is offered: name, vcpus, memory_mib, requires, and where it is from."""
    own = {row.name for row in instance_type.rows(tx)}
    return [
        {
            "name": kind.name,
            "vcpus": kind.vcpus,
            "memory_mib": kind.memory_mib,
            "requires": kind.requires,
            "origin": _origin(kind.name, own, config),
        }
        for kind in instance_type.catalogue(tx, config).values()
    ]


def _origin(name: str, own: set[str], config: Config) -> str:
    if name in own:
        return "command"
    return "configuration" if name in config.instance_types else "standard"


def put_type(tx: Tx, config: Config, wanted: Type) -> dict[str, Any]:
    """Offer a type, in place of the one of this name; instances have what they were given. Raises `Failure`."""
    if not NAME.fullmatch(wanted.name) or len(wanted.name) > 32:
        raise Failure(f"a type's name has 1 to 32 letters, digits, '_', '.' or '-', and {wanted.name!r} is not so")
    if wanted.vcpus < 1 or wanted.memory_mib < 1:
        raise Failure("a type has at least 1 vCPU and 1 MiB of memory")
    values = {"vcpus": wanted.vcpus, "memory_mib": wanted.memory_mib, "requires": wanted.requires, "offered": True}
    instance_type.put(tx, wanted.name, **values)
    return next(one for one in types(tx, config) if one["name"] == wanted.name)


def remove_type(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Offer it no more; instances of it stay as they are, and can be started. Raises `Failure`."""
    if wanted.name not in instance_type.catalogue(tx, config):
        raise Failure(f"there is no instance type {wanted.name}: `cumulet type list` shows all of them")
    instance_type.put(tx, wanted.name, vcpus=0, memory_mib=0, requires={}, offered=False)
    return {"name": wanted.name}


def restore_type(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Offer what the program and its configuration have under this name, or nothing. Raises `Failure`."""
    if not instance_type.forget(tx, wanted.name):
        raise Failure(f"no command has changed the instance type {wanted.name}")
    return {"name": wanted.name}


def zones(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each zone: name, id, whether a host that is alive and enabled serves it, and the hosts."""
    served, listed = host.served_zones(tx), hosts.listed(tx, config)
    return [
        {
            "name": zone,
            "id": zone_id(config.region, zone),
            "available": zone in served,
            "hosts": [one["name"] for one in listed if zone in one["zones"]],
        }
        for zone in config.zone_names()
    ]


def instances(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each instance of any account, terminated ones while they are visible."""
    names = {row.id: row.name for row in account.all(tx)}
    nics: dict[str, Any] = {}
    for nic in tx.all(sa.select(interface.interface).order_by(interface.interface.c.device_index.desc())):
        nics[nic.instance] = nic
    public = {row.interface: row.public_ip for row in tx.all(sa.select(address.address)) if row.interface}
    table = instance.instance
    rows = tx.all(sa.select(table).order_by(table.c.created, table.c.reservation, table.c.launch_index))
    return [
        {
            "id": row.id,
            "account": names.get(row.account, row.account),
            "host": row.host,
            "type": row.type,
            "state": row.state,
            "zone": row.zone,
            "launched": row.launched or row.created,
            "image": row.image,
            "address": nics[row.id].ip if row.id in nics else None,
            "public_address": public.get(nics[row.id].id) if row.id in nics else None,
            "launch_index": row.launch_index,
            "reason": row.reason,
        }
        for row in rows
    ]


def reset(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Forget how often a thing, or a part that it waits for, has failed, and have it looked at now.

    Raises `Failure` for what is not there.
    """
    found = explain(tx, wanted.name)
    parts = [(found["kind"], found["id"]), *((part["kind"], part["id"]) for part in found["waits_for"])]
    for kind, id in parts:
        mine = sa.and_(work.work.c.kind == kind, work.work.c.id == id)
        tx.change(work.work.update().where(mine).values(tries=0, error=""))
        work.wake(tx, kind, id)
    return {"id": found["id"], "woken": [id for _, id in parts]}


def resources(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """What a host may promise and has promised, and how much of that to which account; raises `Failure`."""
    found = hosts.one(tx, config, wanted.name)
    names = {row.id: row.name for row in account.all(tx)}
    accounts: dict[str, dict[str, float]] = {}
    for row in instance.on_host(tx, wanted.name):
        mine = accounts.setdefault(names.get(row.account, row.account), {"instances": 0, **_NOTHING})
        mine["instances"] += 1
        if row.claimed:
            mine["vcpus"] += row.vcpus
            mine["memory_mib"] += row.memory_mib
    for disk in tx.all(sa.select(volume.volume).where(volume.volume.c.host == wanted.name)):
        mine = accounts.setdefault(names.get(disk.account, disk.account), {"instances": 0, **_NOTHING})
        mine["disk_gib"] += disk.size_gib
    return {**found, "accounts": [{"account": key, **accounts[key]} for key in sorted(accounts)]}


_NOTHING = {"vcpus": 0, "memory_mib": 0, "disk_gib": 0}
