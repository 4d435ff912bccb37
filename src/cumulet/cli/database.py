"""`cumulet db`: the versions of the database's tables, and a look into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cumulet.cli.options import as_json, database, empty_or_not, settings
from cumulet.cli.output import progress, show_json
from cumulet.lib.config import Config


@click.group()
def db() -> None:
    """The database: the versions of its tables, and Python on it."""


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


BANNER = """\
config: the configuration; database: with database.read() as tx: tx.all(...); model: cumulet.model's modules.
What you write with database.write() is the truth at once: the running cloud makes it so."""


@db.command("shell", epilog="Example: cumulet db shell --script count.py")
@click.option("--script", type=click.Path(dir_okay=False, path_type=Path), help="Run this file instead.")
@settings
def shell(config: Config, script: Path | None) -> None:
    """Open a Python shell on the cloud's database. Or run a script there."""
    from cumulet import model
    from cumulet.cli.shell import talk
    from cumulet.model import tables

    with database(config) as opened:
        names: dict[str, Any] = {"config": config, "database": opened, "model": model, "tables": tables}
        talk(BANNER, names, script)
