"""`cumulet completion`: the script that makes a shell complete our commands and options."""

from __future__ import annotations

import click


@click.command(epilog='Example: eval "$(cumulet completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion script for this command."""
    from click.shell_completion import get_completion_class

    from cumulet.cli import cumulet

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cumulet, {}, "cumulet", "_CUMULET_COMPLETE").source())
