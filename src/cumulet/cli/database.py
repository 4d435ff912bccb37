"""`cumulet db`: the versions of the database's tables."""

from __future__ import annotations

import click

from cumulet.cli.options import as_json, database, empty_or_not, settings
from cumulet.cli.output import progress, show_json
from cumulet.lib.config import Config


@click.group()
def db() -> None:
    """The versions of the database's tables."""


@db.command(epilog="Example: cumulet db sync")
@as_json
@settings
def sync(config: Config, json: bool) -> None:
    """Bring the tables to this program's version. Says from which to which."""
    from cumulet.model import migrate

    with empty_or_not(config) as opened, progress("changing the tables"):
        before, after = migrate.upgrade(opened)
    if json:
        show_json({"before": before, "after": after})
    else:
        click.echo(f"{before or 'no tables'} -> {after}" if before != after else f"{after} already: nothing to do")


@db.command(epilog="Example: cumulet db version")
@as_json
@settings
def version(config: Config, json: bool) -> None:
    """Print the version of the tables and that of this program."""
    from cumulet.model import migrate

    with database(config) as opened:
        found = migrate.version(opened)
    if json:
        show_json({"version": found, "known": migrate.newest()})
    else:
        click.echo(f"{found or 'no version'}; this program knows up to {migrate.newest()}")
