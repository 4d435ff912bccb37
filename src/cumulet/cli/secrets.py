"""`cumulet account rotate-key`: a new key for what rests sealed in the database."""

from __future__ import annotations

import click

from cumulet.cli.options import database, settings
from cumulet.lib.config import Config

LONGEST_REQUEST = 2.0


@click.command("rotate-key", epilog="Example: cumulet account rotate-key")
@settings
def rotate_key(config: Config) -> None:
    """Make a new key for secrets, and seal all again. The cloud may run meanwhile. Temporary credentials end."""
    from cumulet.model import secret

    with database(config) as opened:
        opened.keys.add()
        for pause in (0.0, LONGEST_REQUEST):  # again for a request that had sealed with the older key already
            opened.clock.sleep(pause)
            with opened.write() as tx:
                count = secret.seal_again(tx)
        opened.keys.forget_older()
    click.echo(f"{count} secrets are sealed with the new key")
