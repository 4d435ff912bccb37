"""`cumulet host`: the machines of the cloud."""

from __future__ import annotations

import click

from cumulet.cli import joining


@click.group()
def host() -> None:
    """The hosts: machines that run agents."""


host.add_command(joining.add)
host.add_command(joining.remove)
