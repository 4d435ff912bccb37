"""`cumulet volume`: the volumes of all accounts, and where they are."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import say, show_json, show_table


@click.group()
def volume() -> None:
    """The volumes of all accounts."""


@volume.command("list", epilog="Example: cumulet volume list")
@as_json
@any_cloud
def list_volumes(cloud: Cloud, json: bool) -> None:
    """List the volumes: how large they are, on which host, and in which instance. Root disks are among them."""
    values = asking.ask(cloud, "ListVolumes")
    if json:
        show_json(values)
        return
    show_table(["volume", "account", "GiB", "state", "host", "attached to", "snapshots"], [_row(one) for one in values])


@volume.command(epilog="Example: cumulet volume delete vol-0123456789abcdef0")
@click.argument("id")
@as_json
@any_cloud
def delete(cloud: Cloud, id: str, json: bool) -> None:
    """Have a volume go that no instance has, with all that is on it. Whoever it belongs to."""
    say(asking.ask(cloud, "DeleteVolume", name=id), json)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    where = (
        f"{one['instance']} {one['device']} ({one['attachment']}{', exported' if one['exported'] else ''})"
        if one["instance"]
        else ""
    )
    snapshots = " ".join(one["snapshots"])
    state = f"{one['state']}{', encrypted' if one['encrypted'] else ''}"
    return one["id"], one["account"], str(one["size_gib"]), state, one["host"] or "", where, snapshots
