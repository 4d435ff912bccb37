"""Where an instance runs: a pure choice among hosts, and a commit that holds only if it still fits."""

from __future__ import annotations

from typing import NamedTuple

from cumulet.engine.engine import Run
from cumulet.lib.config import Config
from cumulet.lib.errors import Impossible, Later
from cumulet.lib.log import Log
from cumulet.model import Tx, address, group, host, instance, interface, volume, vpc_host, work
from cumulet.model.database import Row

log = Log("placement")


class Room(NamedTuple):
    """What a host has left to promise."""

    name: str
    zones: frozenset[str]
    vcpus: float
    memory_mib: float


def choose(rooms: list[Room], zone: str, vcpus: int, memory_mib: int) -> str | None:
    """The host of the zone with the most memory left, and enough of both; None where there is none."""
    fitting = [room for room in rooms if zone in room.zones and room.vcpus >= vcpus and room.memory_mib >= memory_mib]
    return max(fitting, key=lambda room: (room.memory_mib, room.vcpus, room.name)).name if fitting else None


def rooms(tx: Tx, config: Config) -> list[Room]:
    """The hosts that can be used now, with what is left of them."""
    used = instance.used(tx)
    found = []
    for row in host.usable(tx):
        vcpus, memory = used.get(row.name, (0, 0))
        left = row.vcpus * config.vcpu_overcommit - vcpus, row.memory_mib * config.memory_overcommit - memory
        found.append(Room(row.name, frozenset(row.zones), *left))
    return found


def place(run: Run, row: Row) -> None:
    """Write down where the instance runs, before anything is ordered there.

    Raises `Impossible` Server.InsufficientInstanceCapacity when no host has room for it, and `Later` while
    no host is heard at all.
    """
    with run.write() as tx:
        free = rooms(tx, run.settings)
        if row.host is not None:
            free = [room for room in free if room.name == row.host]
        if not free:
            raise Later(1.0, f"no compute host is heard{f' as {row.host}' if row.host else ''}")
        chosen = choose(free, row.zone, row.vcpus, row.memory_mib)
        if chosen is None:
            raise Impossible("Server.InsufficientInstanceCapacity", _why(free, row))
        expected = {"desired": "running", "generation": row.generation, "claimed": False}
        if not instance.move(tx, row.id, expected, host=chosen, claimed=True):
            raise Later(0.0, "the instance has changed meanwhile")
        _settle(tx, run, row, chosen)
    log.info("placed", instance=row.id, host=chosen)


def _why(free: list[Room], row: Row) -> str:
    best = max(free, key=lambda room: room.memory_mib)
    return (
        f"There is no host in {row.zone} with {row.vcpus} vCPUs and {row.memory_mib} MiB of memory left for a "
        f"{row.type}; the one with most memory, {best.name}, has {best.vcpus:g} and {best.memory_mib:g}."
    )


def _settle(tx: Tx, run: Run, row: Row, chosen: str) -> None:
    """Its volumes and interfaces are there too, and are made now."""
    volumes, nics = volume.volume, interface.interface
    tx.change(volumes.update().where(volumes.c.instance == row.id, volumes.c.host.is_(None)).values(host=chosen))
    for disk in volume.of_instance(tx, row.id):
        if disk.state != "ready":
            work.wake(tx, "volume", disk.id)
    step = 2 * row.generation
    tx.change(nics.update().where(nics.c.instance == row.id).values(host=chosen, wanted=step, reached=0))
    for nic in interface.of_instance(tx, row.id):
        _give_public_address(tx, run.settings, nic)
        public = address.of_interface(tx, nic.id)
        interface.announce(tx, nic.id, public.public_ip if public is not None else None)
        work.wake(tx, "interface", nic.id)
        group.wake_of_interface(tx, nic.id)
        vpc_host.wake_vpc(tx, nic.vpc)


def _give_public_address(tx: Tx, config: Config, nic: Row) -> None:
    if nic.wants_public_ip and address.of_interface(tx, nic.id) is None:
        values = {"account": nic.account, "interface": nic.id, "allocation": None}
        if address.take(tx, config.public_pool, values) is None:
            raise Impossible(
                "Server.InsufficientAddressCapacity",
                f"The pool of public addresses ({', '.join(config.public_pool)}) is used up; release one, or run "
                "without a public address.",
            )
