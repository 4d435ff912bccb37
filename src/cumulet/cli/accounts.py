"""`cumulet account`: who may use the cloud."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking, credentials
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import say, show_json, show_table


@click.group()
def account() -> None:
    """Accounts, which own everything, and their keys."""


account.add_command(credentials.rotate_key)
account.add_command(credentials.credentials)
account.add_command(credentials.revoke)


@account.command(epilog="Example: cumulet account create bob")
@click.argument("name")
@click.option("--administrator", is_flag=True, help="It may also do what only the cloud's operator may.")
@click.option("--vpc-cidr", metavar="RANGE", help="Range of its default VPC; else the next of `cumulet network list`.")
@as_json
@any_cloud
def create(cloud: Cloud, name: str, administrator: bool, vpc_cidr: str | None, json: bool) -> None:
    """Make an account with a default VPC; print its first key."""
    asking.prepare(cloud)
    given = {"name": name, "administrator": administrator, "vpc_cidr": vpc_cidr}
    values = asking.ask(cloud, "CreateAccount", **given)
    if json:
        show_json(values)
    else:
        show_table(["what", "value"], list(values.items()))


@account.command("set", epilog="Example: cumulet account set bob --administrator")
@click.argument("name")
@click.option("--administrator/--no-administrator", required=True, help="Whether it is the operator's.")
@as_json
@any_cloud
def set_account(cloud: Cloud, name: str, administrator: bool, json: bool) -> None:
    """Let an account do what only the cloud's operator may. Or no more."""
    say(asking.ask(cloud, "SetAccount", name=name, administrator=administrator), json)


@account.command("list", epilog="Example: cumulet account list --json")
@as_json
@any_cloud
def list_accounts(cloud: Cloud, json: bool) -> None:
    """List the accounts and their access keys."""
    values = asking.ask(cloud, "ListAccounts")
    if json:
        show_json(values)
    else:
        show_table(["name", "account", "canonical id", "administrator", "access keys"], [_row(one) for one in values])


@account.command("delete", epilog="Example: cumulet account delete bob")
@click.argument("name")
@as_json
@any_cloud
def delete_account(cloud: Cloud, name: str, json: bool) -> None:
    """Take an account away that has nothing any more. Its users and keys go with it."""
    say(asking.ask(cloud, "DeleteAccount", name=name), json)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    administrator = "yes" if one["administrator"] else "no"
    return one["name"], one["account"], one["canonical_id"], administrator, " ".join(one["access_keys"])
