"""`cumulet quota`: how much of everything an account may have."""

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
def quota() -> None:
    """Quotas: how much of everything an account may have."""


@quota.command("list", epilog="Example: cumulet quota list bob")
@click.argument("account")
@as_json
@settings
def list_quotas(config: Config, account: str, json: bool) -> None:
    """List an account's quotas, and what it has asked for."""

    def here(tx: Tx) -> list[dict[str, Any]]:
        from cumulet import administration

        return administration.quotas_of(tx, config, account)

    _show(asking.look(config, here, "quotas", account), json)


@quota.command("set", epilog="Example: cumulet quota set bob vcpus 32")
@click.argument("account")
@click.argument("name")
@click.argument("value", type=click.IntRange(min=0))
@as_json
@settings
def set_quota(config: Config, account: str, name: str, value: int, json: bool) -> None:
    """Give an account another quota; its requests for no more than this are approved."""
    _show(_change(config, account, {"name": name, "value": value}), json)


@quota.command("unset", epilog="Example: cumulet quota unset bob vcpus")
@click.argument("account")
@click.argument("name")
@as_json
@settings
def unset_quota(config: Config, account: str, name: str, json: bool) -> None:
    """Give an account the quota of the configuration again."""
    _show(_change(config, account, {"name": name, "value": None}), json)


def _change(config: Config, account: str, change: dict[str, Any]) -> list[dict[str, Any]]:
    """The quotas as they are afterwards."""

    def here(tx: Tx) -> list[dict[str, Any]]:
        import msgspec

        from cumulet import administration

        administration.grant(tx, account, msgspec.convert(change, administration.Grant))
        return administration.quotas_of(tx, config, account)

    found: list[dict[str, Any]] = asking.change(config, here, "quotas", account, body=change)
    return found


def _show(found: list[dict[str, Any]], json: bool) -> None:
    if json:
        show_json(found)
        return
    rows = [
        (one["name"], str(one["value"]), str(one["default"]), f"{one['asked']:g}" if one["asked"] else "")
        for one in found
    ]
    show_table(["quota", "value", "default", "asked for"], rows)
