"""`cumulet doctor`: whether this host can run a cloud, and what to do where it cannot."""

from __future__ import annotations

import click

from cumulet.cli.options import as_json, settings
from cumulet.cli.output import progress, show_json, show_table
from cumulet.lib.config import Config


@click.command(epilog="Example: cumulet doctor")
@as_json
@settings
def doctor(config: Config, json: bool) -> None:
    """Check this host, part by part. Exit status 1: there is a problem."""
    raise SystemExit(1 if problems(config, json=json) else 0)


def problems(config: Config, *, json: bool = False) -> bool:
    """Show what the checks find; whether there is a problem."""
    from cumulet.cli import checks

    found = []
    with progress("checking") as bar:
        for number, check in enumerate(checks.ALL):
            bar.say(f"checking {check.__name__.replace('_', ' ')}")
            bar.reach(number, len(checks.ALL))
            found += checks.guarded(check, config)
    if json:
        show_json([one._asdict() for one in found])
    else:
        show_table(["part", "", "found", "what to do"], found)
    return any(one.level == "problem" for one in found)
