"""`cumulet env`: what makes the aws command and boto3 use this cloud."""

from __future__ import annotations

import shlex

import click

from cumulet.cli import running
from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import show_json
from cumulet.lib.config import Config


@click.command(epilog='Example: eval "$(cumulet env --account bob)"')
@click.option("--account", "name", help="Whose keys; the first account's by default.")
@click.option("--user", default="", help="The keys of this user of the account, not of its root.")
@as_json
@settings
def env(config: Config, name: str | None, user: str, json: bool) -> None:
    """Print the export lines that make aws and boto3 use this cloud."""
    from msgspec.structs import replace

    running_at = running.url(config.state_dir)
    config = replace(config, region=running.region(config.state_dir) or config.region)
    values = exports(config, running_at or running.would_be_at(config), name, user)
    if running_at is None:
        url = values["AWS_ENDPOINT_URL"]
        click.echo(f"cumulet: no cloud runs for {config.state_dir}; it would be at {url}", err=True)
    if json:
        show_json(values)
    else:
        click.echo("\n".join(f"export {key}={shlex.quote(value)}" for key, value in values.items()))


def exports(config: Config, url: str, name: str | None = None, user: str = "") -> dict[str, str]:
    """The AWS_… variables for an account's root, or for its user; raises `Failure` when there is no such, or no key."""
    from cumulet.administration.credentials import key_of

    with database(config) as opened, opened.read() as tx:
        _, key, secret = key_of(tx, name or config.account, user)
    return {
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
        "AWS_ENDPOINT_URL": url,
    }
