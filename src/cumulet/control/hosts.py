"""The operator's view of the hosts: listed with what they have promised, enabled and disabled, given attributes."""

from __future__ import annotations

from typing import Any

import msgspec

from cumulet.control.fleet import Fleet
from cumulet.lib import contract
from cumulet.lib.config import Config
from cumulet.lib.config_rules import LONGEST_ATTRIBUTE, NAME
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account
from cumulet.model import host as hosts


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different with a host."""

    enabled: bool | None = None
    """Whether new instances and volumes are placed there; None: as before."""
    attributes: dict[str, str] = {}
    """An empty value takes a key away."""


def listed(tx: Tx, config: Config) -> list[dict[str, Any]]:
    """Each host with a compute service: name, zones, enabled, alive, attributes, limit and used (what is promised).

    `lost` says that what could run elsewhere has left it, `fence_seconds` when it stops that if it is not heard; `gap`
    why it gets no new work, if its `contract` is too far from this program's.
    """
    fleet = Fleet(config)
    fleet.learn(tx)
    rows = {row.name: row for row in hosts.all(tx)}
    return [
        {
            "name": host.name,
            "zones": sorted(host.zones),
            "enabled": host.enabled,
            "alive": host.alive,
            "lost": rows[host.name].lost,
            "contract": host.contract,
            "gap": contract.gap(host.contract),
            "fence_seconds": rows[host.name].fence_seconds,
            "attributes": host.attributes,
            "limit": host.limit._asdict(),
            "used": host.used._asdict(),
        }
        for _, host in sorted(fleet.hosts.items())
    ]


def one(tx: Tx, config: Config, name: str) -> dict[str, Any]:
    """The host as `listed` has it; raises `Failure` where there is no such."""
    found = [row for row in listed(tx, config) if row["name"] == name]
    if not found:
        raise Failure(f"there is no host {name}; `cumulet host list` shows all of them")
    return found[0]


def change(tx: Tx, name: str, wanted: Change) -> None:
    """Make it so; raises `Failure` for what cannot be."""
    if wanted.enabled is not None:
        hosts.set_enabled(tx, name, wanted.enabled)
    if wanted.attributes:
        hosts.set_attributes(tx, name, {key: _value(tx, key, value) for key, value in wanted.attributes.items()})


def _value(tx: Tx, key: str, value: str) -> str:
    if not NAME.fullmatch(key):
        raise Failure(f"{key!r} cannot be an attribute: a name has 1 to 64 letters, digits, '_', '.' or '-'")
    if len(value) > LONGEST_ATTRIBUTE:
        raise Failure(f"the attribute {key} would have {len(value)} characters; {LONGEST_ATTRIBUTE} is the most")
    if key != "dedicated_to" or not value:
        return value
    found = account.named(tx, value) or account.find(tx, value)
    if found is None:
        raise Failure(f"there is no account {value}; `cumulet account list` shows all of them")
    return str(found.id)
