"""Instances and volumes that the operator has moved to other hosts."""

from __future__ import annotations

from typing import Any

import msgspec

from cumulet.administration.desk import Named
from cumulet.control import moving
from cumulet.control.fleet import Fleet
from cumulet.lib.config import Config
from cumulet.model import Tx


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instance, and the host that it is to be moved to; empty: the one that would be chosen for it."""

    id: str
    to: str = ""


def move_instance(tx: Tx, config: Config, wanted: Move) -> dict[str, Any]:
    """Have an instance moved, by a stop and a start if it runs: id, from, to. Raises `Failure`."""
    fleet = Fleet(config)
    fleet.learn(tx)
    return moving.ask(tx, config, fleet, wanted.id, wanted.to)


def drain_host(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Have all that can be moved from a host moved: moved, and stays (id to reason). Raises `Failure`."""
    return moving.drain(tx, config, wanted.name)


def left_on(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """What is on a host still: instances, volumes, snapshots."""
    return moving.left_on(tx, wanted.name)
