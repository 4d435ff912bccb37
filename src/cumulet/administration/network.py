"""Networks and addresses of all accounts: fixed networks, pools of public addresses, and who has which address."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.administration.desk import Nothing
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import (
    Tx,
    account,
    address,
    address_pool,
    fixed_network,
    host,
    instance,
    interface,
    subnet,
    vlan,
    vpc,
)
from cumulet.model.address import ranges


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks to be cut from a range."""

    label: str
    range: str
    count: int = 1
    size: int = 256


class OnHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those on this host; None: on any."""

    host: str | None = None


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of addresses that is meant."""

    range: str


def networks(tx: Tx, config: Config, wanted: Nothing | None = None) -> list[dict[str, Any]]:
    """Each fixed network: cidr, label, the account whose default VPC has it, and the VLAN of that (or None)."""
    names, vlans = _names(tx), _vlans(tx)
    return [
        {
            "cidr": row.cidr,
            "label": row.label,
            "account": names.get(row.account) if row.account else None,
            "vlan": vlans.get(row.account),
        }
        for row in fixed_network.all(tx)
    ]


def create_networks(tx: Tx, config: Config, wanted: Cut) -> list[dict[str, Any]]:
    """Those that were made; raises `Failure`."""
    if wanted.count < 1:
        raise Failure(f"at least one network is made, not {wanted.count}")
    made = set(fixed_network.create(tx, wanted.label, wanted.range, wanted.count, wanted.size))
    return [one for one in networks(tx, config) if one["cidr"] in made]


def remove_network(tx: Tx, config: Config, wanted: Range) -> dict[str, Any]:
    fixed_network.remove(tx, wanted.range)
    return {"cidr": wanted.range}


def pools(tx: Tx, config: Config, wanted: Nothing | None = None) -> list[dict[str, Any]]:
    """Each range of public addresses: range, first, last, how many there are and are taken, and where it is from."""
    numbers = [row["number"] for row in public_addresses(tx, config)]
    made = {row.range for row in address_pool.made(tx)}
    found = []
    for text in address_pool.all(tx, config):
        ((first, last),) = ranges([text])
        found.append(
            {
                "range": text,
                "addresses": address_pool.shown(first, last),
                "size": last - first + 1,
                "taken": sum(first <= number <= last for number in numbers),
                "origin": "command" if text in made else "configuration",
            }
        )
    return found


def create_pool(tx: Tx, config: Config, wanted: Range) -> list[dict[str, Any]]:
    """All the pools, with the new one; raises `Failure`."""
    address_pool.create(tx, config, wanted.range)
    return pools(tx, config)


def remove_pool(tx: Tx, config: Config, wanted: Range) -> list[dict[str, Any]]:
    """All that are left; raises `Failure` for one that is not there, or has addresses that are taken."""
    found = {one["range"]: one for one in pools(tx, config)}
    if wanted.range not in found:
        raise Failure(f"there is no pool {wanted.range}; there are: {', '.join(found) or 'none'}")
    pool = found[wanted.range]
    if pool["origin"] == "configuration":
        raise Failure(f"the pool {wanted.range} is in the setting public_pool: it is removed there")
    if pool["taken"]:
        raise Failure(f"{pool['taken']} addresses of the pool {wanted.range} are taken: `cumulet address list`")
    address_pool.remove(tx, wanted.range)
    return pools(tx, config)


def public_addresses(tx: Tx, config: Config, wanted: Nothing | None = None) -> list[dict[str, Any]]:
    """Each public address that is taken: by which account, whether it stays the account's, and where it leads to."""
    names, nics = _names(tx), {row.id: row for row in tx.all(sa.select(interface.interface))}
    found = []
    for row in tx.all(sa.select(address.address)):
        nic = nics.get(row.interface)
        ((number, _),) = ranges([f"{row.public_ip}/32"])
        found.append(
            {
                "number": number,
                "address": row.public_ip,
                "account": names.get(row.account, row.account),
                "allocation": row.allocation,
                "instance": nic.instance if nic is not None else None,
                "host": nic.host if nic is not None else None,
            }
        )
    return sorted(found, key=lambda one: one["number"])


def interfaces(tx: Tx, config: Config, wanted: OnHost) -> list[dict[str, Any]]:
    """Each network interface (on a host): its fixed address, MAC, network and instance; raises `Failure`."""
    on = wanted.host
    if on is not None and host.find(tx, on) is None:
        raise Failure(f"there is no host {on}; `cumulet host list` shows all of them")
    names, nic = _names(tx), interface.interface
    query = (
        sa.select(nic, subnet.subnet.c.cidr, instance.instance.c.state)
        .join(subnet.subnet, subnet.subnet.c.id == nic.c.subnet)
        .join(instance.instance, instance.instance.c.id == nic.c.instance, isouter=True)
        .order_by(nic.c.host, nic.c.account, nic.c.created, nic.c.id)
    )
    return [
        {
            "id": row.id,
            "network": row.cidr,
            "address": row.ip,
            "mac": row.mac,
            "hostname": f"ip-{row.ip.replace('.', '-')}",
            "account": names.get(row.account, row.account),
            "instance": row.instance,
            "state": row.state,
            "host": row.host,
        }
        for row in tx.all(query.where(nic.c.host == on) if on is not None else query)
    ]


def _vlans(tx: Tx) -> dict[str, int]:
    """Account to the VLAN of its default VPC."""
    query = sa.select(vpc.vpc.c.account, vlan.vlan.c.number).join(vlan.vlan, vlan.vlan.c.vpc == vpc.vpc.c.id)
    return {row.account: row.number for row in tx.all(query.where(vpc.vpc.c.is_default))}


def _names(tx: Tx) -> dict[str, str]:
    return {row.id: row.name for row in account.all(tx)}
