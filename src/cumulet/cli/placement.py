"""`cumulet placement`: why an instance is where it is, or nowhere."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show_json, show_table


@click.group()
def placement() -> None:
    """Placement: which host an instance is given."""


@placement.command(epilog="Example: cumulet placement why i-0123456789abcdef0")
@click.argument("id")
@as_json
@any_cloud
def why(cloud: Cloud, id: str, json: bool) -> None:
    """Say why an instance is where it is. Or nowhere; and for each host what bars it from there."""
    found = asking.ask(cloud, "GetPlacement", name=id)
    if json:
        show_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    wanted = found["wanted"]
    asks = f"{wanted['vcpus']:g} vCPUs, {wanted['memory_mib']:g} MiB of memory, {wanted['disk_gib']:g} GiB of disk"
    click.echo(f"{found['id']} ({found['state']}) is a {found['type']} in {found['zone']}: {asks}")
    if found["host"]:
        click.echo(f"it is on {found['host']}: {found['because'] or 'unknown why'}")
    if found["reason"]:
        click.echo(found["reason"])
    click.echo()
    columns = ["host", "would it do", "vcpus left", "memory MiB left", "disk GiB left"]
    show_table(columns, [_row(one, found["host"]) for one in found["hosts"]])


def _row(one: dict[str, Any], here: str | None) -> tuple[str, ...]:
    verdict = f"no: {one['barred']}" if one["barred"] else "yes"
    left = (f"{one[part]:.10g}" for part in ("vcpus", "memory_mib", "disk_gib"))
    return one["host"], f"it is here; {verdict}" if one["host"] == here else verdict, *left
