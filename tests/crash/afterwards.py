"""What must be true of a cloud at rest: the rows, the outside world and the work agree, and nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import sqlalchemy as sa

from cumulet.agent.documents import Documents
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import tap_name
from cumulet.model import (
    Database,
    Tx,
    address,
    attachment,
    capacity,
    group,
    image,
    image_copy,
    image_use,
    instance,
    interface,
    snapshot,
    vlan,
    volume,
    vpc,
    vpc_host,
    work,
)
from cumulet.model.capacity import NOTHING
from cumulet.model.host import guest_mtu


class Whole(Protocol):
    """A cloud of hosts with fake drivers, looked at from outside."""

    worlds: dict[str, FakeWorld]
    """What is on each host."""

    @property
    def database(self) -> Database: ...

    @property
    def addresses(self) -> dict[str, str]:
        """Each host's address on the underlay."""
        ...

    def documents(self) -> Iterator[Documents]:
        """Those of all agents."""
        ...

    def image_stores(self) -> list[tuple[tuple[str, ...], FakeWorld]]:
        """Where image files are kept, and which hosts share it."""
        ...


def check(site: Whole, states: dict[str, str], shared: FakeWorld | None = None) -> None:
    """Assert all of it; `states` are those that instances should be in, by id.

    `shared` is where the volumes of all hosts are; None: each has its own.
    """
    with site.database.read() as tx:
        rows = tx.all(sa.select(instance.instance))
        found = {row.id: row.state for row in rows}
        wrong = [(row.id, row.state, row.reason) for row in rows if states.get(row.id, row.state) != row.state]
        assert {id: found.get(id) for id in states} == states, wrong
        for host in site.worlds:
            _guests(site, host, rows)
            _disks(tx, site, host, rows)
            _exports(tx, site, host)
            _interfaces(tx, site, host, rows)
            _groups(tx, site, host)
            _tunnels(tx, site, host)
        _capacity(tx, rows)
        _members(tx, rows)
        _addresses(tx)
        _files(
            tx,
            site,
            [(tuple(site.worlds), shared)] if shared else [((name,), site.worlds[name]) for name in site.worlds],
        )
        _work(tx)
        _documents(tx, site)


def _guests(site: Whole, host: str, rows: list[Any]) -> None:
    world = site.worlds[host]
    domains = {name: world.get("domain", name) or {} for name in world.names("domain")}
    running = {row.id: row.generation for row in rows if row.state == "running" and row.host == host}
    stopped = {row.id for row in rows if row.state == "stopped" and row.host == host}
    assert {row.state for row in rows} <= {"running", "stopped", "terminated"}
    assert {id: domain["generation"] for id, domain in domains.items() if domain["state"] == "running"} == running
    assert {id for id, domain in domains.items() if domain["state"] != "running"} <= stopped
    assert (world.names("door"), [row.id for row in rows if row.moves_live]) == ([], [])


def _disks(tx: Tx, site: Whole, host: str, rows: list[Any]) -> None:
    """A running guest has just the disks that are attached to it, so that none is in two."""
    for row in rows:
        if row.state == "running" and row.host == host:
            there = (site.worlds[host].get("domain", row.id) or {})["disks"]
            assert there == [disk.attachment for disk in attachment.disks(tx, row.id)]


def _exports(tx: Tx, site: Whole, host: str) -> None:
    """A host exports the volumes of running guests that are on other hosts, and no others."""
    running = tx.all(sa.select(instance.instance).where(instance.instance.c.state == "running"))
    disks = [(row.host, disk) for row in running for disk in attachment.disks(tx, row.id)]
    wanted = {disk.attachment: disk.id for there, disk in disks if disk.host == host and there != host}
    world = site.worlds[host]
    assert {name: (world.get("volume_export", name) or {})["volume"] for name in world.names("volume_export")} == wanted
    assert set(attachment.exported_by(tx, host)) == set(wanted)


def _capacity(tx: Tx, rows: list[Any]) -> None:
    """What is counted on a host is what its running guests and its disks need, and what their claims say."""
    running = [row for row in rows if row.state == "running"]
    assert {row.id for row in rows if row.claimed} == {row.id for row in running}
    promised = capacity.promised(tx)
    for host, counted in capacity.counted(tx).items():
        here = [row for row in running if row.host == host]
        sizes = tx.connection.scalars(sa.select(volume.volume.c.size_gib).where(volume.volume.c.host == host))
        assert counted == (sum(row.vcpus for row in here), sum(row.memory_mib for row in here), sum(sizes))
        assert counted == promised.get(host, NOTHING)


def _interfaces(tx: Tx, site: Whole, host: str, rows: list[Any]) -> None:
    running = {row.id for row in rows if row.state == "running" and row.host == host}
    nics = [nic for nic in tx.all(sa.select(interface.interface)) if nic.instance in running]
    world = site.worlds[host]
    taps = {name: world.get("tap", name) or {} for name in world.names("tap")}
    assert set(taps) == {tap_name(nic.id) for nic in nics}
    mtu = guest_mtu(tx, host)
    for nic in nics:
        tap, public = taps[tap_name(nic.id)], address.of_interface(tx, nic.id)
        assert public is not None
        assert (tap["ip"], tap["public_ip"], tap["place"]) == (nic.ip, public.public_ip, "vpc")
        assert (tap["holder"], tap["groups"]) == (nic.instance, interface.groups(tx, nic.id))
        assert (nic.host, nic.announced, tap["mtu"]) == (host, public.public_ip, mtu)
        assert (nic.also_on, nic.stands_by) == ("", False)


def _members(tx: Tx, rows: list[Any]) -> None:
    """Each living instance has its interface, and those that do not run have it on no host."""
    nics = tx.all(sa.select(interface.interface))
    assert sorted(nic.instance for nic in nics) == sorted(row.id for row in rows if row.state != "terminated")
    running = {row.id for row in rows if row.state == "running"}
    assert {(nic.host, nic.announced) for nic in nics if nic.instance not in running} <= {(None, None)}
    memberships = tx.all(sa.select(interface.interface_group))
    assert {row.group_id for row in memberships} <= set(tx.connection.scalars(sa.select(group.group.c.id)))
    assert {row.interface for row in memberships} == {nic.id for nic in nics}


def _addresses(tx: Tx) -> None:
    running = sa.select(instance.instance.c.id).where(instance.instance.c.state == "running")
    nics = set(tx.connection.scalars(sa.select(interface.interface.c.id)))
    holders = set(
        tx.connection.scalars(sa.select(interface.interface.c.id).where(interface.interface.c.instance.in_(running)))
    )
    reached = [row for row in tx.all(sa.select(address.address)) if row.interface is not None or not row.allocation]
    assert {row.interface for row in reached if not row.allocation} <= holders
    assert {row.interface for row in reached} <= nics
    assert len({row.interface for row in reached}) == len(reached)


def _groups(tx: Tx, site: Whole, host: str) -> None:
    rows = tx.all(sa.select(group.group))
    assert all(row.desired == "present" for row in rows)
    world = site.worlds[host]
    wanted = {row.id for row in rows if host in group.wanted_hosts(tx, row.id)}
    assert {row.group_id for row in tx.all(sa.select(group.group_host)) if row.host == host} == wanted
    assert set(world.names("group")) == wanted
    for id in wanted:
        there = world.get("group", id) or {}
        assert there["members"] == group.member_addresses(tx, id)
        assert there["rules"] == len(group.rules(tx, id))


def _tunnels(tx: Tx, site: Whole, host: str) -> None:
    """A VPC with guests on both hosts has a tunnel on each, which leads to the other's guests."""
    vlans = vlan.all(tx)
    made = tx.all(sa.select(vpc.vpc))
    assert set(vlans) <= {row.id for row in made}
    numbers = {row.id: {"vni": row.vni} | ({"vlan": vlans[row.id]} if row.id in vlans else {}) for row in made}
    addresses = site.addresses
    nics = [nic for nic in tx.all(sa.select(interface.interface)) if nic.host is not None]
    places = {id: {nic.ip: nic.host for nic in nics if nic.vpc == id} for id in numbers}
    wanted = {
        id: numbers[id] | {"peers": {ip: addresses[name] for ip, name in found.items() if name != host}}
        for id, found in places.items()
        if host in found.values() and len(set(found.values())) > 1
    }
    world = site.worlds[host]
    assert {name: world.get("tunnel", name) for name in world.names("tunnel")} == wanted
    assert {row.vpc for row in tx.all(sa.select(vpc_host.vpc_host)) if row.host == host} == set(wanted)


def _files(tx: Tx, site: Whole, stores: list[tuple[tuple[str, ...], FakeWorld]]) -> None:
    disks, files = tx.all(sa.select(volume.volume)), tx.all(sa.select(image.image_file))
    living = set(
        tx.connection.scalars(sa.select(instance.instance.c.id).where(instance.instance.c.state != "terminated"))
    )
    held = tx.all(sa.select(attachment.attachment))
    assert {one.instance for one in held if one.slot == "a"} == living
    assert {one.instance for one in held} == living
    assert {one.volume for one in held} <= {disk.id for disk in disks}
    assert {(one.desired, one.state) for one in held} <= {("attached", "attached")}
    assert {disk.desired for disk in disks} <= {"present"}
    placed = [disk for disk in disks if disk.host is not None]  # one that was stopped before it had a host has none yet
    assert {disk.state for disk in placed} <= {"ready"}
    for hosts, world in stores:
        kept = [row.id for row in tx.all(sa.select(snapshot.snapshot)) if row.host in hosts]
        assert world.names("snapshot") == sorted(kept)
        sizes = {disk.id: disk.size_gib for disk in disks if disk.host in hosts}
        assert {disk.id: disk.made_gib for disk in disks if disk.host in hosts} == sizes
        bases = {id for id in world.names("volume") if id.startswith("imf-")}
        made = set(world.names("volume")) - bases
        assert {id: (world.get("volume", id) or {})["size_gib"] for id in made} == sizes
        assert bases <= {file.id for file in files}
    assert {one.state for one in tx.all(sa.select(snapshot.snapshot))} <= {"completed"}
    assert {file.state for file in files} == {"available"}
    copies = tx.all(sa.select(image_copy.image_copy))
    assert {(copy.desired, copy.state) for copy in copies} <= {("present", "available")}
    for hosts, world in site.image_stores():
        here = [file.id for file in files if file.host in hosts]
        assert world.names("image") == sorted([*here, *(copy.image_file for copy in copies if copy.host in hosts)])
    assert [file.id for file in files if not image_use.is_used(tx, file.id)] == []


def _work(tx: Tx) -> None:
    rows = [row for row in tx.all(sa.select(work.work)) if row.kind != "sweep"]
    assert [row for row in rows if row.due is not None or row.lease is not None or row.error or row.tries] == []
    gone = {row.id for row in rows if row.kind in ("interface", "volume")}
    gone -= set(tx.connection.scalars(sa.select(interface.interface.c.id)))
    assert gone - set(tx.connection.scalars(sa.select(volume.volume.c.id))) == set()


def _documents(tx: Tx, site: Whole) -> None:
    """An agent's document that lives on would bring a thing back after the host's next reboot."""
    there = {id for documents in site.documents() for id in documents.living()}
    rows = [
        *tx.connection.scalars(sa.select(instance.instance.c.id).where(instance.instance.c.state != "terminated")),
        *tx.connection.scalars(sa.select(interface.interface.c.id).where(interface.interface.c.host.is_not(None))),
        *tx.connection.scalars(sa.select(volume.volume.c.id)),
        *tx.connection.scalars(sa.select(attachment.attachment.c.id).where(attachment.attachment.c.exported != "")),
        *tx.connection.scalars(sa.select(snapshot.snapshot.c.id)),
        *tx.connection.scalars(sa.select(group.group_host.c.group_id)),
        *tx.connection.scalars(sa.select(vpc_host.vpc_host.c.vpc)),
        *tx.connection.scalars(sa.select(image.image_file.c.id)),
    ]
    assert there - set(rows) == set()
