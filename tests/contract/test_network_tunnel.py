"""The tunnel of a VPC as a driver's thing: what it keeps, changes, finds again and removes; on a real kernel."""

from __future__ import annotations

import sys

import msgspec
import pytest
from support.joined_hosts import (
    TUNNEL_MTU,
    VLANS,
    JoinedHost,
    Start,
    join,
    joined,
    let,
    reach,
    tunnel,
)
from support.netns import Host, Network, Vpc, allow

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import PeerSpec, VpcSpec
from cumulet.lib.errors import Failure, Impossible

VPC = Vpc()
ONE, TWO, THREE = (VPC.interface(number, mtu=TUNNEL_MTU) for number in (1, 2, 3))
POINTS = 40


def test_a_guest_that_moved_is_found_on_its_new_host(hosts: list[JoinedHost], start: Start) -> None:
    first, second, third = hosts
    let(hosts, VPC.group(allow("icmp")))
    one, _ = start(first, ONE), start(third, THREE)
    before = second.guest(TWO)
    join(VPC, (first, [ONE]), (second, [TWO]), (third, [THREE]))
    assert one.ping(TWO.ip)
    second.network.remove(TWO.id)
    before.close()
    start(third, TWO)
    assert not one.ping(TWO.ip)
    join(VPC, (first, [ONE]), (third, [THREE, TWO]))
    second.network.remove(VPC.id)
    second.network.remove(VPC.group_id)
    assert one.ping(TWO.ip)
    assert second.inventory()["namespaces"] == []


def test_who_gets_the_address_of_another_does_not_get_his_flows(hosts: list[JoinedHost], start: Start) -> None:
    first, second, third = hosts
    let(hosts, VPC.group())
    one = start(first, ONE)
    first.network.ensure(reach(VPC, (second, [TWO])))
    one.ask("say", address=TWO.ip, port=5000, from_port=4000)
    one.ask("echo", port=4000, text="come in")
    first.network.ensure(reach(VPC, (third, [TWO])))
    third.network.ensure(reach(VPC, (first, [ONE])))
    assert start(third, TWO).ask("say", address=ONE.ip, port=4000, from_port=5000) is None


def test_a_guest_that_is_here_is_here_whatever_an_old_spec_says(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first], VPC.group(allow("icmp")))
    one, _ = start(first, ONE), start(first, TWO)
    first.network.ensure(reach(VPC, (second, [TWO])))
    assert one.ping(TWO.ip)
    first.network.ensure(reach(VPC))
    assert one.ping(TWO.ip)


def test_a_peer_that_is_removed_is_not_reached_and_not_heard(hosts: list[JoinedHost], start: Start) -> None:
    first, second, third = hosts
    let(hosts, VPC.group(allow("icmp")))
    one, two, three = start(first, ONE), start(second, TWO), start(third, THREE)
    join(VPC, (first, [ONE]), (second, [TWO]), (third, [THREE]))
    assert (one.ping(TWO.ip), one.ping(THREE.ip)) == (True, True)
    first.network.ensure(reach(VPC, (third, [THREE])))
    assert (one.ping(TWO.ip), two.ping(ONE.ip), one.ping(THREE.ip)) == (False, False, True)
    assert second.underlay not in str(tunnel(first, VPC))
    first.network.remove(VPC.id)
    assert (one.ping(THREE.ip), three.ping(ONE.ip)) == (False, False)
    assert "4789 drop" in first.run("nft", "list", "ruleset")
    assert first.network.observe() == [Seen(id=ONE.id), Seen(id=VPC.group_id)]


def test_another_vpc_keeps_a_peer_that_one_has_lost(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    other = Vpc(2)
    there = other.interface(2)
    let([first, second], other.group(allow("icmp")))
    one, _ = start(first, other.interface(1)), start(second, there)
    join(other, (first, [other.interface(1)]), (second, [there]))
    first.network.ensure(reach(VPC, (second, [TWO])))
    first.network.remove(VPC.id)
    assert one.ping(there.ip)


def test_ensuring_again_changes_nothing(hosts: list[JoinedHost]) -> None:
    first, second, third = hosts
    spec = reach(VPC, (second, [TWO]), (third, [THREE]))
    first.network.ensure(spec)
    before = tunnel(first, VPC) | first.inventory()
    first.network.ensure(spec)
    after = tunnel(first, VPC) | first.inventory()
    assert {key: (before[key], after[key]) for key in after if before[key] != after[key]} == {}
    assert first.network.look(VPC.id) == Seen(id=VPC.id)


def test_a_driver_that_was_killed_leaves_the_tunnel_alone_and_knows_it_again(
    hosts: list[JoinedHost], start: Start
) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("icmp")))
    one, _ = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE]), (second, [TWO]))
    before = tunnel(first, VPC)
    first.network.kill()
    assert one.ping(TWO.ip)
    first.start()
    assert Seen(id=VPC.id) in first.network.observe()
    first.network.ensure(reach(VPC, (second, [TWO])))
    assert tunnel(first, VPC) == before
    assert one.ping(TWO.ip)


def test_a_host_whose_address_changed_has_a_new_tunnel(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("icmp")))
    one, _ = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE]), (second, [TWO]))
    first.network.close()
    first.run("ip", "address", "delete", f"{first.underlay}/24", "dev", "under0")
    first.run("ip", "address", "add", "192.0.2.101/24", "dev", "under0")
    first.underlay = "192.0.2.101"
    first.start()
    join(VPC, (first, [ONE]), (second, [TWO]))
    assert one.ping(TWO.ip)


def test_after_everything_is_removed_nothing_is_left_on_any_host(hosts: list[JoinedHost]) -> None:
    before = [host.inventory() for host in hosts]
    let(hosts, VPC.group())
    specs = [ONE, TWO, THREE]
    for host, spec in zip(hosts, specs, strict=True):
        host.network.ensure(spec)
    join(VPC, *((host, [spec]) for host, spec in zip(hosts, specs, strict=True)))
    for host, spec in zip(hosts, specs, strict=True):
        for id in (spec.id, VPC.group_id, VPC.id):
            host.network.remove(id)
    for host, was in zip(hosts, before, strict=True):
        now = host.inventory()
        assert {key: (was[key], now[key]) for key in was if was[key] != now[key]} == {}


def test_a_crash_anywhere_in_ensuring_a_tunnel_is_repaired_by_ensuring_again(
    hosts: list[JoinedHost], start: Start
) -> None:
    first, second, third = hosts
    let([first, second], VPC.group(allow("icmp")))
    one, _ = start(first, ONE), start(second, TWO)
    second.network.ensure(reach(VPC, (first, [ONE])))
    there, elsewhere = reach(VPC, (second, [TWO])), reach(VPC, (third, [TWO, THREE]))
    died = []
    for step in range(1, POINTS):
        first.network.remove(VPC.id)
        points = [first.network.ensure_dying_at(step, there)]
        first.network.ensure(there)
        assert one.ping(TWO.ip), f"after dying at {points}"
        expected = tunnel(first, VPC)
        points.append(first.network.ensure_dying_at(step, elsewhere))
        first.network.ensure(there)
        assert tunnel(first, VPC) == expected, f"after dying at {points}"
        assert one.ping(TWO.ip)
        if points == [None, None]:
            break
        died += points
    assert {"network.tunnel.noted", "network.tunnel.made", "network.tunnel.hosts", "network.tunnel.routed"} <= {*died}


def test_a_crash_anywhere_in_removing_a_tunnel_is_repaired_by_removing_again(hosts: list[JoinedHost]) -> None:
    first, second = hosts[:2]
    before = first.inventory()
    died = []
    for step in range(1, POINTS):
        first.network.ensure(reach(VPC, (second, [TWO])))
        point = first.network.remove_dying_at(step, VPC.id)
        first.network.remove(VPC.id)
        assert first.inventory() == before, f"after dying at {point}"
        if point is None:
            break
        died.append(point)
    assert {"network.tunnel.removed", "network.tunnel.shut"} <= set(died)


def test_what_cannot_be_a_tunnel_is_refused(hosts: list[JoinedHost]) -> None:
    first = hosts[0]
    with pytest.raises(Impossible):
        first.network.ensure(VpcSpec(id=VPC.id, cidr=VPC.cidr, vni=1, peers=[PeerSpec(ip="x", via=first.underlay)]))
    with pytest.raises(Failure, match="first four bits"):
        peers = [PeerSpec(ip="10.0.0.1", via="10.9.9.9"), PeerSpec(ip="10.0.0.2", via="26.9.9.9")]
        first.network.ensure(VpcSpec(id=VPC.id, cidr=VPC.cidr, vni=1, peers=peers))
    with Host() as alone, pytest.raises(Failure, match="no tunnel_address"):
        Network(alone).ensure(reach(VPC))


def test_a_vpc_that_gets_a_vlan_leaves_its_vxlan(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("icmp")))
    one, _ = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE]), (second, [TWO]))
    device = tunnel(first, VPC)["device"]
    other = msgspec.structs.replace(reach(VPC, (second, [TWO])), vlan=0 if VLANS else 101)
    if VLANS:
        first.network.ensure(other)
        assert ("vlan" in device, "vxlan" in tunnel(first, VPC)["device"]) == (True, True)
        assert not one.ping(TWO.ip)
        first.network.ensure(reach(VPC, (second, [TWO])))
    else:
        with pytest.raises(Failure, match="no vlan_interface"):
            first.network.ensure(other)
    assert one.ping(TWO.ip)


@pytest.mark.parametrize(("link_mtu", "expected"), [(1500, "1450"), (1400, "1350")])
def test_what_fits_through_the_tunnel_follows_from_the_underlay(link_mtu: int, expected: str) -> None:
    with joined(1) as (_, hosts):
        hosts[0].run("ip", "link", "set", "under0", "mtu", str(link_mtu))
        assert guest_mtu(hosts[0], hosts[0].underlay).strip() == expected
        assert "no interface of this host has" in guest_mtu(hosts[0], "192.0.2.99")
        hosts[0].run("ip", "address", "add", "192.0.2.99/32", "dev", "lo")
        assert "guest_mtu must say" in guest_mtu(hosts[0], "192.0.2.99")
        assert guest_mtu(hosts[0], "192.0.2.99", 1400).strip() == "1400"


def guest_mtu(host: JoinedHost, address: str, setting: int = 0) -> str:
    """What a program inside finds, or what it says is wrong."""
    config = f"Config(tunnel_address={address!r}, guest_mtu={setting})"
    program = f"from cumulet import parts\nfrom cumulet.lib.config import Config\ntry: print(parts.guest_mtu({config}))"
    return host.run(sys.executable, "-P", "-c", program + "\nexcept Exception as e: print(e)")
