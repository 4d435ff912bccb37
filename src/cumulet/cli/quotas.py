"""`cumulet quota`: how much of everything an account may have."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show_json, show_table


@click.group()
def quota() -> None:
    """Quotas: how much of everything an account may have."""


@quota.command("list", epilog="Example: cumulet quota list bob")
@click.argument("account")
@as_json
@any_cloud
def list_quotas(cloud: Cloud, account: str, json: bool) -> None:
    """List an account's quotas, and what it has asked for."""
    _show(asking.ask(cloud, "ListQuotas", account=account), json)


@quota.command("set", epilog="Example: cumulet quota set bob vcpus 32")
@click.argument("account")
@click.argument("name")
@click.argument("value", type=click.IntRange(min=0))
@as_json
@any_cloud
def set_quota(cloud: Cloud, account: str, name: str, value: int, json: bool) -> None:
    """Give an account another quota; its requests for no more than this are approved."""
    _show(asking.ask(cloud, "SetQuota", account=account, name=name, value=value), json)


@quota.command("unset", epilog="Example: cumulet quota unset bob vcpus")
@click.argument("account")
@click.argument("name")
@as_json
@any_cloud
def unset_quota(cloud: Cloud, account: str, name: str, json: bool) -> None:
    """Give an account the quota of the configuration again."""
    _show(asking.ask(cloud, "SetQuota", account=account, name=name, value=None), json)


def _show(found: list[dict[str, Any]], json: bool) -> None:
    if json:
        show_json(found)
        return
    rows = [
        (one["name"], str(one["value"]), str(one["default"]), f"{one['asked']:g}" if one["asked"] else "")
        for one in found
    ]
    show_table(["quota", "value", "default", "asked for"], rows)
