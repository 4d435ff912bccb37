"""`cumulet env`: what makes the aws command and boto3 use this cloud."""

from __future__ import annotations

import shlex

import click

from cumulet.cli import running
from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import show_json
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure


@click.command(epilog='Example: eval "$(cumulet env --account bob)"')
@click.option("--account", "name", help="Whose keys; the first account's by default.")
@as_json
@settings
def env(config: Config, name: str | None, json: bool) -> None:
    """Print the export lines that make aws and boto3 use this cloud."""
    from msgspec.structs import replace

    running_at = running.url(config.state_dir)
    config = replace(config, region=running.region(config.state_dir) or config.region)
    values = exports(config, running_at or _would_be_at(config), name)
    if running_at is None:
        url = values["AWS_ENDPOINT_URL"]
        click.echo(f"cumulet: no cloud runs for {config.state_dir}; it would be at {url}", err=True)
    if json:
        show_json(values)
    else:
        click.echo("\n".join(f"export {key}={shlex.quote(value)}" for key, value in values.items()))


def _would_be_at(config: Config) -> str:
    host, port = config.address()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def exports(config: Config, url: str, name: str | None = None) -> dict[str, str]:
    """The AWS_… variables for an account; raises `Failure` when there is no such account, or it has no key."""
    from cumulet.model import account

    with database(config) as opened, opened.read() as tx:
        found = account.named(tx, name or config.account)
        if found is None:
            known = ", ".join(row.name for row in account.all(tx))
            raise Failure(f"there is no account {name or config.account}; there are: {known}")
        keys = [key for key in account.keys(tx, found.id) if key.active]
        if not keys:
            raise Failure(f"the account {found.name} has no active access key")
        secret = account.secret(tx, keys[0])
    return {
        "AWS_ACCESS_KEY_ID": keys[0].id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
        "AWS_ENDPOINT_URL": url,
    }
