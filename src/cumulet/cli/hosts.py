"""`cumulet host`: the machines that guests run on, and what the operator says of them."""

from __future__ import annotations

import time
from typing import Any

import click

from cumulet.cli import asking, joining
from cumulet.cli.options import Cloud, any_cloud, as_json, pairs
from cumulet.cli.output import progress, show_json, show_table


@click.group()
def host() -> None:
    """The hosts: machines that run guests."""


host.add_command(joining.add)
host.add_command(joining.remove)


@host.command("list", epilog="Example: cumulet host list")
@as_json
@any_cloud
def list_hosts(cloud: Cloud, json: bool) -> None:
    """List the hosts, what they have promised, and their attributes."""
    _show(asking.ask(cloud, "ListHosts"), json)


@host.command("show", epilog="Example: cumulet host show h2")
@click.argument("name")
@as_json
@any_cloud
def show_host(cloud: Cloud, name: str, json: bool) -> None:
    """Show what a host has promised to which account."""
    found = asking.ask(cloud, "GetHost", name=name)
    if json:
        show_json(found)
        return
    parts = ("vcpus", "memory_mib", "disk_gib")
    whole = [("all it may promise", "", found["limit"]), ("all it has promised", "", found["used"])]
    rows = [*whole, *((one["account"], one["instances"], one) for one in found["accounts"])]
    columns = ["account", "instances", "vcpus", "memory MiB", "disk GiB"]
    show_table(columns, [(name, count, *(f"{one[part]:.10g}" for part in parts)) for name, count, one in rows])


@host.command(epilog="Example: cumulet host enable h2")
@click.argument("name")
@as_json
@any_cloud
def enable(cloud: Cloud, name: str, json: bool) -> None:
    """Place new instances and volumes on the host again."""
    _show([asking.ask(cloud, "ChangeHost", name=name, enabled=True)], json)


@host.command(epilog="Example: cumulet host disable h2")
@click.argument("name")
@as_json
@any_cloud
def disable(cloud: Cloud, name: str, json: bool) -> None:
    """Place no new instances and volumes on the host. Those that are there stay, and can be started again."""
    _show([asking.ask(cloud, "ChangeHost", name=name, enabled=False)], json)


@host.command(epilog="Example: cumulet host drain h2")
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Do not wait until the host is empty.")
@as_json
@any_cloud
def drain(cloud: Cloud, name: str, no_wait: bool, json: bool) -> None:
    """Disable a host and move all from it: instances, which go on running if they can, and volumes. Snapshots stay."""
    found = asking.ask(cloud, "DrainHost", name=name)
    if not no_wait:
        _wait_until_moved(cloud, name, {one["id"] for one in found["moved"]})
    found |= {"left": asking.ask(cloud, "GetHostContents", name=name)}
    if json:
        show_json(found)
        return
    show_table(["moved", "to"], [(one["id"], one["to"]) for one in found["moved"]])
    for id, why in found["stays"].items():
        click.echo(f"{id} stays: {why}", err=True)
    if found["left"]["snapshots"]:
        click.echo(f"snapshots stay: {' '.join(found['left']['snapshots'])}", err=True)


def _wait_until_moved(cloud: Cloud, name: str, moved: set[str]) -> None:
    with progress(f"moving {len(moved)} things from {name}") as bar:
        while True:
            left = asking.ask(cloud, "GetHostContents", name=name)
            there = moved & {*left["instances"], *left["volumes"]}
            bar.reach(len(moved) - len(there), len(moved))
            if not there:
                return
            time.sleep(0.5)


@host.command("set", epilog="Example: cumulet host set h2 rack=r1 ssd=true")
@click.argument("name")
@click.argument("attributes", nargs=-1, required=True, metavar="KEY=VALUE...")
@as_json
@any_cloud
def set_attributes(cloud: Cloud, name: str, attributes: tuple[str, ...], json: bool) -> None:
    """Give the host attributes. rack=r1, dedicated_to=ACCOUNT, or any other; KEY= takes one away."""
    _show([asking.ask(cloud, "ChangeHost", name=name, attributes=pairs(attributes))], json)


def _show(found: list[dict[str, Any]], json: bool) -> None:
    if json:
        show_json(found)
        return
    columns = ["host", "zones", "status", "state", "vcpus", "memory MiB", "disk GiB", "attributes"]
    show_table(columns, [_row(one) for one in found])


def _state(one: dict[str, Any]) -> str:
    if one["lost"]:
        return "lost"
    if not one["alive"]:
        return "XXX"
    return "other version" if one["gap"] else ":-)"


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    parts = ("vcpus", "memory_mib", "disk_gib")
    return (
        one["name"],
        " ".join(one["zones"]),
        "enabled" if one["enabled"] else "disabled",
        _state(one),
        *(f"{one['used'][part]:g} of {one['limit'][part]:.10g}" for part in parts),
        " ".join(f"{key}={value}" for key, value in sorted(one["attributes"].items())),
    )
