"""What a cloud's users do and what happens to guests by itself: each life is set up, then it happens.

Intents are written as the API's handlers write them: one transaction each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from crash.site import ZONES, Site

from cumulet.lib import ids
from cumulet.lib.config import Config
from cumulet.model import (
    Database,
    Tx,
    address,
    attachment,
    group,
    host,
    image,
    instance,
    interface,
    placement_group,
    subnet,
    volume,
    work,
)


class Place(Protocol):
    """Where an account's intents are written down."""

    @property
    def database(self) -> Database: ...
    @property
    def config(self) -> Config: ...
    @property
    def account(self) -> str: ...
    @property
    def image(self) -> str: ...


def launch(
    site: Place, *, groups: list[str] | None = None, behavior: str = "stop", vcpus: int = 1, zone: str | None = None
) -> str:
    """One instance of the first image in the default subnet, of this zone or the first one; gives its id."""
    with site.database.write() as tx:
        return launch_in(tx, site, groups=groups, behavior=behavior, vcpus=vcpus, zone=zone)


def launch_in(
    tx: Tx,
    site: Place,
    *,
    groups: list[str] | None = None,
    behavior: str = "stop",
    vcpus: int = 1,
    zone: str | None = None,
) -> str:
    id = ids.new("instance")
    net, found = subnet.default(tx, site.account, zone), image.find(tx, site.image)
    assert net is not None and found is not None
    values = {"id": id, "account": site.account, "reservation": ids.new("reservation"), "zone": net.zone}
    values |= {"image": found.id, "image_file": found.image_file, "boot": found.boot, "shutdown_behavior": behavior}
    values |= {"type": "m1.tiny", "vcpus": vcpus, "memory_mib": 64, "vpc": net.vpc, "subnet": net.id}
    tx.insert(instance.instance, {**values, "created": tx.now, "launched": tx.now})
    members = groups or [default_group(tx, site)]
    interface.create_many(tx, [id], {"wants_public_ip": True}, net, members)
    disk = {"id": ids.new("volume"), "account": site.account, "zone": net.zone, "size_gib": 1}
    tx.insert(volume.volume, {**disk, "image_file": found.image_file, "created": tx.now})
    root = {"account": site.account, "volume": disk["id"], "instance": id, "device": "/dev/sda1", "slot": "a"}
    attachment.add(tx, {**root, "delete_on_termination": True})
    work.wake(tx, "instance", id)
    return id


def default_group(tx: Tx, site: Place) -> str:
    """The default group of the default VPC."""
    return next(str(row.id) for row in group.of_account(tx, site.account) if row.name == "default")


def set_enabled(site: Place, enabled: bool) -> None:
    with site.database.write() as tx:
        host.set_enabled(tx, "h1", enabled)


def create_placement_group(site: Place) -> str:
    """A group whose instances are to be on different hosts."""
    id = ids.new("placement_group")
    with site.database.write() as tx:
        values: dict[str, object] = {"id": id, "account": site.account, "name": id, "strategy": "spread"}
        placement_group.add(tx, {**values, "spread_level": "host"})
    return id


def launch_apart(site: Place, together: str) -> str:
    """One instance of a placement group."""
    with site.database.write() as tx:
        id = launch_in(tx, site)
        instance.move(tx, id, {}, placement_group=together)
    return id


def terminate(site: Place, id: str) -> None:
    with site.database.write() as tx:
        if instance.move(tx, id, {"desired": ["running", "stopped"]}, desired="terminated", state="shutting-down"):
            work.wake(tx, "instance", id)


def stop(site: Place, id: str) -> None:
    expected = {"desired": "running", "state": ["pending", "running"]}
    with site.database.write() as tx:
        if instance.move(tx, id, expected, desired="stopped", state="stopping", force_after=tx.now + 60):
            work.wake(tx, "instance", id)


def start(site: Place, id: str) -> None:
    next_start = instance.instance.c.generation + 1
    with site.database.write() as tx:
        expected = {"desired": "stopped", "state": "stopped"}
        values = {"desired": "running", "state": "pending", "generation": next_start, "launched": tx.now}
        if instance.move(tx, id, expected, **values):
            work.wake(tx, "instance", id)


def reboot(site: Place, id: str) -> None:
    next_start = instance.instance.c.generation + 1
    with site.database.write() as tx:
        expected = {"desired": "running", "state": ["pending", "running"]}
        if instance.move(tx, id, expected, generation=next_start, force_after=tx.now + 60):
            work.wake(tx, "instance", id)


def allocate(site: Place) -> str:
    """A new Elastic IP; gives the public address."""
    with site.database.write() as tx:
        values: dict[str, object] = {"account": site.account, "allocation": ids.new("allocation")}
        taken = address.take(tx, site.config.public_pool, values)
    assert taken is not None
    return taken


def associate(site: Place, public_ip: str, id: str) -> None:
    """The address reaches this instance from now on, and the one that it reached before gets another."""
    disassociate(site, public_ip)
    with site.database.write() as tx:
        nic = interface.of_instance(tx, id)[0]
        address.release_automatic(tx, nic.id)
        address.disassociate(tx, nic.id)
        address.associate(tx, public_ip, nic.id, ids.new("association"))
        work.wake(tx, "interface", nic.id)


def disassociate(site: Place, public_ip: str) -> None:
    with site.database.write() as tx:
        row = address.elastic(tx, site.account, public_ip=public_ip)
        assert row is not None
        nic = interface.find(tx, row.interface) if row.interface else None
        if nic is None:
            return
        address.let_go(tx, public_ip)
        address.take_automatic(tx, site.config.public_pool, nic)
        work.wake(tx, "interface", nic.id)


def create_group(site: Place) -> str:
    id = ids.new("group")
    with site.database.write() as tx:
        net = subnet.default(tx, site.account)
        assert net is not None
        values = {"id": id, "account": site.account, "vpc": net.vpc, "name": id, "description": "web"}
        tx.insert(group.group, {**values, "created": tx.now})
    return id


def authorize(site: Place, id: str, port: int, source: str | None = None) -> None:
    """Let TCP in by this port, from everywhere or from the members of the group `source`."""
    cidr = None if source else "0.0.0.0/0"
    values = {"id": ids.new("rule"), "group_id": id, "account": site.account, "protocol": "tcp", "cidr": cidr}
    with site.database.write() as tx:
        tx.insert(
            group.rule,
            {**values, "egress": False, "from_port": port, "to_port": port, "source_group": source, "created": tx.now},
        )
        group.wake_with_references(tx, id)


def delete_group(site: Place, id: str) -> None:
    with site.database.write() as tx:
        group.delete(tx, id)


def join_groups(site: Place, id: str, groups: list[str]) -> None:
    """The instance's interface is in these groups, and in no other."""
    with site.database.write() as tx:
        nic = interface.of_instance(tx, id)[0]
        group.wake_of_interface(tx, nic.id)
        interface.set_groups(tx, nic.id, groups)
        group.wake_of_interface(tx, nic.id)
        work.wake(tx, "interface", nic.id)


def import_image(site: Place) -> str:
    values: dict[str, object] = {"account": site.account, "name": "mine", "location": "mine", "source": "/mine"}
    with site.database.write() as tx:
        return image.take_in(tx, values)[0]


def deregister(site: Place, id: str) -> None:
    """The image is gone for users, and its file should go."""
    with site.database.write() as tx:
        image.deregister(tx, id)


MORE_THAN_THERE_IS = 10**6


class Life(NamedTuple):
    """`act` gets what `prepare` gave: the instances (and others) it is about; `states` are theirs afterwards."""

    name: str
    prepare: Callable[[Site], list[str]]
    act: Callable[[Site, list[str]], object]
    states: list[str]
    alone: bool = False
    """What happens to the host, and so to all of its instances."""
    every: int = 1
    """It dies at every so many points: more than one for a life whose parts are lives of their own."""


def _running(site: Site) -> list[str]:
    return [launch(site)]


def _stopped(site: Site) -> list[str]:
    found = _running(site)
    site.settle()
    stop(site, found[0])
    return found


def _with_address(site: Site) -> list[str]:
    found = [launch(site), launch(site), allocate(site)]
    site.settle()
    associate(site, found[2], found[0])
    return found


def _with_groups(site: Site) -> list[str]:
    web, outside = create_group(site), create_group(site)
    authorize(site, web, 80, outside)
    return [launch(site, groups=[web]), web, outside]


def _leave_and_delete(site: Site, found: list[str]) -> None:
    with site.database.read() as tx:
        other = default_group(tx, site)
    join_groups(site, found[0], [other])
    delete_group(site, found[1])


def launch_beside(site: Site) -> str:
    """One instance on the second host; gives its id."""
    with site.database.write() as tx:
        id = launch_in(tx, site, zone=ZONES[1])
        instance.move(tx, id, {}, wanted_host="h2")
    return id


def _on_two_hosts(site: Site) -> list[str]:
    """An instance on each host."""
    first = launch(site)
    site.settle()
    return [first, launch_beside(site)]


def _with_address_and_two_hosts(site: Site) -> list[str]:
    found = [*_on_two_hosts(site), allocate(site)]
    site.settle()
    associate(site, found[2], found[0])
    return found


def _other_host_reboots(site: Site, found: list[str]) -> None:
    site.worlds["h2"].reboot()
    site.start_again()


def _launch_on_disabled(site: Site, found: list[str]) -> None:
    set_enabled(site, False)
    found.append(launch(site))


def _start_on_disabled(site: Site, found: list[str]) -> None:
    set_enabled(site, False)
    start(site, found[0])


def _spread(site: Site) -> list[str]:
    together = create_placement_group(site)
    return [launch_apart(site, together), together]


def _outgrow(site: Site, found: list[str]) -> None:
    """It has become larger than its host while it was stopped."""
    with site.database.write() as tx:
        instance.move(tx, found[0], {"state": "stopped"}, vcpus=MORE_THAN_THERE_IS)
    start(site, found[0])


def _host_reboots(site: Site, found: list[str]) -> None:
    site.world.reboot()
    site.start_again()


LIVES = [
    Life("launch", lambda site: [], lambda site, found: found.append(launch(site)), ["running"]),
    Life("terminate", _running, lambda site, found: terminate(site, found[0]), ["terminated"]),
    Life("stop", _running, lambda site, found: stop(site, found[0]), ["stopped"]),
    Life("start", _stopped, lambda site, found: start(site, found[0]), ["running"]),
    Life("reboot", _running, lambda site, found: reboot(site, found[0]), ["running"]),
    Life("terminate a stopped one", _stopped, lambda site, found: terminate(site, found[0]), ["terminated"]),
    Life("end by itself", _running, lambda site, found: site.hypervisor.end(found[0]), ["stopped"]),
    Life(
        "end by itself for good",
        lambda site: [launch(site, behavior="terminate")],
        lambda site, found: site.hypervisor.end(found[0]),
        ["terminated"],
    ),
    Life("crash", _running, lambda site, found: site.hypervisor.end(found[0], "crashed"), ["stopped"]),
    Life(
        "associate",
        lambda site: [launch(site), allocate(site)],
        lambda site, found: associate(site, found[1], found[0]),
        ["running"],
    ),
    Life("disassociate", _with_address, lambda site, found: disassociate(site, found[2]), ["running", "running"]),
    Life("move address", _with_address, lambda site, found: associate(site, found[2], found[1]), ["running"] * 2),
    Life("authorize", _with_groups, lambda site, found: authorize(site, found[1], 443), ["running"]),
    Life("join group", _with_groups, lambda site, found: join_groups(site, found[0], found[1:]), ["running"]),
    Life("delete group", _with_groups, _leave_and_delete, ["running"]),
    Life("import image", lambda site: [], lambda site, found: import_image(site), []),
    Life(
        "deregister image",
        lambda site: [import_image(site)],
        lambda site, found: deregister(site, found.pop(0)),
        [],
    ),
    Life(
        "no room",
        lambda site: [],
        lambda site, found: found.append(launch(site, vcpus=MORE_THAN_THERE_IS)),
        ["terminated"],
    ),
    Life("no room to start", _stopped, _outgrow, ["stopped"]),
    Life("launch on a disabled host", lambda site: [], _launch_on_disabled, ["terminated"], alone=True),
    Life("start on a disabled host", _stopped, _start_on_disabled, ["running"], alone=True),
    Life(
        "apart",
        _spread,
        lambda site, found: found.insert(1, launch_apart(site, found[1])),
        ["running", "terminated"],
    ),
    Life("host reboots", _running, _host_reboots, ["running"], alone=True),
    Life("join a host", _running, lambda site, found: found.append(launch_beside(site)), ["running"] * 2),
    Life("leave a host", _on_two_hosts, lambda site, found: terminate(site, found[0]), ["terminated", "running"]),
    Life(
        "stop beside",
        lambda site: _on_two_hosts(site)[::-1],
        lambda site, found: stop(site, found[0]),
        ["stopped", "running"],
    ),
    Life(
        "move address to another host",
        _with_address_and_two_hosts,
        lambda site, found: associate(site, found[2], found[1]),
        ["running"] * 2,
    ),
    Life("host's address changes", _on_two_hosts, lambda site, found: site.renumber("192.0.2.22"), ["running"] * 2),
    Life("other host reboots", _on_two_hosts, _other_host_reboots, ["running"] * 2, alone=True),
]
"""One line for each kind of life; the subjects that are instances come first."""
