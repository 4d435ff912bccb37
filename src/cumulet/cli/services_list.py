"""`cumulet service`: which roles run where, and whether they are heard."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import ago, show_json, show_table


@click.group()
def service() -> None:
    """The services: roles on hosts."""


@service.command("list", epilog="Example: cumulet service list")
@as_json
@any_cloud
def list_services(cloud: Cloud, json: bool) -> None:
    """List the services, and whether they are heard. :-) was heard in the last 15 seconds, XXX was not.

    Those whose contract (version) is too far from the control plane's get no new work: upgrade the older.
    """
    values = asking.ask(cloud, "ListServices")
    if json:
        show_json(values)
        return
    columns = ["binary", "host", "zone", "status", "state", "heard", "contract"]
    show_table(columns, [_row(one) for one in values])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    status = "enabled" if one["enabled"] else "disabled"
    return (
        one["binary"],
        one["host"],
        one["zone"],
        status,
        ":-)" if one["alive"] else "XXX",
        ago(one["heard_seconds_ago"]),
        f"{one['contract']}: {one['gap']}" if one["gap"] else str(one["contract"]),
    )
