"""`cumulet account`: who may use the cloud."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking, credentials, secrets
from cumulet.cli.options import as_json, database, prepared_database, settings
from cumulet.cli.output import show_json, show_table
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure


@click.group()
def account() -> None:
    """Accounts, which own everything, and their keys."""


account.add_command(secrets.rotate_key)
account.add_command(credentials.credentials)
account.add_command(credentials.revoke)


@account.command(epilog="Example: cumulet account create bob")
@click.argument("name")
@click.option("--administrator", is_flag=True, help="It may also do what only the cloud's operator may.")
@click.option("--vpc-cidr", metavar="RANGE", help="Range of its default VPC; else the next of `cumulet network list`.")
@as_json
@settings
def create(config: Config, name: str, administrator: bool, vpc_cidr: str | None, json: bool) -> None:
    """Make an account with a default VPC; print its first key."""
    from sqlalchemy.exc import IntegrityError

    from cumulet.lib.config_rules import LONGEST_ACCOUNT
    from cumulet.model import account as accounts
    from cumulet.model import bootstrap

    if not name.strip() or len(name) > LONGEST_ACCOUNT:
        raise Failure(f"an account's name has 1 to {LONGEST_ACCOUNT} characters; this one has {len(name.strip())}")
    _check_range(vpc_cidr)
    with prepared_database(config) as opened:
        try:
            with opened.write() as tx:
                made = bootstrap.create_account(tx, config, name, administrator=administrator, cidr=vpc_cidr)
                key = accounts.keys(tx, made.id)[0]
                secret = accounts.secret(tx, key)
        except IntegrityError:
            raise Failure(f"the name {name} is taken: `cumulet account list` shows all of them") from None
    ids = {"name": name, "account": made.id, "canonical_id": made.canonical_id}
    values = {**ids, "access_key": key.id, "secret_key": secret}
    if json:
        show_json(values)
    else:
        show_table(["what", "value"], list(values.items()))


def _check_range(text: str | None) -> None:
    import ipaddress

    from cumulet.model.fixed_network import LARGEST, SMALLEST

    try:
        network = ipaddress.IPv4Network(text or "10.0.0.0/16")
    except ValueError as e:
        raise Failure(f"--vpc-cidr is no IPv4 range, such as 10.0.0.0/16: {e}") from None
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise Failure(f"--vpc-cidr is {network}; a VPC has a range of /16 to /28")


@account.command("set", epilog="Example: cumulet account set bob --administrator")
@click.argument("name")
@click.option("--administrator/--no-administrator", required=True, help="Whether it is the operator's.")
@settings
def set_account(config: Config, name: str, administrator: bool) -> None:
    """Let an account do what only the cloud's operator may. Or no more."""
    asking.order(config, "accounts", "set", name=name, administrator=administrator)


@account.command("list", epilog="Example: cumulet account list --json")
@as_json
@settings
def list_accounts(config: Config, json: bool) -> None:
    """List the accounts and their access keys."""
    from cumulet.model import account as accounts

    with database(config) as opened, opened.read() as tx:
        found = [(row, accounts.all_keys(tx, row.id)) for row in accounts.all(tx)]
    values = [
        {
            "name": row.name,
            "account": row.id,
            "canonical_id": row.canonical_id,
            "administrator": bool(row.administrator),
            "access_keys": [key.id for key in keys if key.active],
        }
        for row, keys in found
    ]
    if json:
        show_json(values)
    else:
        show_table(["name", "account", "canonical id", "administrator", "access keys"], [_row(one) for one in values])


@account.command("delete", epilog="Example: cumulet account delete bob")
@click.argument("name")
@settings
def delete_account(config: Config, name: str) -> None:
    """Take an account away that has nothing any more. Its users and keys go with it."""
    asking.order(config, "accounts", "delete", name=name)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    administrator = "yes" if one["administrator"] else "no"
    return one["name"], one["account"], one["canonical_id"], administrator, " ".join(one["access_keys"])
