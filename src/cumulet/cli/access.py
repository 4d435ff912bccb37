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
@click.option("--user", default="", help="The keys of this user of the account, not of its root.")
@as_json
@settings
def env(config: Config, name: str | None, user: str, json: bool) -> None:
    """Print the export lines that make aws and boto3 use this cloud."""
    from msgspec.structs import replace

    running_at = running.url(config.state_dir)
    config = replace(config, region=running.region(config.state_dir) or config.region)
    values = exports(config, running_at or _would_be_at(config), name, user)
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


def exports(config: Config, url: str, name: str | None = None, user: str = "") -> dict[str, str]:
    """The AWS_… variables for an account's root, or for its user; raises `Failure` when there is no such, or no key."""
    from cumulet.model import account, entity

    with database(config) as opened, opened.read() as tx:
        found = account.named(tx, name or config.account)
        if found is None:
            known = ", ".join(row.name for row in account.all(tx))
            raise Failure(f"there is no account {name or config.account}; there are: {known}")
        who = entity.named(tx, found.id, "user", user) if user else None
        if user and who is None:
            raise Failure(f"the account {found.name} has no user {user}: `cumulet user list {found.name}`")
        keys = [key for key in account.keys(tx, found.id, who.id if who is not None else "") if key.active]
        if not keys:
            whose = f"the user {user} of {found.name}" if user else f"the account {found.name}"
            raise Failure(f"{whose} has no active access key")
        secret = account.secret(tx, keys[0])
    return {
        "AWS_ACCESS_KEY_ID": keys[0].id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
        "AWS_ENDPOINT_URL": url,
    }
