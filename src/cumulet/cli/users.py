"""`cumulet user` and `cumulet role`: the users of an account, and the roles of the 2012 cloud that they have."""

from __future__ import annotations

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import say, show_json, show_table


@click.group()
def user() -> None:
    """The users of an account, and their keys."""


@click.group()
def role() -> None:
    """The roles that a user has: sysadmin, netadmin and more."""


@user.command("list", epilog="Example: cumulet user list bob")
@click.argument("account")
@as_json
@any_cloud
def list_users(cloud: Cloud, account: str, json: bool) -> None:
    """List an account's users with their keys and policies."""

    found = asking.ask(cloud, "ListUsers", account=account)
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
@any_cloud
def create_user(cloud: Cloud, account: str, name: str, roles: tuple[str, ...], json: bool) -> None:
    """Make a user with a key; prints the key, this once."""
    made = asking.ask(cloud, "CreateUser", account=account, name=name, roles=list(roles))
    if json:
        show_json(made)
    else:
        show_table(["what", "value"], [(key, str(value)) for key, value in made.items()])


@user.command("delete", epilog="Example: cumulet user delete bob ann")
@click.argument("account")
@click.argument("name")
@as_json
@any_cloud
def delete_user(cloud: Cloud, account: str, name: str, json: bool) -> None:
    """Take a user away, with its keys and all that it may."""
    say(asking.ask(cloud, "DeleteUser", account=account, name=name), json)


@role.command("add", epilog="Example: cumulet role add bob ann netadmin")
@click.argument("account")
@click.argument("name")
@click.argument("role")
@as_json
@any_cloud
def add_role(cloud: Cloud, account: str, name: str, role: str, json: bool) -> None:
    """Let a user do what a role may, from the next request on."""
    say(asking.ask(cloud, "AddRoles", account=account, name=name, roles=[role]), json)


@role.command("remove", epilog="Example: cumulet role remove bob ann netadmin")
@click.argument("account")
@click.argument("name")
@click.argument("role")
@as_json
@any_cloud
def remove_role(cloud: Cloud, account: str, name: str, role: str, json: bool) -> None:
    """Take a role from a user, from the next request on."""
    say(asking.ask(cloud, "RemoveRoles", account=account, name=name, roles=[role]), json)
