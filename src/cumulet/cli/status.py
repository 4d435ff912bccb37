"""`cumulet status`: whether the cloud runs, what it has, and what is in trouble."""

from __future__ import annotations

from typing import Any

import click

from cumulet import __version__
from cumulet.cli import running
from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import show_json, show_table
from cumulet.cli.services_list import services
from cumulet.lib.config import Config


@click.command(epilog="Example: cumulet status --json")
@as_json
@settings
def status(config: Config, json: bool) -> None:
    """Show whether the cloud runs, its hosts, instances and troubles. Exit status 3: it does not run."""
    pid = running.pid(config.state_dir)
    values: dict[str, Any] = {
        "running": pid is not None,
        "pid": pid,
        "url": running.url(config.state_dir),
        "version": __version__,
        "state_dir": str(config.state_dir),
    }
    with database(config) as opened, opened.read() as tx:
        values |= _contents(tx)
    if json:
        show_json(values)
    else:
        _show(values)
    raise SystemExit(0 if pid is not None else 3)


def _contents(tx: Any) -> dict[str, Any]:
    import sqlalchemy as sa

    from cumulet.model import host, vpc_host
    from cumulet.model.instance import instance
    from cumulet.model.work import work

    counted = tx.all(sa.select(instance.c.state, sa.func.count()).group_by(instance.c.state))
    alive: dict[str, bool] = {}
    for one in services(tx):
        alive[one["host"]] = alive.get(one["host"], True) and one["alive"]
    troubled = tx.all(sa.select(work).where(work.c.tries > 0, work.c.error != "").order_by(work.c.kind, work.c.id))
    return {
        "hosts": [
            {"name": row.name, "vcpus": row.vcpus, "memory_mib": row.memory_mib, "disk_gib": row.disk_gib}
            | {"alive": alive.get(row.name, False)}
            for row in host.all(tx)
        ],
        "instances": {row[0]: row[1] for row in counted},
        "troubles": [{"kind": row.kind, "id": row.id, "tries": row.tries, "error": row.error} for row in troubled]
        + [{"kind": "vpc", "id": id, "tries": 0, "error": error} for id, error in vpc_host.cut_off(tx).items()],
    }


def _show(values: dict[str, Any]) -> None:
    where = f"runs at {values['url'] or '(starting)'}, pid {values['pid']}" if values["running"] else "does not run"
    click.echo(f"the cloud of {values['state_dir']} {where}; cumulet {values['version']}")
    instances = ", ".join(f"{number} {state}" for state, number in sorted(values["instances"].items()))
    click.echo(f"instances: {instances or 'none'}")
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
