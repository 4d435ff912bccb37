"""The cloud as a whole: its services, its hosts, what is in trouble, and why a thing is not as it should be."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet import __version__
from cumulet.administration.desk import Desk, Named, Nothing
from cumulet.control import hosts
from cumulet.lib import contract
from cumulet.lib.config import Config
from cumulet.lib.errors import CumuletError
from cumulet.model import Tx, host, vlan, vpc_host
from cumulet.model.explanation import ROLE_OF
from cumulet.model.explanation import explain as explain_rows
from cumulet.model.instance import instance
from cumulet.model.work import work


class HostChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different with a host, as `control.hosts.Change`."""

    name: str
    enabled: bool | None = None
    attributes: dict[str, str] = {}


def services(tx: Tx) -> list[dict[str, Any]]:
    """Each service: binary, host, zone, enabled, alive, the seconds since it was heard, contract and `gap`."""
    return [
        {
            "binary": row.role,
            "host": row.host,
            "zone": row.zone,
            "enabled": bool(row.enabled),
            "alive": row.heard > tx.now - host.LIVE_SECONDS,
            "heard_seconds_ago": round(tx.now - row.heard, 1),
            "contract": row.contract,
            "gap": contract.gap(row.contract),
        }
        for row in host.services(tx)
    ]


def status(tx: Tx, config: Config, wanted: Nothing) -> dict[str, Any]:
    """The program's version, hosts, instances by state, the VLANs (VPC to number), and what is in trouble."""
    counted = tx.all(sa.select(instance.c.state, sa.func.count().label("number")).group_by(instance.c.state))
    alive: dict[str, bool] = {}
    for one in services(tx):
        alive[one["host"]] = alive.get(one["host"], True) and one["alive"]
    troubled = tx.all(sa.select(work).where(work.c.tries > 0, work.c.error != "").order_by(work.c.kind, work.c.id))
    return {
        "version": __version__,
        "hosts": [
            {"name": row.name, "vcpus": row.vcpus, "memory_mib": row.memory_mib, "disk_gib": row.disk_gib}
            | {"alive": alive.get(row.name, False)}
            for row in host.all(tx)
        ],
        "instances": {row.state: row.number for row in counted},
        "vlans": vlan.all(tx),
        "troubles": [{"kind": row.kind, "id": row.id, "tries": row.tries, "error": row.error} for row in troubled]
        + [{"kind": "vpc", "id": id, "tries": 0, "error": error} for id, error in vpc_host.cut_off(tx).items()],
    }


def change_host(tx: Tx, config: Config, wanted: HostChange) -> dict[str, Any]:
    """The host as it is then; raises `Failure`."""
    hosts.change(tx, wanted.name, hosts.Change(enabled=wanted.enabled, attributes=wanted.attributes))
    return hosts.one(tx, config, wanted.name)


def explain(desk: Desk, wanted: Named) -> dict[str, Any]:
    """What the rows say of a thing and of what it waits for, and what each host says that should know about it.

    Raises `Failure` for what is not there.
    """
    with desk.database.read() as tx:
        found = explain_rows(tx, wanted.name)
    if desk.remote is None:
        return found | {"host_says": "unknown: no cloud runs, only the database was read"}
    role, id = ROLE_OF.get(found["kind"], ""), found["id"]
    return found | {"host_says": {name: _look_at(desk, role, name, id) for name in found["hosts"]}}


def _look_at(desk: Desk, role: str, name: str, id: str) -> Any:
    assert desk.remote is not None
    try:
        seen = desk.remote(role, name).look(id)
    except CumuletError as e:
        return f"no answer: {e}"
    return msgspec.to_builtins(seen) if seen is not None else "it is not there"
