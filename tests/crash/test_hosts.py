"""A cloud of two hosts: who answers for an address that moves, and what is said where the hosts are not joined."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from crash.afterwards import check
from crash.lives import allocate, associate, launch, launch_beside
from crash.site import Site
from support.between import Between

from cumulet.bus.contract import Bus
from cumulet.lib.errors import Unreachable
from cumulet.model import host, subnet, vpc_host, work
from cumulet.model.explanation import explain


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Site]:
    made = Site.copy(template, tmp_path / "site")
    yield made
    made.close()


@pytest.fixture
def guests(site: Site) -> list[str]:
    """An instance on each host."""
    found = [launch(site), launch_beside(site)]
    site.settle()
    return found


class Listening(Between):
    """Hears who is ordered to answer for which public address; the host `away` does not hear its next order."""

    def __init__(self, bus: Bus, away: str) -> None:
        super().__init__(bus)
        self.answering: dict[str, str | None] = {}
        self.announced: list[tuple[str, tuple[str, ...]]] = []
        self._away = away

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        order: dict[str, Any] = msgspec.json.decode(message)
        if topic != f"network.{self._away}" or order["verb"] != "ensure":
            self._note(topic, order)
            return super().call(topic, message, timeout)
        self._away = ""
        raise Unreachable(f"{topic}: no answer")

    def _note(self, topic: str, order: dict[str, Any]) -> None:
        if topic.startswith("network.") and order.get("id", "").startswith("eni-"):
            self.answering[topic] = (order.get("spec") or {}).get("public_ip")
            if self.answering[topic] is not None:
                others = tuple(name for name, ip in self.answering.items() if ip == self.answering[topic])
                self.announced.append((str(self.answering[topic]), others))


def test_a_public_address_is_announced_once_more_when_the_old_host_has_let_it_go(site: Site, guests: list[str]) -> None:
    public_ip = allocate(site)
    associate(site, public_ip, guests[0])
    site.settle()
    bus = Listening(site.cloud.bus, away="h1")
    bus.answering["network.h1"] = public_ip
    site.engine.bus = bus
    associate(site, public_ip, guests[1])
    site.settle()
    alone = ("network.h2",)
    told = [others for ip, others in bus.announced if ip == public_ip]
    assert told[0] != alone, "the old host was away, and the new one did not wait for it"
    assert told[-1] == alone
    check(site, dict.fromkeys(guests, "running"))


def test_hosts_without_an_address_are_not_joined_and_that_is_said(site: Site, guests: list[str]) -> None:
    check(site, dict.fromkeys(guests, "running"))
    site.renumber("")
    site.settle()
    assert [world.names("tunnel") for world in site.worlds.values()] == [[], []]
    with site.database.read() as tx:
        net = subnet.default(tx, site.account)
        assert net is not None
        said = "guests on h2 reach no other host: no tunnel_address"
        assert vpc_host.cut_off(tx) == {net.vpc: said}
        assert explain(tx, net.vpc)["reason"] == said
    site.renumber("192.0.2.2")
    site.settle()
    check(site, dict.fromkeys(guests, "running"))


def test_a_tunnel_that_a_host_lost_is_made_again_and_one_that_leaked_is_removed(site: Site, guests: list[str]) -> None:
    name = site.worlds["h2"].names("tunnel")[0]
    site.worlds["h2"].remove("tunnel", name)
    site.worlds["h1"].put("tunnel", "vpc-0feed", {"vni": 1, "peers": {}})
    site.sweep()
    check(site, dict.fromkeys(guests, "running"))


def test_a_host_that_is_away_does_not_keep_the_others_from_a_change(site: Site, guests: list[str]) -> None:
    site.engine.bus = Deaf(site.cloud.bus, "network.h2")
    with site.database.read() as tx:
        net = subnet.default(tx, site.account)
    assert net is not None
    name = site.world.names("tunnel")[0]
    site.world.remove("tunnel", name)
    with site.database.write() as tx:
        work.wake(tx, "vpc", net.vpc)
    site.engine.run_due()
    assert site.world.names("tunnel") == [name]
    with site.database.read() as tx:
        row = work.find(tx, "vpc", net.vpc)
    assert row is not None
    assert "network.h2: no answer" in row.error
    site.engine.bus = site.cloud.bus
    site.settle()
    check(site, dict.fromkeys(guests, "running"))


def test_what_waits_for_a_host_is_looked_at_as_soon_as_the_host_is_heard_again(site: Site) -> None:
    site.engine.bus = Deaf(site.cloud.bus, "compute.h1")
    guest = launch(site)
    for _ in range(9):
        while site.engine.run_due():
            pass
        site.pass_time(host.LIVE_SECONDS + 1.0)
    site.engine.bus = site.cloud.bus
    (waiting,) = [row for row in site.waiting() if row.kind == "instance"]
    assert waiting.error.startswith("Unreachable")
    with site.database.write() as tx:
        work.put_off(tx, "instance", guest, waiting.epoch, waiting.wakes, 1000.0, waiting.error, waiting.tries)
    began = site.clock.now()
    site.beat()
    site.settle()
    assert site.clock.now() - began < host.LIVE_SECONDS
    check(site, {guest: "running"})


class Deaf(Between):
    """A bus on which one topic is not heard."""

    def __init__(self, bus: Bus, topic: str) -> None:
        super().__init__(bus)
        self._topic = topic

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        if topic == self._topic:
            raise Unreachable(f"{topic}: no answer")
        return super().call(topic, message, timeout)
