"""`cumulet status`: whether the cloud runs, what it has, and what is in trouble."""

from __future__ import annotations

from typing import Any

import click

from cumulet import __version__
from cumulet.cli import asking, running
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show_json, show_table


@click.command(epilog="Example: cumulet status --json")
@as_json
@any_cloud
def status(cloud: Cloud, json: bool) -> None:
    """Show whether the cloud runs, its hosts, instances and troubles. Exit status 3: it does not run."""
    asked = asking.whom(cloud)
    state = cloud.config.state_dir
    pid = running.pid(state) if asked is None or asked[0] == running.url(state) else None
    runs = pid is not None or asked is not None
    values: dict[str, Any] = {
        "running": runs,
        "pid": pid,
        "url": asked[0] if asked is not None else None,
        "version": __version__,
        "state_dir": str(state) if pid is not None or asked is None else "",
    }
    values |= asking.ask(cloud, "GetStatus")
    if json:
        show_json(values)
    else:
        _show(values)
    raise SystemExit(0 if runs else 3)


def _show(values: dict[str, Any]) -> None:
    which = f"the cloud of {values['state_dir']}" if values["state_dir"] else "the cloud"
    where = f"runs at {values['url'] or '(starting)'}" if values["running"] else "does not run"
    process = f", pid {values['pid']}" if values["pid"] is not None else ""
    click.echo(f"{which} {where}{process}; cumulet {values['version']}")
    instances = ", ".join(f"{number} {state}" for state, number in sorted(values["instances"].items()))
    click.echo(f"instances: {instances or 'none'}")
    if vlans := values["vlans"]:
        click.echo(f"VLANs: {len(vlans)}, numbers {min(vlans.values())} to {max(vlans.values())}")
    if values["hosts"]:
        click.echo()
        columns = ["host", "state", "vcpus", "memory MiB", "disk GiB"]
        hosts = [
            (one["name"], ":-)" if one["alive"] else "XXX", one["vcpus"], one["memory_mib"], one["disk_gib"])
            for one in values["hosts"]
        ]
        show_table(columns, hosts)
    if values["troubles"]:
        click.echo("\nin trouble, tried so often in vain (`cumulet explain ID` says more):")
        rows = [(one["kind"], one["id"], one["tries"], one["error"]) for one in values["troubles"]]
        show_table(["kind", "id", "tries", "error"], rows)
