"""Instances and volumes that the operator has moved to other hosts."""

from __future__ import annotations

from typing import Any

import msgspec

from cumulet.administration.desk import Named
from cumulet.control import moving
from cumulet.control.fleet import Fleet
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, instance, work


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instance, and the host that it is to be moved to; empty: the one that would be chosen for it."""

    id: str
    to: str = ""
    cold: bool = False
    """By a stop and a start, though it runs."""


def move_instance(tx: Tx, config: Config, wanted: Move) -> dict[str, Any]:
    """Have an instance moved: id, from, to, and whether it goes on running meanwhile (live). Raises `Failure`."""
    fleet = Fleet(config)
    fleet.learn(tx)
    return moving.ask(tx, config, fleet, wanted.id, wanted.to, "cold" if wanted.cold else "live")


def cancel_move(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Have an instance stay where it is: id, host, was_to, and whether it goes on running (live). Raises `Failure`."""
    return moving.cancel(tx, config, wanted.name)


def move_of(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """How far an instance is that moves: host, moving_to, live, percent, doing, and not_moved: why it did not."""
    id = wanted.name
    row, doing = instance.find(tx, id), work.find(tx, "instance", id)
    if row is None:
        raise Failure(f"there is no instance {id}: `cumulet instance list` shows all of them")
    return {
        "id": id,
        "host": row.host,
        "moving_to": row.moving_to,
        "live": row.moves_live,
        "percent": row.moved_percent,
        "doing": doing.error if doing is not None else "",
        "not_moved": row.not_moved,
    }


def drain_host(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Have all that can be moved from a host moved: moved, and stays (id to reason). Raises `Failure`."""
    return moving.drain(tx, config, wanted.name)


def left_on(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """What is on a host still: instances, volumes, snapshots."""
    return moving.left_on(tx, wanted.name)
