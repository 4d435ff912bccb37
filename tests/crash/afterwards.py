"""What must be true of a cloud at rest: the rows, the outside world and the work agree, and nothing is left over."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from crash.site import Site

from cumulet.drivers.specs import tap_name
from cumulet.model import Tx, address, group, image, instance, interface, volume, work


def check(site: Site, states: dict[str, str]) -> None:
    """Assert all of it; `states` are those that instances should be in, by id."""
    with site.database.read() as tx:
        rows = tx.all(sa.select(instance.instance))
        found = {row.id: row.state for row in rows}
        assert {id: found.get(id) for id in states} == states, [row.reason for row in rows if row.reason]
        _guests(site, rows)
        _capacity(tx, rows)
        _interfaces(tx, site, rows)
        _addresses(tx)
        _groups(tx, site)
        _files(tx, site)
        _work(tx)
        _documents(tx, site)


def _guests(site: Site, rows: list[Any]) -> None:
    domains = {name: site.world.get("domain", name) or {} for name in site.world.names("domain")}
    running = {row.id: row.generation for row in rows if row.state == "running"}
    stopped = {row.id for row in rows if row.state == "stopped"}
    assert {row.state for row in rows} <= {"running", "stopped", "terminated"}
    assert {id: domain["generation"] for id, domain in domains.items() if domain["state"] == "running"} == running
    assert {id for id, domain in domains.items() if domain["state"] != "running"} <= stopped


def _capacity(tx: Tx, rows: list[Any]) -> None:
    promised = [row for row in rows if row.state == "running"]
    expected = {"h1": (sum(row.vcpus for row in promised), sum(row.memory_mib for row in promised))}
    assert instance.used(tx) == (expected if promised else {})


def _interfaces(tx: Tx, site: Site, rows: list[Any]) -> None:
    states = {row.id: row.state for row in rows}
    nics = tx.all(sa.select(interface.interface))
    taps = {name: site.world.get("tap", name) or {} for name in site.world.names("tap")}
    assert sorted(nic.instance for nic in nics) == sorted(id for id, state in states.items() if state != "terminated")
    assert set(taps) == {tap_name(nic.id) for nic in nics if states[nic.instance] == "running"}
    for nic in nics:
        if states[nic.instance] == "running":
            tap, public = taps[tap_name(nic.id)], address.of_interface(tx, nic.id)
            assert public is not None
            assert (tap["ip"], tap["public_ip"], tap["place"]) == (nic.ip, public.public_ip, "vpc")
            assert (tap["holder"], tap["groups"]) == (nic.instance, interface.groups(tx, nic.id))


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


def _groups(tx: Tx, site: Site) -> None:
    rows = tx.all(sa.select(group.group))
    assert all(row.desired == "present" for row in rows)
    wanted = {row.id for row in rows if group.wanted_hosts(tx, row.id) == {"h1"}}
    assert {row.group_id for row in tx.all(sa.select(group.group_host))} == wanted
    assert set(site.world.names("group")) == wanted
    for id in wanted:
        there = site.world.get("group", id) or {}
        assert there["members"] == group.member_addresses(tx, id)
        assert there["rules"] == len(group.rules(tx, id))
    memberships = tx.all(sa.select(interface.interface_group))
    assert {row.group_id for row in memberships} <= {row.id for row in rows}
    assert {row.interface for row in memberships} == set(tx.connection.scalars(sa.select(interface.interface.c.id)))


def _files(tx: Tx, site: Site) -> None:
    disks = tx.all(sa.select(volume.volume))
    living = set(
        tx.connection.scalars(sa.select(instance.instance.c.id).where(instance.instance.c.state != "terminated"))
    )
    assert {disk.instance for disk in disks} == living
    assert {disk.state for disk in disks} <= {"ready"}
    assert site.world.names("volume") == sorted(disk.id for disk in disks)
    files = tx.all(sa.select(image.image_file))
    assert {file.state for file in files} == {"available"}
    assert site.world.names("image") == sorted(file.id for file in files)


def _work(tx: Tx) -> None:
    rows = [row for row in tx.all(sa.select(work.work)) if row.kind != "sweep"]
    assert [row for row in rows if row.due is not None or row.lease is not None or row.error or row.tries] == []
    gone = {row.id for row in rows if row.kind in ("interface", "volume")}
    gone -= set(tx.connection.scalars(sa.select(interface.interface.c.id)))
    assert gone - set(tx.connection.scalars(sa.select(volume.volume.c.id))) == set()


def _documents(tx: Tx, site: Site) -> None:
    """An agent's document that lives on would bring a thing back after the host's next reboot."""
    there = {id for agent in site.cloud.host.agents.values() for id in agent.documents.living()}
    rows = [
        *tx.connection.scalars(sa.select(instance.instance.c.id).where(instance.instance.c.state != "terminated")),
        *tx.connection.scalars(sa.select(interface.interface.c.id).where(interface.interface.c.host.is_not(None))),
        *tx.connection.scalars(sa.select(volume.volume.c.id)),
        *tx.connection.scalars(sa.select(group.group_host.c.group_id)),
        *tx.connection.scalars(sa.select(image.image_file.c.id)),
    ]
    assert there <= set(rows)
