"""Security groups as guests see them: what passes, what does not, and how soon a change is in force."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.guest import FakeGuest, World
from support.netns import Host, Network, Vpc, allow

from cumulet.drivers.specs import GroupSpec

VPC = Vpc()
OTHER_GROUP = "sg-00000000000000abc"


@dataclass
class Scene:
    """Two guests in one group, a third in another, all of them listening on 22 and 80."""

    host: Host
    network: Network
    a: FakeGuest
    b: FakeGuest
    c: FakeGuest

    def group(self, *ingress: object, **more: object) -> None:
        """The rules of the group of `a` and `b`, from now on."""
        members = [self.a.spec.ip, self.b.spec.ip]
        self.network.ensure(VPC.group(*ingress, **{"members": members, **more}))  # type: ignore[arg-type]

    def passes(self, port: int, *, sender: FakeGuest | None = None, timeout: float = 0.4) -> bool:
        """Whether a connection from `a`, or another one, to `b` is made; anything but silence would be a leak too."""
        said = (sender or self.a).connect(self.b.spec.ip, port, timeout)
        assert said in ("timeout", f"from {(sender or self.a).spec.ip}")
        return said != "timeout"


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Host() as host:
        network = Network(host)
        other = GroupSpec(id=OTHER_GROUP, vpc=VPC.id, egress=VPC.group().egress, members=[VPC.interface(3).ip])
        network.ensure(other)
        specs = VPC.interface(1), VPC.interface(2), VPC.interface(3, groups=[OTHER_GROUP])
        guests = [FakeGuest.started(host, network, spec) for spec in specs]
        for guest in guests:
            guest.listen(22)
            guest.listen(80)
        yield Scene(host, network, *guests)


def test_nothing_comes_in_that_no_rule_allows(scene: Scene) -> None:
    scene.group()
    assert not scene.passes(22)
    assert not scene.a.ping(scene.b.spec.ip, timeout=0.3)


def test_what_a_rule_allows_passes_and_its_answers_do_without_a_rule(scene: Scene) -> None:
    scene.group(allow("tcp", 22))
    assert scene.passes(22)
    assert not scene.passes(80)


def test_rules_by_range_let_only_the_range_in(scene: Scene) -> None:
    scene.group(allow("tcp", 22, cidr=f"{scene.a.spec.ip}/32"))
    assert scene.passes(22)
    assert not scene.passes(22, sender=scene.c)
    scene.group(allow("tcp", 22, cidr="192.0.2.0/24"))
    assert not scene.passes(22)


def test_rules_by_group_let_its_members_in(scene: Scene) -> None:
    scene.group(allow("tcp", 22, group=VPC.group_id))
    assert scene.passes(22)
    assert not scene.passes(22, sender=scene.c)
    scene.group(allow("tcp", 22, group=OTHER_GROUP))
    assert not scene.passes(22)
    assert scene.passes(22, sender=scene.c)


def test_a_group_that_nobody_knows_here_lets_nobody_in(scene: Scene) -> None:
    scene.group(allow("tcp", 22, group="sg-0000000000000dead"))
    assert not scene.passes(22)


def test_ports_are_as_aws_has_them(scene: Scene) -> None:
    scene.group(allow("tcp", 20, 25))
    assert scene.passes(22)
    assert not scene.passes(80)
    scene.group(allow("tcp", 0, 65535))
    assert scene.passes(22)
    scene.group(allow("tcp", 0))
    assert not scene.passes(22)
    scene.group(allow("6", 22))
    assert scene.passes(22)
    scene.group(allow("-1"))
    assert scene.passes(80)
    assert scene.a.ping(scene.b.spec.ip)
    scene.group(allow("udp", 22), allow("47"))
    assert not scene.passes(22)


def test_icmp_is_by_type_and_code(scene: Scene) -> None:
    echo, timestamp = 8, 13
    scene.group(allow("icmp", echo, -1))
    assert scene.a.ping(scene.b.spec.ip)
    assert not scene.a.ping(scene.b.spec.ip, type=timestamp, timeout=0.3)
    scene.group(allow("icmp", timestamp, 0))
    assert not scene.a.ping(scene.b.spec.ip, timeout=0.3)
    assert scene.a.ping(scene.b.spec.ip, type=timestamp)
    scene.group(allow("icmp", echo, 1))
    assert not scene.a.ping(scene.b.spec.ip, timeout=0.3)
    scene.group(allow("icmp"))
    assert scene.a.ping(scene.b.spec.ip)


def test_nothing_goes_out_that_no_rule_allows(scene: Scene) -> None:
    scene.group(allow("-1"), egress=[allow("tcp", 80)])
    assert scene.passes(80)
    assert not scene.passes(22)
    scene.group(allow("-1"), egress=[allow("tcp", 22, group=VPC.group_id)])
    assert scene.passes(22)
    assert scene.a.connect(scene.c.spec.ip, 22, 0.3) == "timeout"
    scene.group(allow("-1"), egress=[])
    assert not scene.passes(80)


def test_a_change_is_in_force_on_running_guests_within_a_second(scene: Scene) -> None:
    scene.group()
    assert not scene.passes(22)
    start = time.monotonic()
    scene.group(allow("tcp", 22))
    assert scene.passes(22)
    scene.group()
    assert not scene.passes(22)
    assert time.monotonic() - start < 1


def test_all_the_groups_of_an_interface_count(scene: Scene) -> None:
    scene.group()
    spec = scene.b.spec
    both = VPC.interface(2, groups=[VPC.group_id, OTHER_GROUP])
    scene.network.ensure(
        GroupSpec(id=OTHER_GROUP, vpc=VPC.id, ingress=[allow("tcp", 80)], egress=VPC.group().egress, members=[])
    )
    assert not scene.passes(80)
    scene.network.ensure(both)
    assert scene.passes(80)
    scene.network.ensure(spec)
    assert not scene.passes(80)


def test_a_removed_group_lets_nothing_through_and_comes_back(scene: Scene) -> None:
    scene.group(allow("tcp", 22))
    scene.network.remove(VPC.group_id)
    assert not scene.passes(22)
    assert scene.network.look(VPC.group_id) is None
    scene.group(allow("tcp", 22))
    assert scene.passes(22)


def test_the_outside_reaches_no_guest_without_a_public_address(scene: Scene) -> None:
    scene.group(allow("-1"))
    world = World(scene.host)
    world.run("ip", "route", "replace", VPC.cidr, "via", "198.51.100.1")
    assert world.connect(scene.b.spec.ip, 22, 0.3) in ("timeout", "unreachable")
    world.close()
