"""`cumulet user` and `cumulet role`: the users of an account, and the roles of the 2012 cloud that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cumulet.cli import asking
from cumulet.cli.options import as_json, settings
from cumulet.cli.output import show_json, show_table
from cumulet.lib.config import Config

if TYPE_CHECKING:
    from cumulet.model import Tx


@click.group()
def user() -> None:
    """The users of an account, and their keys."""


@click.group()
def role() -> None:
    """The roles that a user has: sysadmin, netadmin and more."""


@user.command("list", epilog="Example: cumulet user list bob")
@click.argument("account")
@as_json
@settings
def list_users(config: Config, account: str, json: bool) -> None:
    """List an account's users with their keys and policies."""

    def here(tx: Tx) -> list[dict[str, Any]]:
        from cumulet import administration

        return administration.users_of(tx, account)

    found = asking.look(config, here, "users", account)
    if json:
        show_json(found)
        return
    rows = [(one["name"], one["arn"], " ".join(one["access_keys"]), " ".join(one["policies"])) for one in found]
    show_table(["user", "arn", "access keys", "policies"], rows)


@user.command("create", epilog="Example: cumulet user create bob ann --role sysadmin")
@click.argument("account")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="A role that the user has; may be given several times.")
@as_json
@settings
def create_user(config: Config, account: str, name: str, roles: tuple[str, ...], json: bool) -> None:
    """Make a user with a key; prints the key, this once."""
    made = _change(config, account, {"do": "create", "user": name, "roles": list(roles)})
    if json:
        show_json(made)
    else:
        show_table(["what", "value"], [(key, str(value)) for key, value in made.items()])


@user.command("delete", epilog="Example: cumulet user delete bob ann")
@click.argument("account")
@click.argument("name")
@settings
def delete_user(config: Config, account: str, name: str) -> None:
    """Take a user away, with its keys and all that it may."""
    _change(config, account, {"do": "delete", "user": name})


@role.command("add", epilog="Example: cumulet role add bob ann netadmin")
@click.argument("account")
@click.argument("name")
@click.argument("role")
@settings
def add_role(config: Config, account: str, name: str, role: str) -> None:
    """Let a user do what a role may, from the next request on."""
    _change(config, account, {"do": "add", "user": name, "roles": [role]})


@role.command("remove", epilog="Example: cumulet role remove bob ann netadmin")
@click.argument("account")
@click.argument("name")
@click.argument("role")
@settings
def remove_role(config: Config, account: str, name: str, role: str) -> None:
    """Take a role from a user, from the next request on."""
    _change(config, account, {"do": "remove", "user": name, "roles": [role]})


def _change(config: Config, account: str, change: dict[str, Any]) -> dict[str, Any]:
    """What the change has made."""

    def here(tx: Tx) -> dict[str, Any]:
        import msgspec

        from cumulet import administration

        return administration.change_user(tx, account, msgspec.convert(change, administration.UserChange))

    found: dict[str, Any] = asking.change(config, here, "users", account, body=change)
    return found
