"""`cumulet usage`: what accounts have used in a period."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show

MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.command(epilog="Example: cumulet usage --since 2026-01-01 --until 2026-02-01")
@click.option("--since", type=MOMENT, help="From when on (UTC); by default the first of this month.")
@click.option("--until", type=MOMENT, help="Until when (UTC); by default now.")
@click.option("--account", help="Of this account.")
@as_json
@any_cloud
def usage(cloud: Cloud, since: datetime | None, until: datetime | None, account: str | None, json: bool) -> None:
    """Show how long each account's instances have run. In instance-hours, vCPU-hours and GiB-hours of memory."""
    asking.must_be(cloud, "account", account)
    now = datetime.now(UTC)
    begun = (since or now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)).replace(tzinfo=UTC)
    ended = until.replace(tzinfo=UTC) if until is not None else now
    found = asking.ask(cloud, "GetUsage", since=begun.timestamp(), until=ended.timestamp())
    chosen = [one for one in found if account is None or account in (one["name"], one["account"])]
    hours = ["instance_hours", "vcpu_hours", "memory_gib_hours"]
    show(
        chosen,
        json,
        ["account", "number", "instances", "instance-hours", "vCPU-hours", "GiB-hours"],
        lambda one: (one["name"], one["account"], one["instances"], *(f"{one[part]:.3f}" for part in hours)),
    )
