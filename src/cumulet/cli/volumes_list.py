"""`cumulet volume`: the volumes of all accounts, and where they are."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import show_json, show_table
from cumulet.lib.config import Config


@click.group()
def volume() -> None:
    """The volumes of all accounts."""


@volume.command("list", epilog="Example: cumulet volume list")
@as_json
@settings
def list_volumes(config: Config, json: bool) -> None:
    """List the volumes: how large they are, on which host, and in which instance. Root disks are among them."""
    with database(config) as opened, opened.read() as tx:
        values = volumes(tx)
    if json:
        show_json(values)
        return
    show_table(["volume", "account", "GiB", "state", "host", "attached to", "snapshots"], [_row(one) for one in values])


@volume.command(epilog="Example: cumulet volume delete vol-0123456789abcdef0")
@click.argument("id")
@settings
def delete(config: Config, id: str) -> None:
    """Have a volume go that no instance has, with all that is on it. Whoever it belongs to."""
    asking.order(config, "volumes", "delete", name=id)


def volumes(tx: Any) -> list[dict[str, Any]]:
    """Each volume: id, account (its name), size_gib, state, host, instance, device, whether its host exports
    it to the instance's, and the ids of its snapshots."""
    from cumulet.model import account, attachment, snapshot

    owners = account.all(tx)
    kept: dict[str, list[str]] = {}
    for one in (one for owner in owners for one in snapshot.of_account(tx, owner.id)):
        kept.setdefault(one.volume, []).append(one.id)
    return [
        {
            "id": row.id,
            "account": owner.name,
            "size_gib": row.size_gib,
            "state": "deleting" if row.desired == "absent" else row.state,
            "host": row.host,
            "instance": row.instance,
            "device": row.device,
            "attachment": row.attach_state,
            "exported": bool(row.exported),
            "snapshots": kept.get(row.id, []),
        }
        for owner in owners
        for row in attachment.volumes(tx, owner.id)
    ]


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    where = (
        f"{one['instance']} {one['device']} ({one['attachment']}{', exported' if one['exported'] else ''})"
        if one["instance"]
        else ""
    )
    snapshots = " ".join(one["snapshots"])
    return one["id"], one["account"], str(one["size_gib"]), one["state"], one["host"] or "", where, snapshots
