"""`cumulet env`: what makes the aws command and boto3 use this cloud."""

from __future__ import annotations

import shlex

import click

from cumulet.cli import asking, running
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show_json


@click.command(epilog='Example: eval "$(cumulet env --account bob)"')
@click.option("--account", "name", default="", help="Whose keys; the first account's by default.")
@click.option("--user", default="", help="The keys of this user of the account, not of its root.")
@as_json
@any_cloud
def env(cloud: Cloud, name: str, user: str, json: bool) -> None:
    """Print the export lines that make aws and boto3 use this cloud.

    Of a cloud elsewhere, without --account and --user, they have the keys that it is asked with.
    """
    state = cloud.config.state_dir
    values = exports(cloud, name, user)
    if asking.whom(cloud) is None:
        url = values["AWS_ENDPOINT_URL"]
        click.echo(f"cumulet: no cloud runs for {state}; it would be at {url}", err=True)
    if json:
        show_json(values)
    else:
        click.echo("\n".join(f"export {key}={shlex.quote(value)}" for key, value in values.items()))


def exports(cloud: Cloud, name: str = "", user: str = "") -> dict[str, str]:
    """The AWS_… variables for an account's root, or for its user; raises `Failure` when there is no such, or no key."""
    asked, config = asking.whom(cloud), cloud.config
    if asked is not None and asking.is_elsewhere(cloud) and not name and not user:
        url, signer = asked
        keys = {"AWS_ACCESS_KEY_ID": signer.key, "AWS_SECRET_ACCESS_KEY": signer.secret}
        keys |= {"AWS_SESSION_TOKEN": signer.token} if signer.token else {}
        region = signer.region
    else:
        found = asking.ask(cloud, "RevealAccessKey", account=name, user=user)
        keys = {"AWS_ACCESS_KEY_ID": found["access_key"], "AWS_SECRET_ACCESS_KEY": found["secret_key"]}
        url = asked[0] if asked is not None else running.url(config.state_dir) or running.would_be_at(config)
        region = found["region"]
    return {**keys, "AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_ENDPOINT_URL": url}
