"""Placing an instance: the choice is written down, if it still holds, before anything is ordered on the host."""

from __future__ import annotations

from typing import Any, NoReturn

import sqlalchemy as sa

from cumulet.control.fleet import Fleet, Host
from cumulet.control.placement import NOT_HEARD, Choice, Neighbours, Wish, choose, reasons, shortage
from cumulet.engine.engine import Run
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure, Impossible, Later
from cumulet.lib.log import Log
from cumulet.model import (
    Tx,
    address,
    address_pool,
    attachment,
    capacity,
    host,
    instance,
    instance_type,
    interface,
    placement_group,
    replica,
    snapshot,
    volume,
    work,
)
from cumulet.model.capacity import Amount
from cumulet.model.database import Row

log = Log("placement")
STALE_SECONDS = 1.0
"""So old may be what is known of the hosts, to begin with; nobody is refused by what is older than his wish."""
PATIENCE_SECONDS = 60.0
"""A host that would do is waited for, if it has been silent for no longer."""


def place(run: Run, row: Row) -> None:
    """Write down where the instance runs, before anything is ordered there.

    Raises `Impossible` Server.InsufficientInstanceCapacity when no host would do, and `Later` while no host is heard,
    or the only one that would do has not been heard lately.
    """
    fleet = _fleet(run)
    fleet.refresh(run.read, run.clock.now() - STALE_SECONDS)
    placed, wish = _try(run, row, fleet)
    if placed is None:
        fleet.refresh(run.read, run.clock.now())
        placed, wish = _try(run, row, fleet)
    if placed is None:
        _refuse(run, fleet, wish)
    fleet.take(placed.host, wish.wanted)
    log.info("placed", instance=row.id, host=placed.host)


def _fleet(run: Run) -> Fleet:
    if "fleet" not in run.memory:
        run.memory.setdefault("fleet", Fleet(run.settings))
    fleet: Fleet = run.memory["fleet"]
    return fleet


def _try(run: Run, row: Row, fleet: Fleet) -> tuple[Choice | None, Wish]:
    """Place the instance by what is known; None where no host would do, or others were quicker on each that would."""
    with run.write() as tx:
        together = placement_group.hold(tx, row.placement_group) if row.placement_group else None
        disks = attachment.disks(tx, row.id)
        wish = wish_of(tx, run.settings, fleet, row, disks, together)
        with fleet.lock:
            choices = choose(fleet, wish, run.settings.placement_policy)
            revisions = [fleet.hosts[choice.host].revision for choice in choices]
        for choice, revision in zip(choices, revisions, strict=True):
            if capacity.claim(tx, choice.host, revision, wish.wanted, run.settings):
                _settle(tx, run, row, disks, choice)
                return choice, wish
    return None, wish


def _refuse(run: Run, fleet: Fleet, wish: Wish) -> NoReturn:
    with fleet.lock:
        found = reasons(fleet, wish)
        heard = [host for host in fleet.hosts.values() if host.alive]
        silent = [fleet.hosts[name] for name, reason in found.items() if reason.title == NOT_HEARD]
        enough = len(found) < len(fleet.hosts)
    if not heard or any(_is_waited_for(host, wish, run.clock.now()) for host in silent):
        missed = ", ".join(sorted(host.name for host in silent)[:5])
        raise Later(1.0, f"no compute host that would do is heard{f'; {missed} would' if missed else ''}")
    if enough:
        raise Later(0.05, "others were quicker on each host that would do")
    raise Impossible("Server.InsufficientInstanceCapacity", shortage(fleet, wish, found))


def _is_waited_for(host: Host, wish: Wish, now: float) -> bool:
    return host.name == wish.home or host.heard > now - PATIENCE_SECONDS


def wish_of(tx: Tx, config: Config, fleet: Fleet, row: Row, disks: list[Row], together: Row | None) -> Wish:
    """What the instance asks of its host; `together` is its placement group."""
    kind = instance_type.catalogue(tx, config).get(row.type)
    sources = snapshot.homes(tx, [disk.snapshot for disk in disks if disk.state != "ready"])
    store = next((disk.store for disk in disks if disk.host is None and disk.state == "ready"), "")
    return Wish(
        account=row.account,
        zone=row.zone,
        wanted=Amount(row.vcpus, row.memory_mib, sum(disk.size_gib for disk in disks if disk.host is None)),
        type=row.type,
        architecture=row.architecture,
        boot=row.boot,
        requires=kind.requires if kind is not None else {},
        tenancy=row.tenancy,
        named=row.wanted_host if not row.recovering else "",
        home=row.host or ("" if store else next((disk.host for disk in disks if disk.host is not None), "")),
        near=_with_all(tx, sources),
        unreached=next((home for home in sorted(set(sources.values())) if not host.address(tx, home)), ""),
        store=store,
        encrypts=any(disk.sealed for disk in disks if disk.host is None),
        neighbours=_neighbours(tx, fleet, row, together) if together is not None else Neighbours(),
    )


def _with_all(tx: Tx, sources: dict[str, str]) -> frozenset[str]:
    """The hosts that have all of these snapshots, or replicas of them."""
    there = [{home, *replica.hosts(tx, id)} for id, home in sources.items()]
    return frozenset(set.intersection(*there)) if there else frozenset()


def _neighbours(tx: Tx, fleet: Fleet, row: Row, together: Row) -> Neighbours:
    members = [one for one in placement_group.members(tx, together.id) if one.id != row.id and one.host is not None]
    if together.strategy == "cluster":
        hosts = frozenset(one.host for one in members)
        return Neighbours(near=hosts, within_racks=_racks(fleet, hosts))
    if together.strategy == "spread":
        hosts = frozenset(one.host for one in members)
        if together.spread_level == "rack":
            return Neighbours(apart_hosts=hosts, apart_racks=_racks(fleet, hosts), by_rack=True)
        return Neighbours(apart_hosts=hosts)
    others = frozenset(one.host for one in members if one.partition_number != row.partition_number)
    own = frozenset(one.host for one in members if one.partition_number == row.partition_number)
    return Neighbours(near=own, apart_hosts=others, apart_racks=_racks(fleet, others))


def _racks(fleet: Fleet, names: frozenset[str]) -> frozenset[str]:
    with fleet.lock:
        known = [fleet.hosts[name] for name in names if name in fleet.hosts]
    return frozenset(host.rack for host in known if host.rack)


def _settle(tx: Tx, run: Run, row: Row, disks: list[Row], choice: Choice) -> None:
    """The instance, its volumes and its interfaces are there; the latter two are made now, or their host is told."""
    because = f"{row.recovering} was lost; {choice.because}" if row.recovering else choice.because
    if not tx.change(_INSTANCE_THERE, of=row.id, at=row.generation, there=choice.host, because=because[:255]):
        raise Later(0.0, "the instance has changed meanwhile")
    if tx.change(_VOLUMES_THERE, of=row.id, there=choice.host) != sum(disk.host is None for disk in disks):
        raise Later(0.0, "the instance's disks have changed meanwhile")
    for disk in disks:
        if disk.state != "ready" or disk.host is None:
            work.wake(tx, "volume", disk.id)
        if disk.state == "ready" and disk.host is None:
            snapshot.be_kept_by(tx, disk.id, choice.host)
    for nic in interface.of_instance(tx, row.id):
        public_ip = _public_address(tx, run.settings, nic)
        tx.change(_INTERFACE_THERE, of=nic.id, there=choice.host, step=2 * row.generation, public_ip=public_ip)
        work.wake(tx, "interface", nic.id)


_THERE: sa.BindParameter[str] = sa.bindparam("there")
_INSTANCE_THERE = (
    instance.instance.update()
    .where(
        instance.instance.c.id == sa.bindparam("of"),
        instance.instance.c.desired == "running",
        instance.instance.c.generation == sa.bindparam("at"),
        sa.not_(instance.instance.c.claimed),
    )
    .values(host=_THERE, claimed=True, placed_because=sa.bindparam("because"))
)
_VOLUMES_THERE = (
    volume.volume.update()
    .where(
        volume.volume.c.id.in_(
            sa.select(attachment.attachment.c.volume).where(attachment.attachment.c.instance == sa.bindparam("of"))
        ),
        volume.volume.c.host.is_(None),
    )
    .values(host=_THERE)
)
_INTERFACE_THERE = (
    interface.interface.update()
    .where(interface.interface.c.id == sa.bindparam("of"))
    .values(
        host=_THERE,
        wanted=sa.bindparam("step", type_=sa.BigInteger),
        reached=0,
        announced=sa.bindparam("public_ip"),
    )
)


def _public_address(tx: Tx, config: Config, nic: Row) -> str | None:
    """The address that reaches the interface; taken now, if it wants one and has none."""
    found = address.of_interface(tx, nic.id)
    if found is not None:
        return str(found.public_ip)
    if not nic.wants_public_ip:
        return None
    pool = address_pool.all(tx, config)
    taken = address.take(tx, pool, {"account": nic.account, "interface": nic.id, "allocation": None})
    if taken is None:
        raise Impossible(
            "Server.InsufficientAddressCapacity",
            f"The pool of public addresses ({', '.join(pool)}) is used up; release one, or run "
            "without a public address.",
        )
    return taken


def why(tx: Tx, config: Config, id: str) -> dict[str, Any]:
    """Where an instance is and why, and for each host what bars it from there; raises `Failure`.

    For one that has been placed, the hosts are judged as if it were to be placed now, with what it holds given back.
    """
    row = instance.find(tx, id)
    if row is None:
        raise Failure(f"there is no instance {id}; a terminated one is forgotten after a while")
    fleet = Fleet(config)
    fleet.learn(tx)
    disks = attachment.disks(tx, row.id)
    together = placement_group.find(tx, row.placement_group) if row.placement_group else None
    wish = wish_of(tx, config, fleet, row, disks, together)
    if row.claimed:
        wish = wish._replace(home="", wanted=wish.wanted._replace(disk_gib=sum(disk.size_gib for disk in disks)))
        fleet.take(row.host, Amount(*(-part for part in wish.wanted)))
    barred = reasons(fleet, wish)
    hosts = sorted(fleet.hosts.values(), key=lambda host: (host.name != row.host, host.name in barred, host.name))
    return {
        "id": row.id,
        "state": row.state,
        "type": row.type,
        "zone": row.zone,
        "wanted": wish.wanted._asdict(),
        "policy": config.placement_policy,
        "host": row.host,
        "because": row.placed_because,
        "reason": row.reason,
        "hosts": [
            {"host": host.name, "barred": barred[host.name].text if host.name in barred else "", **host.left._asdict()}
            for host in hosts
        ],
    }
