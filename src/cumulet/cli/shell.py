"""`cumulet shell`: Python with the cloud's configuration and database at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cumulet.cli.options import database, settings
from cumulet.lib.config import Config

BANNER = """\
config: the configuration; database: with database.read() as tx: tx.all(...); model: cumulet.model's modules.
What you write with database.write() is the truth at once: the running cloud makes it so."""


@click.command(epilog="Example: cumulet shell --script count.py")
@click.option("--script", type=click.Path(dir_okay=False, path_type=Path), help="Run this file instead.")
@settings
def shell(config: Config, script: Path | None) -> None:
    """Open a Python shell on the cloud's database. Or run a script there."""
    import code

    from cumulet import model
    from cumulet.model import tables

    with database(config) as opened:
        names: dict[str, Any] = {"config": config, "database": opened, "model": model, "tables": tables}
        if script is not None:
            exec(compile(script.read_text(), str(script), "exec"), names | {"__name__": "__main__"})
        else:
            code.interact(banner=BANNER, local=names, exitmsg="")
