"""Users, projects and roles: `user`, `project` (also called `account`), `role`."""

from __future__ import annotations

from typing import Any

from cumulet.lib.errors import Failure
from cumulet.nova_manage.table import Arguments, Cumulet, action

MANAGER = ("sysadmin", "netadmin")
"""What a project's manager may: all that is done with a project's things."""
MEMBER = ("developer",)
OWN = ("--vpc-cidr", "172.31.0.0/16")
"""A user's own account takes none of the fixed networks, which are the projects'."""
ROLES = {"projectmanager": MANAGER}
"""Roles of 2012 that are several here."""
QUOTAS = {
    "instances": "instances",
    "cores": "vcpus",
    "volumes": "volumes",
    "gigabytes": "volume_gib",
    "floating_ips": "addresses",
}
"""The names that quotas had."""


def _exports(key: str, secret: str) -> str:
    return f"export EC2_ACCESS_KEY={key}\nexport EC2_SECRET_KEY={secret}"


@action("user", "create", "name", "access", "secret", needs=1)
def create_user(cloud: Cumulet, given: Arguments) -> str:
    _refuse_keys(given)
    made = cloud.ask("account", "create", given["name"], *OWN)
    return _exports(made["access_key"], made["secret_key"])


@action("user", "admin", "name", "access", "secret", needs=1)
def create_administrator(cloud: Cumulet, given: Arguments) -> str:
    _refuse_keys(given)
    made = cloud.ask("account", "create", given["name"], "--administrator", *OWN)
    return _exports(made["access_key"], made["secret_key"])


def _refuse_keys(given: Arguments) -> None:
    if "access" in given or "secret" in given:
        raise Failure("keys are made by the cloud: leave out access and secret, and take those that are printed")


@action("user", "exports", "name")
def export_user(cloud: Cumulet, given: Arguments) -> str:
    found = cloud.ask("env", "--account", given["name"])
    return _exports(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"])


@action("user", "list")
def list_users(cloud: Cumulet, given: Arguments) -> str:
    accounts = [one["name"] for one in cloud.ask("account", "list")]
    users = [user["name"] for account in accounts for user in cloud.ask("user", "list", account)]
    return "\n".join(dict.fromkeys([*accounts, *users]))


@action("user", "delete", "name")
def delete_user(cloud: Cumulet, given: Arguments) -> str:
    """He leaves each project, and then his own account goes."""
    for account in _projects_of(cloud, given["name"]):
        cloud.say("user", "delete", account, given["name"])
    return cloud.say("account", "delete", given["name"])


@action("user", "revoke", "serial")
def revoke(cloud: Cumulet, given: Arguments) -> str:
    """In 2012 by the user's name; a certificate is revoked here by its number."""
    return cloud.say("account", "revoke", given["serial"])


@action("account", "create", "name", "project_manager", "description", needs=2)
def create_project(cloud: Cumulet, given: Arguments) -> str:
    _accounts_user(cloud, given["project_manager"])
    cloud.ask("account", "create", given["name"])
    return _join(cloud, given["name"], given["project_manager"], MANAGER)


@action("account", "add", "project", "user")
def add_member(cloud: Cumulet, given: Arguments) -> str:
    _accounts_user(cloud, given["user"])
    return _join(cloud, given["project"], given["user"], MEMBER)


def _join(cloud: Cumulet, project: str, user: str, roles: tuple[str, ...]) -> str:
    words = [word for role in roles for word in ("--role", role)]
    cloud.ask("user", "create", project, user, *words)
    return ""


def _accounts_user(cloud: Cumulet, name: str) -> None:
    known = [one["name"] for one in cloud.ask("account", "list")]
    if name not in known:
        raise Failure(f"there is no user {name}: `nova-manage user create {name}` makes one")


@action("account", "remove", "project", "user")
def remove_member(cloud: Cumulet, given: Arguments) -> str:
    return cloud.say("user", "delete", given["project"], given["user"])


@action("account", "delete", "name")
def delete_project(cloud: Cumulet, given: Arguments) -> str:
    return cloud.say("account", "delete", given["name"])


@action("account", "list", "username", needs=0)
def list_projects(cloud: Cumulet, given: Arguments) -> str:
    if "username" in given:
        return "\n".join(_projects_of(cloud, given["username"]))
    return "\n".join(one["name"] for one in cloud.ask("account", "list"))


def _projects_of(cloud: Cumulet, user: str) -> list[str]:
    names = [one["name"] for one in cloud.ask("account", "list")]
    return [name for name in names if user in [one["name"] for one in cloud.ask("user", "list", name)]]


@action("account", "zipfile", "project", "user", "file", needs=2)
def zipfile(cloud: Cumulet, given: Arguments) -> str:
    return cloud.say("account", "credentials", given["project"], given.get("file", "nova.zip"), "--user", given["user"])


@action("account", "environment", "project", "user", "file", needs=2)
def environment(cloud: Cumulet, given: Arguments) -> str:
    """The variables alone, in a file that can be sourced."""
    from pathlib import Path

    found = cloud.ask("env", "--account", given["project"], "--user", given["user"])
    lines = [_exports(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"])]
    lines += [f"export {name}={found['AWS_ENDPOINT_URL']}" for name in ("EC2_URL", "S3_URL")]
    lines += [f"export {name}={value}" for name, value in found.items()]
    file = Path(given.get("file", "novarc"))
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")
    return f"{file} is written"


@action("account", "quota", "project", "key", "value", needs=1)
def quota(cloud: Cumulet, given: Arguments) -> str:
    """All of them afterwards; `unlimited` is the largest number that there is."""
    name = given.get("key")
    if name is not None:
        known = {*QUOTAS, *QUOTAS.values(), *(one["name"] for one in cloud.ask("quota", "list", given["project"]))}
        if name not in known or "value" not in given:
            raise Failure(f"a quota is one of {', '.join(sorted(known))}, with a number or `unlimited`")
        value = str(2**31 - 1) if given["value"] == "unlimited" else given["value"]
        cloud.ask("quota", "set", given["project"], QUOTAS.get(name, name), value)
    old = {new: old for old, new in QUOTAS.items()}
    found: list[dict[str, Any]] = cloud.ask("quota", "list", given["project"])
    return "\n".join(f"{old.get(one['name'], one['name'])}: {one['value']}" for one in found)


@action("role", "add", "user", "role", "project", needs=2)
def add_role(cloud: Cumulet, given: Arguments) -> str:
    return _of_each(cloud, given, "add")


@action("role", "remove", "user", "role", "project", needs=2)
def remove_role(cloud: Cumulet, given: Arguments) -> str:
    return _of_each(cloud, given, "remove")


def _of_each(cloud: Cumulet, given: Arguments, act: str) -> str:
    """In the project that is named, or in all that he is a member of; in an account of his own he may do everything."""
    _accounts_user(cloud, given["user"])
    projects = [given["project"]] if "project" in given else _projects_of(cloud, given["user"])
    for project in projects:
        for role in ROLES.get(given["role"], (given["role"],)):
            cloud.say("role", act, project, given["user"], role)
    if given["role"] == "cloudadmin" and "project" not in given:
        cloud.say("account", "set", given["user"], "--administrator" if act == "add" else "--no-administrator")
    return ""


@action("role", "has", "user", "role", "project", needs=2)
def has_role(cloud: Cumulet, given: Arguments) -> str:
    projects = [given["project"]] if "project" in given else _projects_of(cloud, given["user"])
    wanted = set(ROLES.get(given["role"], (given["role"],)))
    held = [one for project in projects for one in cloud.ask("user", "list", project) if one["name"] == given["user"]]
    administrators = [one["name"] for one in cloud.ask("account", "list") if one["administrator"]]
    is_admin = given["role"] == "cloudadmin" and "project" not in given and given["user"] in administrators
    return str(is_admin or any(wanted <= set(one["policies"]) for one in held))
