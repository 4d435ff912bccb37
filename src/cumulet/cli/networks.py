"""`cumulet network`, `pool`, `address` and `interface`: ranges that the operator gives, and who has which address."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import say, show

NETWORK = ["network", "label", "account", "VLAN"]
POOL = ["range", "addresses", "taken", "of", "from"]


@click.group()
def network() -> None:
    """Fixed networks: the ranges of new accounts' default VPCs."""


@click.group()
def pool() -> None:
    """Pools of public addresses."""


@click.group()
def address() -> None:
    """The public addresses of all accounts."""


@click.group()
def interface() -> None:
    """The network interfaces of all accounts."""


@network.command("create", epilog="Example: cumulet network create private 10.0.0.0/8 --size 64 --count 10")
@click.argument("label")
@click.argument("range")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many to cut.")
@click.option("--size", type=click.IntRange(16), default=256, show_default=True, help="Addresses of each.")
@as_json
@any_cloud
def create_networks(cloud: Cloud, label: str, range: str, count: int, size: int, json: bool) -> None:
    """Cut networks from a range. From now on a new account's default VPC gets the lowest that is free."""
    found = asking.ask(cloud, "CreateNetworks", label=label, range=range, count=count, size=size)
    show(found, json, NETWORK, _network)


@network.command("list", epilog="Example: cumulet network list")
@as_json
@any_cloud
def list_networks(cloud: Cloud, json: bool) -> None:
    """List the networks, and which account has each."""
    show(asking.ask(cloud, "ListNetworks"), json, NETWORK, _network)


@network.command("remove", epilog="Example: cumulet network remove 10.0.0.64/26")
@click.argument("range")
@as_json
@any_cloud
def remove_network(cloud: Cloud, range: str, json: bool) -> None:
    """Remove a network that no account has."""
    say(asking.ask(cloud, "RemoveNetwork", range=range), json)


@pool.command("create", epilog="Example: cumulet pool create 198.51.100.32/27")
@click.argument("range")
@as_json
@any_cloud
def create_pool(cloud: Cloud, range: str, json: bool) -> None:
    """Take public addresses from a range, too. A CIDR, less its network and broadcast addresses, or FIRST-LAST."""
    show(asking.ask(cloud, "CreatePool", range=range), json, POOL, _pool)


@pool.command("list", epilog="Example: cumulet pool list")
@as_json
@any_cloud
def list_pools(cloud: Cloud, json: bool) -> None:
    """List the ranges that public addresses are taken from."""
    show(asking.ask(cloud, "ListPools"), json, POOL, _pool)


@pool.command("remove", epilog="Example: cumulet pool remove 198.51.100.32/27")
@click.argument("range")
@as_json
@any_cloud
def remove_pool(cloud: Cloud, range: str, json: bool) -> None:
    """Take no addresses from a range any more. None of it may be taken."""
    show(asking.ask(cloud, "RemovePool", range=range), json, POOL, _pool)


@address.command("list", epilog="Example: cumulet address list")
@as_json
@any_cloud
def list_addresses(cloud: Cloud, json: bool) -> None:
    """List the public addresses that are taken, and where they lead to."""
    columns = ["address", "account", "allocation", "instance", "host"]
    show(asking.ask(cloud, "ListAddresses"), json, columns, lambda one: tuple(one[column] for column in columns))


@interface.command("list", epilog="Example: cumulet interface list --host h1")
@click.option("--host", help="Those on this host.")
@as_json
@any_cloud
def list_interfaces(cloud: Cloud, host: str | None, json: bool) -> None:
    """List the network interfaces: fixed address, MAC, account, instance, host."""
    columns = ["network", "address", "mac", "hostname", "account", "instance", "host"]
    found = asking.ask(cloud, "ListInterfaces", host=host)
    show(found, json, ["interface", *columns], lambda one: (one["id"], *(one[column] for column in columns)))


def _network(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["cidr"], one["label"], one["account"], one["vlan"]


def _pool(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["range"], one["addresses"], one["taken"], one["size"], one["origin"]
