"""`cumulet service`: which roles run where, and whether they are heard."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import ago, show_json, show_table
from cumulet.lib.config import Config


@click.group()
def service() -> None:
    """The services: roles on hosts."""


@service.command("list", epilog="Example: cumulet service list")
@as_json
@settings
def list_services(config: Config, json: bool) -> None:
    """List the services, and whether they are heard. :-) was heard in the last 15 seconds, XXX was not."""
    with database(config) as opened, opened.read() as tx:
        values = services(tx)
    if json:
        show_json(values)
        return
    columns = ["binary", "host", "zone", "status", "state", "heard"]
    show_table(columns, [_row(one) for one in values])


def services(tx: Any) -> list[dict[str, Any]]:
    """Each service: binary, host, zone, enabled, alive, and the seconds since it was heard."""
    from cumulet.model import host

    return [
        {
            "binary": row.role,
            "host": row.host,
            "zone": row.zone,
            "enabled": bool(row.enabled),
            "alive": row.heard > tx.now - host.LIVE_SECONDS,
            "heard_seconds_ago": round(tx.now - row.heard, 1),
        }
        for row in host.services(tx)
    ]


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    status = "enabled" if one["enabled"] else "disabled"
    return (
        one["binary"],
        one["host"],
        one["zone"],
        status,
        ":-)" if one["alive"] else "XXX",
        ago(one["heard_seconds_ago"]),
    )
