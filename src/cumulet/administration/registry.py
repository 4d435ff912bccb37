"""The administrative API by name: what can be looked at below `/_cumulet/KIND`, and ordered at `/_cumulet/KIND/ACT`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from cumulet.administration import accounts, machines, moves, network
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx


class Look(NamedTuple):
    """What is read in one transaction, and how many names follow the kind."""

    do: Callable[..., Any]
    fewest: int = 0
    most: int = 0


class Order(NamedTuple):
    """What is done in one transaction, and what its body is."""

    body: Any
    do: Callable[[Tx, Config, Any], Any]


LOOKS = {
    "networks": Look(lambda tx, config: network.networks(tx)),
    "pools": Look(network.pools),
    "addresses": Look(lambda tx, config: network.public_addresses(tx)),
    "interfaces": Look(network.interfaces, 0, 1),
    "types": Look(machines.types),
    "zones": Look(machines.zones),
    "instances": Look(lambda tx, config: machines.instances(tx)),
    "resources": Look(machines.resources, 1, 1),
    "moves": Look(moves.left_on, 1, 1),
    "usage": Look(accounts.usage, 2, 2),
}
ORDERS = {
    ("accounts", "delete"): Order(accounts.Deletion, accounts.delete),
    ("accounts", "set"): Order(accounts.Setting, accounts.set_account),
    ("networks", "create"): Order(network.Cut, network.create_networks),
    ("networks", "remove"): Order(network.Range, network.remove_network),
    ("pools", "create"): Order(network.Range, network.create_pool),
    ("pools", "remove"): Order(network.Range, network.remove_pool),
    ("types", "put"): Order(machines.Type, machines.put_type),
    ("types", "remove"): Order(machines.Named, machines.remove_type),
    ("types", "restore"): Order(machines.Named, machines.restore_type),
    ("things", "reset"): Order(machines.Named, machines.reset),
    ("moves", "instance"): Order(moves.Move, moves.move_instance),
    ("moves", "host"): Order(moves.Drained, moves.drain_host),
    ("volumes", "delete"): Order(machines.Named, machines.delete_volume),
}


def look(tx: Tx, config: Config, kind: str, *names: str) -> Any:
    """What there is to look at; raises `Failure`."""
    known = LOOKS[kind]
    if not known.fewest <= len(names) <= known.most:
        raise Failure(f"{kind} is asked for with {known.fewest} to {known.most} names, not {len(names)}")
    return known.do(tx, config, *names)


def order(tx: Tx, config: Config, kind: str, act: str, body: dict[str, Any] | bytes) -> Any:
    """What an order has made; raises `Failure` for one that there is not, or whose body is not right."""
    known = ORDERS[kind, act]
    try:
        if isinstance(body, bytes):
            wanted = msgspec.json.decode(body, type=known.body)
        else:
            wanted = msgspec.convert(body, known.body)
    except msgspec.DecodeError as e:
        raise Failure(f"the body of {kind}/{act} is JSON with {', '.join(known.body.__struct_fields__)}: {e}") from None
    return known.do(tx, config, wanted)
