"""The Linux network driver as a driver: what it makes, keeps, finds again and removes; on a real kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.guest import FakeGuest
from support.libvirtd import bounded
from support.netns import SETTINGS, Host, Network, Vpc, allow

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import GroupSpec, InterfaceSpec, tap_name
from cumulet.lib.errors import Failure, Impossible

VPC = Vpc()
NAMESPACE = SETTINGS.namespace(VPC.id)
POINTS = 40


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def network(host: Host) -> Network:
    return Network(host)


def where_is_tap(host: Host, interface: str) -> list[str]:
    """`host`, `vpc`, or both."""
    places = {"host": host.run("ip", "-j", "link"), "vpc": host.run("ip", "-n", NAMESPACE, "-j", "link", check=False)}
    links = {place: [link["ifname"] for link in json.loads(said or "[]")] for place, said in places.items()}
    return [place for place, names in links.items() if tap_name(interface) in names]


def rules(host: Host) -> str:
    return host.run("ip", "netns", "exec", NAMESPACE, "nft", "list", "ruleset")


def test_what_was_ensured_is_seen_and_what_was_removed_is_not(network: Network) -> None:
    interface, group = VPC.interface(1), VPC.group()
    assert network.observe() == []
    assert network.look(interface.id) is None
    network.ensure(interface)
    network.ensure(group)
    assert network.observe() == [Seen(id=interface.id), Seen(id=group.id)]
    assert network.look(interface.id) == Seen(id=interface.id)
    assert network.look(group.id) == Seen(id=group.id)
    network.remove(interface.id)
    assert network.observe() == [Seen(id=group.id)]
    network.remove(group.id)
    assert network.observe() == []


def test_removing_what_is_not_there_succeeds(network: Network) -> None:
    network.remove("eni-0123456789abcdef0")
    network.remove("sg-0123456789abcdef0")


def test_a_group_that_is_only_named_by_an_interface_is_not_there(network: Network) -> None:
    network.ensure(VPC.interface(1))
    assert network.look(VPC.group_id) is None


def test_after_everything_is_removed_nothing_is_left(host: Host) -> None:
    before = host.inventory()
    network = Network(host)
    other = Vpc(2)
    specs: list[InterfaceSpec | GroupSpec] = [
        VPC.group(allow("tcp", 22)),
        other.group(),
        VPC.interface(1, public_ip="198.51.100.70"),
        VPC.interface(2),
    ]
    specs.append(other.interface(1, public_ip="198.51.100.71"))
    for spec in specs:
        network.ensure(spec)
    guest = FakeGuest.started(host, network, VPC.interface(1, public_ip="198.51.100.70"))
    during = host.inventory()
    assert all(during[what] != before[what] for what in before if what != "addresses")
    for spec in specs:
        network.remove(spec.id)
    guest.close()
    assert host.inventory() == before


def test_ensuring_again_changes_no_rule_and_no_link(host: Host, network: Network) -> None:
    specs: list[InterfaceSpec | GroupSpec] = [
        VPC.group(allow("tcp", 22), members=["10.0.0.11"]),
        VPC.interface(1, public_ip="198.51.100.70"),
    ]
    for spec in specs:
        network.ensure(spec)
    watch = ["timeout", "1", "ip", "netns", "exec", NAMESPACE, "nft", "monitor"]
    before = host.inventory(), rules(host)
    with ThreadPoolExecutor() as pool:
        changes = pool.submit(host.run, *watch, check=False)
        for _ in range(20):
            for spec in specs:
                network.ensure(spec)
        assert changes.result() == ""
    assert (host.inventory(), rules(host)) == before


def test_rules_that_somebody_threw_away_come_back(host: Host, network: Network) -> None:
    specs: list[InterfaceSpec | GroupSpec] = [VPC.group(allow("tcp", 22)), VPC.interface(1)]
    for spec in specs:
        network.ensure(spec)
    before = rules(host), host.inventory()
    host.run("ip", "netns", "exec", NAMESPACE, "nft", "flush", "ruleset")
    host.run("nft", "flush", "ruleset")
    for spec in specs:
        network.ensure(spec)
    assert sorted(rules(host).split()) == sorted(before[0].split())
    assert host.inventory() == before[1]


def test_a_tap_waits_in_the_hosts_namespace_until_it_is_held(host: Host, network: Network) -> None:
    interface = VPC.interface(1)
    network.ensure(interface)
    network.ensure(interface)
    assert where_is_tap(host, interface.id) == ["host"]
    guest = FakeGuest(host, interface)
    assert where_is_tap(host, interface.id) == ["host"]
    network.ensure(interface)
    assert where_is_tap(host, interface.id) == ["vpc"]
    guest.address(interface.ip)
    assert guest.ping(guest.gateway)
    guest.close()


def test_a_tap_is_made_anew_when_its_guest_is_gone(host: Host, network: Network) -> None:
    interface = VPC.interface(1)
    FakeGuest.started(host, network, interface).close()
    assert where_is_tap(host, interface.id) == ["vpc"]
    network.ensure(interface)
    assert where_is_tap(host, interface.id) == ["host"]
    guest = FakeGuest.started(host, network, interface)
    assert where_is_tap(host, interface.id) == ["vpc"]
    assert guest.ping(guest.gateway)
    guest.close()


def test_a_driver_that_was_killed_leaves_the_guests_alone_and_knows_everything_again(host: Host) -> None:
    network = Network(host)
    interface, group = VPC.interface(1), VPC.group(allow("icmp"))
    network.ensure(group)
    guest = FakeGuest.started(host, network, interface)
    servers = host.run("ps", "-C", "dnsmasq", "-o", "pid=")
    network.kill()
    assert guest.ping(guest.gateway)
    assert guest.ping("198.51.100.2")
    assert guest.dhcp()["ip"] == interface.ip
    network = Network(host)
    assert network.observe() == [Seen(id=interface.id), Seen(id=group.id)]
    network.ensure(interface)
    assert guest.get("/latest/meta-data/local-ipv4")[2] == interface.ip
    assert where_is_tap(host, interface.id) == ["vpc"]
    assert host.run("ps", "-C", "dnsmasq", "-o", "pid=") == servers
    network.remove(interface.id)
    network.remove(group.id)
    assert NAMESPACE not in host.inventory()["namespaces"]
    guest.close()


def test_a_dhcp_server_that_died_is_started_again(host: Host, network: Network) -> None:
    interface = VPC.interface(1)
    guest = FakeGuest.started(host, network, interface, addressed=False)
    (pid,) = host.run("ps", "-C", "dnsmasq", "-o", "pid=").split()
    host.run("kill", "-9", pid)
    for _ in bounded(10):
        if not host.run("ps", "-C", "dnsmasq", "-o", "pid=", check=False).strip():
            break
    assert network.observe() == [Seen(id=interface.id, state="broken")]
    network.ensure(interface)
    assert network.observe() == [Seen(id=interface.id)]
    assert guest.dhcp()["ip"] == interface.ip
    guest.close()


def test_a_dhcp_server_outlives_that_guests_come_and_go(host: Host, network: Network) -> None:
    stays = VPC.interface(1)
    staying = FakeGuest.started(host, network, stays, addressed=False)
    assert staying.dhcp()["ip"] == stays.ip
    server = host.run("ps", "-C", "dnsmasq", "-o", "pid=")
    for number in range(2, 5):
        going = VPC.interface(number)
        guest = FakeGuest.started(host, network, going, addressed=False)
        assert guest.dhcp()["ip"] == going.ip
        network.remove(going.id)
        assert guest.dhcp() == {}, "a guest that was taken away is offered nothing"
        guest.close()
        assert staying.dhcp()["ip"] == stays.ip
        assert host.run("ps", "-C", "dnsmasq", "-o", "pid=") == server
    staying.close()


def test_a_crash_anywhere_in_ensuring_is_repaired_by_ensuring_again(host: Host, network: Network) -> None:
    interface = VPC.interface(1, public_ip="198.51.100.70")
    before = host.inventory()
    died = []
    for step in range(1, POINTS):
        point = network.ensure_dying_at(step, interface)
        network.ensure(VPC.group())
        network.ensure(interface)
        assert where_is_tap(host, interface.id) == ["host"]
        guest = FakeGuest.started(host, network, interface)
        assert guest.ping("198.51.100.2"), f"after dying at {point}"
        network.remove(interface.id)
        network.remove(VPC.group_id)
        guest.close()
        assert host.inventory() == before, f"after dying at {point}"
        if point is None:
            break
        died.append(point)
    assert len(died) > 8
    assert len(died) < POINTS - 1


def test_a_crash_while_a_tap_is_moved_or_made_anew_is_repaired_too(host: Host, network: Network) -> None:
    interface = VPC.interface(1)
    network.ensure(interface)
    died = set()
    for step in range(1, POINTS):
        guest = FakeGuest(host, interface)
        moving = network.ensure_dying_at(step, interface)
        network.ensure(interface)
        assert where_is_tap(host, interface.id) == ["vpc"]
        guest.address(interface.ip)
        assert guest.ping(guest.gateway), f"after dying at {moving}"
        guest.close()
        renewing = network.ensure_dying_at(step, interface)
        network.ensure(interface)
        assert where_is_tap(host, interface.id) == ["host"], f"after dying at {renewing}"
        if moving is None and renewing is None:
            break
        died |= {moving, renewing}
    assert {"network.tap.moved", "network.tap.deleted", "network.tap.made"} <= died


def test_a_crash_while_a_public_address_goes_to_another_is_repaired_too(host: Host, network: Network) -> None:
    first, second = VPC.interface(1), VPC.interface(2)
    public = {"public_ip": "198.51.100.70"}
    died = []
    for step in range(1, POINTS):
        network.ensure(VPC.interface(1, **public))
        network.ensure(second)
        points = [network.ensure_dying_at(step, VPC.interface(2, **public)), network.ensure_dying_at(step, first)]
        network.ensure(VPC.interface(2, **public))
        network.ensure(first)
        assert f"198.51.100.70 : {second.ip}" in rules(host)
        assert f"{first.ip} : 198.51.100.70" not in rules(host)
        assert "198.51.100.70" in str(host.inventory()["proxies"])
        network.ensure(second)
        assert "198.51.100.70" not in rules(host) + str(host.inventory()), f"after dying at {points}"
        if points == [None, None]:
            break
        died.append(points)
    assert len(died) > 2


def test_a_crash_anywhere_in_removing_is_repaired_by_removing_again(host: Host, network: Network) -> None:
    interface = VPC.interface(1, public_ip="198.51.100.70")
    before = host.inventory()
    died = []
    for step in range(1, POINTS):
        network.ensure(interface)
        point = network.remove_dying_at(step, interface.id)
        network.remove(interface.id)
        assert host.inventory() == before, f"after dying at {point}"
        if point is None:
            break
        died.append(point)
    assert len(died) > 6
    assert len(died) < POINTS - 1


def test_many_interfaces_of_two_vpcs_come_and_go_at_once(host: Host, network: Network) -> None:
    before = host.inventory()
    interfaces = [vpc.interface(number) for vpc in (VPC, Vpc(2)) for number in range(1, 11)]
    network.ensure_together(interfaces)
    assert {seen.id for seen in network.observe()} == {interface.id for interface in interfaces}
    network.remove_together([interface.id for interface in interfaces])
    assert network.observe() == []
    assert host.inventory() == before


def test_ids_and_addresses_that_could_be_rules_are_refused(host: Host, network: Network) -> None:
    with pytest.raises(Failure, match="is not an id"):
        network.ensure(VPC.interface(1, groups=["sg-1; flush ruleset"]))
    with pytest.raises(Failure, match="is not an id"):
        network.ensure(VPC.interface(1, id="eni-../../x"))
    with pytest.raises(Impossible):
        network.ensure(VPC.interface(1, mac="02:00:00:00:00:01 }"))
    with pytest.raises(Impossible):
        network.ensure(VPC.group(allow("tcp", 22, cidr="10.0.0.0/8 drop")))
    with pytest.raises(Failure, match="not in the pool"):
        network.ensure(VPC.interface(1, public_ip="8.8.8.8"))


def test_the_host_forwards_nothing_but_the_clouds_traffic(host: Host, network: Network) -> None:
    """Where the public interface did not forward before; and where it did, nobody else's traffic is dropped."""
    network.ensure(VPC.interface(1))
    assert 'iifname "pub0" drop' in host.run("nft", "list", "ruleset")
    network.remove(VPC.interface(1).id)
    assert host.run("cat", "/proc/sys/net/ipv4/conf/pub0/forwarding").strip() == "0"
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/pub0/forwarding")
    network.ensure(VPC.interface(1))
    assert 'iifname "pub0" drop' not in host.run("nft", "list", "ruleset")
    network.remove(VPC.interface(1).id)
    assert host.run("cat", "/proc/sys/net/ipv4/conf/pub0/forwarding").strip() == "1"


def test_nothing_of_the_hosts_own_rules_is_touched(host: Host, network: Network) -> None:
    host.run("nft", "add table inet filter; add chain inet filter input { type filter hook input priority 0; }")
    host.run("nft", "add rule inet filter input tcp dport 22 accept")
    before = host.run("nft", "list", "table", "inet", "filter")
    network.ensure(VPC.interface(1))
    assert host.run("nft", "list", "table", "inet", "filter") == before
    network.remove(VPC.interface(1).id)
    assert host.run("nft", "list", "ruleset") == before
