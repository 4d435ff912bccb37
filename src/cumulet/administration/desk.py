"""What administrative actions work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from cumulet.bus.remote import Remote
from cumulet.lib.config import Config
from cumulet.model import Database, Tx


class Desk(NamedTuple):
    """The database, the configuration, and where a cloud runs a host's driver, for questions: (role, host) to it."""

    database: Database
    config: Config
    remote: Callable[[str, str], Remote] | None = None


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The thing of this name or id."""

    name: str


class OfAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What belongs to the account of this name or number."""

    account: str


class Action(NamedTuple):
    """What it takes, and what does it; its answer is plain values for JSON."""

    takes: type[msgspec.Struct]
    do: Callable[[Desk, Any], Any]


def look(do: Callable[[Tx, Config, Any], Any], takes: type[msgspec.Struct] = Nothing) -> Action:
    """An action that reads in one transaction."""

    def reading(desk: Desk, wanted: Any) -> Any:
        with desk.database.read() as tx:
            return do(tx, desk.config, wanted)

    return Action(takes, reading)


def order(do: Callable[[Tx, Config, Any], Any], takes: type[msgspec.Struct] = Nothing) -> Action:
    """An action that writes down intent, in one transaction."""

    def writing(desk: Desk, wanted: Any) -> Any:
        with desk.database.write() as tx:
            return do(tx, desk.config, wanted)

    return Action(takes, writing)
