"""`cumulet instance`, `type` and `zone`: what runs, what may be run, and where."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json, pairs
from cumulet.cli.output import progress, say, show, show_json
from cumulet.lib.errors import Failure

STATES = ("pending", "running", "stopping", "stopped", "shutting-down", "terminated")


@click.group()
def instance() -> None:
    """The instances of all accounts."""


@click.group()
def type_() -> None:
    """The instance types: what may be run."""


@click.group()
def zone() -> None:
    """Availability zones, and their hosts."""


@instance.command("list", epilog="Example: cumulet instance list --state running")
@click.option("--account", help="Those of this account.")
@click.option("--host", help="Those on this host.")
@click.option("--state", metavar="STATE", type=click.Choice(STATES), help="Those in this state, such as running.")
@as_json
@any_cloud
def list_instances(cloud: Cloud, json: bool, **only: str | None) -> None:
    """List the instances: account, host, type, state, addresses."""
    for kind in ("account", "host"):
        asking.must_be(cloud, kind, only[kind])
    wanted = {key: value for key, value in only.items() if value is not None}
    found = [
        one for one in asking.ask(cloud, "ListInstances") if all(one[key] == value for key, value in wanted.items())
    ]
    shown = ["account", "host", "type", "state", "zone", "address", "public_address"]
    columns = ["instance", *(name.replace("_", " ") for name in shown), "launched"]
    show(found, json, columns, lambda one: (one["id"], *(one[name] for name in shown), _moment(one["launched"])))


@instance.command(epilog="Example: cumulet instance reset i-0123456789abcdef0")
@click.argument("id")
@as_json
@any_cloud
def reset(cloud: Cloud, id: str, json: bool) -> None:
    """Forget the failures of an instance and have it looked at now. With each part that it waits for."""
    found = asking.ask(cloud, "ResetInstance", name=id)
    if json:
        show_json(found)
    else:
        click.echo(f"woken: {' '.join(found['woken'])}")


@instance.command(epilog="Example: cumulet instance migrate i-0123456789abcdef0 --to h2")
@click.argument("id")
@click.option("--to", default="", metavar="HOST", help="The host; by default the one that would be chosen for it now.")
@click.option("--cold", is_flag=True, help="Stop it, and start it there, though it could go on running.")
@click.option("--cancel", is_flag=True, help="End a move that is under way: it stays on the host that it is on.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is there.")
@as_json
@any_cloud
def migrate(cloud: Cloud, id: str, to: str, cold: bool, cancel: bool, no_wait: bool, json: bool) -> None:
    """Move an instance and its disks to another host. One that runs goes on running, with its connections."""
    if cancel:
        if to or cold:
            raise click.UsageError("--cancel ends a move, and goes with neither --to nor --cold.")
        _cancel(cloud, id, no_wait=no_wait, json=json)
        return
    found = asking.ask(cloud, "MigrateInstance", id=id, to=to, **({"cold": True} if cold else {}))
    if not no_wait:
        _wait_until_moved(cloud, id, f"{id} moves from {found['from']} to {found['to']}")
    if json:
        show_json(found)
    elif no_wait:
        click.echo(f"{id} is moved from {found['from']} to {found['to']}: `cumulet explain {id}` says how far that is")
    else:
        click.echo(f"{id} is on {found['to']}")


def _cancel(cloud: Cloud, id: str, *, no_wait: bool, json: bool) -> None:
    """Raises `Failure` where it was there before that could be."""
    found = asking.ask(cloud, "CancelMove", name=id)
    if not no_wait and _when_moved(cloud, id, f"{id} stays on {found['host']}")["host"] != found["host"]:
        raise Failure(f"{id} has moved before it could be ended, and is on {found['was_to']}")
    if json:
        show_json(found)
    else:
        click.echo(f"{id} stays on {found['host']}")


def _wait_until_moved(cloud: Cloud, id: str, text: str) -> None:
    """Raises `Failure` with the reason where it stays."""
    now = _when_moved(cloud, id, text)
    if now["not_moved"]:
        raise Failure(f"{id} was not moved, and is on {now['host']} as before: {now['not_moved']}")


def _when_moved(cloud: Cloud, id: str, text: str) -> dict[str, Any]:
    """What is told of a move that has come to its end, one way or the other."""
    with progress(text) as bar:
        while True:
            now: dict[str, Any] = asking.ask(cloud, "GetMove", name=id)
            if not now["moving_to"]:
                return now
            if now["live"]:
                bar.reach(now["percent"], 100)
            time.sleep(0.5)


@type_.command("list", epilog="Example: cumulet type list")
@as_json
@any_cloud
def list_types(cloud: Cloud, json: bool) -> None:
    """List the instance types, and where each is from."""
    show(asking.ask(cloud, "ListTypes"), json, TYPE, _type)


@type_.command("add", epilog="Example: cumulet type add i1.large 4 16384 ssd=true")
@click.argument("name")
@click.argument("vcpus", type=click.IntRange(1))
@click.argument("memory_mib", type=click.IntRange(1), metavar="MIB")
@click.argument("requires", nargs=-1, metavar="KEY=VALUE...")
@as_json
@any_cloud
def add_type(cloud: Cloud, name: str, vcpus: int, memory_mib: int, requires: tuple[str, ...], json: bool) -> None:
    """Offer an instance type. Or change one; KEY=VALUE are attributes that a host must have."""
    values = {"name": name, "vcpus": vcpus, "memory_mib": memory_mib, "requires": pairs(requires)}
    show([asking.ask(cloud, "PutType", **values)], json, TYPE, _type)


@type_.command("remove", epilog="Example: cumulet type remove m5.24xlarge")
@click.argument("name")
@as_json
@any_cloud
def remove_type(cloud: Cloud, name: str, json: bool) -> None:
    """Offer an instance type no more. Instances of it stay as they are."""
    say(asking.ask(cloud, "RemoveType", name=name), json)


@type_.command("restore", epilog="Example: cumulet type restore m5.24xlarge")
@click.argument("name")
@as_json
@any_cloud
def restore_type(cloud: Cloud, name: str, json: bool) -> None:
    """Undo what `add` and `remove` have done with a name."""
    say(asking.ask(cloud, "RestoreType", name=name), json)


@zone.command("list", epilog="Example: cumulet zone list")
@as_json
@any_cloud
def list_zones(cloud: Cloud, json: bool) -> None:
    """List the zones, whether they are served, and by which hosts."""
    found = asking.ask(cloud, "ListZones")
    show(found, json, ["zone", "id", "state", "hosts"], _zone)


TYPE = ["type", "vcpus", "memory MiB", "requires", "from"]


def _type(one: dict[str, Any]) -> tuple[Any, ...]:
    requires = " ".join(f"{key}={value}" for key, value in sorted(one["requires"].items()))
    return one["name"], one["vcpus"], one["memory_mib"], requires, one["origin"]


def _zone(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["name"], one["id"], "available" if one["available"] else "impaired", " ".join(one["hosts"])


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"
