"""A VPC on several hosts: who reaches whom, what is kept apart, and what fits; on a real kernel."""

from __future__ import annotations

import json

import pytest
from support.guest import FakeGuest, World
from support.joined_hosts import (
    RECEIVED,
    TUNNEL_MTU,
    VLANS,
    JoinedHost,
    Start,
    count,
    icmp_request,
    join,
    joined,
    let,
    reach,
    send_to_tunnel,
    send_udp,
    tag,
    tunnel,
    vni,
    vxlan,
)
from support.netns import WORLD_ADDRESS, Host, Vpc, allow

from cumulet.drivers.specs import GroupSpec

VPC = Vpc()
ONE, TWO, THREE = (VPC.interface(number, mtu=TUNNEL_MTU) for number in (1, 2, 3))
PUBLIC = "198.51.100.70"
PORT = 80
of_vxlan = pytest.mark.skipif(VLANS, reason="it is about VXLAN")
of_vlans = pytest.mark.skipif(not VLANS, reason="it is about VLANs")


def test_guests_on_two_hosts_reach_each_other_by_their_groups_and_see_the_gateway_only(
    hosts: list[JoinedHost], start: Start
) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("tcp", PORT), allow("icmp")))
    one, two = start(first, ONE), start(second, TWO)
    assert not one.ping(TWO.ip)
    join(VPC, (first, [ONE]), (second, [TWO]))
    two.listen(PORT)
    two.listen(PORT + 1)
    assert one.connect(TWO.ip, PORT) == f"from {ONE.ip}"
    assert one.connect(TWO.ip, PORT + 1) == "timeout"
    assert two.ping(ONE.ip)
    for guest in (one, two):
        seen = {entry["lladdr"] for entry in json.loads(guest.run("ip", "-j", "neigh")) if "lladdr" in entry}
        assert seen == {"fe:00:0a:c2:00:01"}


def test_without_a_rule_nothing_comes_in_from_another_host(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group())
    one, two = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE]), (second, [TWO]))
    two.listen(PORT)
    assert one.connect(TWO.ip, PORT) == "timeout"
    assert not one.ping(TWO.ip)


def test_a_rule_for_a_group_lets_its_members_in_from_every_host(hosts: list[JoinedHost], start: Start) -> None:
    app = "sg-0000000000000aaa1"
    clients = {ONE.ip, TWO.ip}
    members = GroupSpec(id=app, vpc=VPC.id, members=sorted(clients), egress=VPC.group().egress)
    let(hosts, members, VPC.group(allow("tcp", PORT, group=app)))
    in_group = [VPC.interface(number, groups=[app], mtu=TUNNEL_MTU) for number in (1, 2)]
    server, stranger = VPC.interface(3), VPC.interface(4)
    places = [(hosts[0], [in_group[0]]), (hosts[1], [in_group[1], stranger]), (hosts[2], [server])]
    guests = {spec.ip: start(host, spec) for host, specs in places for spec in specs}
    join(VPC, *places)
    guests[server.ip].listen(PORT)
    for ip in clients:
        assert guests[ip].connect(server.ip, PORT) == f"from {ip}"
    assert guests[stranger.ip].connect(server.ip, PORT) == "timeout"
    let(hosts, replace_members(members, [ONE.ip]))
    assert guests[TWO.ip].connect(server.ip, PORT) == "timeout"


def replace_members(group: GroupSpec, members: list[str]) -> GroupSpec:
    return GroupSpec(id=group.id, vpc=group.vpc, members=members, egress=group.egress)


def test_two_vpcs_with_the_same_range_on_the_same_hosts_do_not_meet(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    other = Vpc(2)
    let([first, second], VPC.group(allow("tcp", PORT)), other.group(allow("tcp", PORT)))
    mine = start(first, ONE), start(second, TWO)
    theirs = start(first, other.interface(1)), start(second, other.interface(3))
    join(VPC, (first, [ONE]), (second, [TWO]))
    join(other, (first, [other.interface(1)]), (second, [other.interface(3)]))
    mine[1].listen(PORT)
    theirs[1].listen(PORT)
    assert mine[0].connect(TWO.ip, PORT) == f"from {ONE.ip}"
    assert theirs[0].connect(THREE.ip, PORT) == f"from {ONE.ip}"
    assert not mine[0].connect(THREE.ip, PORT).startswith("from")
    assert not theirs[0].connect(TWO.ip, PORT).startswith("from")


def test_a_guest_cannot_send_to_another_host_as_somebody_else(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("icmp")))
    one, two = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE, THREE]), (second, [TWO]))
    assert one.ping(TWO.ip)
    gateway, own = (bytes.fromhex(mac.replace(":", "")) for mac in ("fe:00:0a:c2:00:01", ONE.mac))
    two.heard()
    for source in (THREE.ip, TWO.ip, "192.0.2.1"):
        one.send(gateway + own + b"\x08\x00" + icmp_request(source, TWO.ip))
    assert [frame for frame in two.heard() if icmp_request("0.0.0.0", TWO.ip)[16:20] in frame] == []
    one.send(gateway + own + b"\x08\x00" + icmp_request(ONE.ip, TWO.ip))
    assert [frame for frame in two.heard() if icmp_request(ONE.ip, TWO.ip)[12:20] in frame] != []


@of_vxlan
def test_a_tunnel_hears_its_peers_only(start: Start) -> None:
    with joined(3) as (segments, hosts):
        first, second, third = hosts
        let([first, second], VPC.group(allow("icmp")))
        one, _ = start(first, ONE), start(second, TWO)
        join(VPC, (first, [ONE]), (second, [TWO]))
        mac = "0a:c2:c0:00:02:01"
        forged = vxlan(vni(VPC), icmp_request(TWO.ip, ONE.ip), mac)

        def comes_in(source: str, target: str, host: Host, within: str = "") -> bool:
            before = count(first, RECEIVED, VPC)
            one.heard()
            send_udp(host, source, target, 4789, forged, within=within)
            return one.heard() != [] or count(first, RECEIVED, VPC) != before

        assert comes_in(second.underlay, first.underlay, second)
        assert not comes_in(third.underlay, first.underlay, third)
        segments.run("ip", "-n", "world", "route", "add", f"{first.underlay}/32", "via", first.public)
        for name in ("all", "pub0"):
            first.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{name}/rp_filter")
        assert not comes_in(second.underlay, first.underlay, segments, "world")
        assert not comes_in(second.underlay, first.public, second)
        assert not comes_in(WORLD_ADDRESS, first.public, segments, "world")
        first.network.ensure(reach(VPC))
        assert not comes_in(second.underlay, first.underlay, second)


def test_what_comes_by_a_tunnel_goes_to_a_guest_here_or_nowhere(hosts: list[JoinedHost], start: Start) -> None:
    first, second, third = hosts
    let([first], VPC.group(allow("icmp")))
    one = start(first, ONE)
    first.network.ensure(reach(VPC, (second, [TWO]), (third, [THREE])))
    sent = "up/statistics/tx_packets", "vx/statistics/tx_packets"
    before = [count(first, what, VPC) for what in sent]
    for target in (WORLD_ADDRESS, THREE.ip, "10.0.0.1", "169.254.169.254", ONE.ip):
        send_to_tunnel(second, first, VPC, icmp_request(TWO.ip, target))
    assert one.heard() != []
    assert count(first, RECEIVED, VPC) == 5
    assert [count(first, what, VPC) - number for what, number in zip(sent, before, strict=True)] == [0, 1]


@of_vxlan
def test_a_guest_cannot_speak_as_its_host_to_the_tunnels_of_others(start: Start) -> None:
    """Where tunnels go over the public interface, a guest without a public address has the address of a peer."""
    with joined(2, one_wire=True) as (_, hosts):
        first, second = hosts
        let(hosts, VPC.group(allow("icmp")))
        one, two = start(first, ONE), start(second, TWO)
        join(VPC, (first, [ONE]), (second, [TWO]))
        assert two.ping(ONE.ip)
        assert two.ping(first.public)
        forged = vxlan(vni(VPC), icmp_request("10.0.0.99", ONE.ip), "0a:c2:c6:33:64:0b")
        before = count(first, RECEIVED, VPC)
        send_udp(second, TWO.ip, first.underlay, 4789, forged, within=two.name)
        one.heard()
        assert count(first, RECEIVED, VPC) == before


@of_vlans
def test_a_guest_cannot_speak_to_a_vlan_by_itself(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    other = Vpc(2)
    vpcs = (VPC, other)
    let([first, second], *(vpc.group(allow("icmp")) for vpc in vpcs))
    one, two, theirs = start(first, ONE), start(second, TWO), [other.interface(1), other.interface(2)]
    join(VPC, (first, [ONE]), (second, [TWO]))
    join(other, (first, theirs[:1]), (second, theirs[1:]))
    assert one.ping(TWO.ip)
    before = [count(second, RECEIVED, vpc) for vpc in vpcs]
    two.heard()
    own = bytes.fromhex(ONE.mac.replace(":", ""))
    for target in ("fe:00:0a:c2:00:01", "0a:c2:c0:00:02:02", "ff:ff:ff:ff:ff:ff"):
        for vpc in vpcs:
            to = bytes.fromhex(target.replace(":", ""))
            one.send(to + own + tag(vpc) + b"\x08\x00" + icmp_request(ONE.ip, TWO.ip))
    assert two.heard() == []
    assert [count(second, RECEIVED, vpc) for vpc in vpcs] == before


def test_no_broadcast_and_no_arp_crosses(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("icmp")))
    one, two = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE]), (second, [TWO]))
    assert one.ping(TWO.ip)
    before = count(second, RECEIVED, VPC)
    two.heard()
    own = bytes.fromhex(ONE.mac.replace(":", ""))
    for target in ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "0a:c2:c0:00:02:02"):
        to = bytes.fromhex(target.replace(":", ""))
        one.send(to + own + b"\x08\x00" + icmp_request(ONE.ip, "10.0.255.255"))
        one.send(to + own + b"\x08\x06" + bytes.fromhex("0001080006040001") + own + bytes(18))
    one.run("ip", "neigh", "flush", "dev", "eth0")
    assert not one.ping("10.0.0.200")
    assert not one.ping("10.0.255.255")
    assert count(second, RECEIVED, VPC) == before
    assert two.heard() == []
    assert "00:00:00:00:00:00" not in tunnel(first, VPC)["forwarding"]


def test_the_largest_packet_of_a_guest_fits_and_no_packet_is_cut(hosts: list[JoinedHost], start: Start) -> None:
    first, second = hosts[:2]
    let([first, second], VPC.group(allow("icmp"), allow("tcp", PORT)))
    one, two = start(first, ONE), start(second, TWO)
    join(VPC, (first, [ONE]), (second, [TWO]))
    for guest in (one, two):
        assert guest.dhcp()["mtu"] == str(TUNNEL_MTU)

    def ping(guest: FakeGuest, ip: str, size: int) -> str:
        words = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(size - 28), ip]
        return str(guest.ask("run", arguments=words, check=False))

    assert "1 received" in ping(one, TWO.ip, TUNNEL_MTU)
    assert "1 received" in ping(two, ONE.ip, TUNNEL_MTU)
    if not VLANS:
        assert f"mtu = {TUNNEL_MTU}" in ping(one, TWO.ip, TUNNEL_MTU + 1), (
            "the guest's own link is larger: the router says"
        )
    for host in (first, second):
        names, values = host.run("grep", "^Ip:", "/proc/net/snmp").splitlines()
        counted = dict(zip(names.split(), values.split(), strict=True))
        assert (counted["FragCreates"], counted["ReasmReqds"]) == ("0", "0")


@of_vxlan
def test_the_outside_learns_what_fits_to_a_guest(start: Start) -> None:
    with joined(1) as (segments, hosts):
        hosts[0].network.ensure(VPC.group(allow("icmp")))
        start(hosts[0], VPC.interface(1, mtu=TUNNEL_MTU, public_ip=PUBLIC))
        ping = ["ip", "netns", "exec", "world", "ping", "-c", "1", "-W", "2", "-M", "do"]
        assert f"mtu = {TUNNEL_MTU}" in segments.run(*ping, "-s", str(1500 - 28), PUBLIC, check=False)
        assert "1 received" in segments.run(*ping, "-s", str(TUNNEL_MTU - 28), PUBLIC)


def test_dhcp_and_metadata_are_the_same_on_every_host(hosts: list[JoinedHost], start: Start) -> None:
    let(hosts, VPC.group())
    for host, spec in zip(hosts, (ONE, TWO, THREE), strict=True):
        guest = start(host, spec)
        assert (guest.dhcp()["ip"], guest.dhcp()["router"]) == (spec.ip, "10.0.0.1")
        assert guest.get("/latest/meta-data/local-ipv4")[2] == spec.ip


def test_an_underlay_inside_of_the_vpcs_own_range_is_no_harm(start: Start) -> None:
    vpc = Vpc(1, "192.0.0.0/16", "192.0.2.0/24")
    with joined(2) as (_, hosts):
        let(hosts, vpc.group(allow("icmp")))
        one, two = vpc.interface(1), vpc.interface(2)
        guests = start(hosts[0], one), start(hosts[1], two)
        join(vpc, (hosts[0], [one]), (hosts[1], [two]))
        assert guests[0].ping(two.ip)
        assert guests[1].ping(one.ip)


@pytest.mark.parametrize("order", [(0, 1), (1, 0, 1)], ids=["the old host first", "the new host first"])
def test_a_public_address_moves_to_a_guest_on_another_host(start: Start, order: tuple[int, ...]) -> None:
    with joined(2) as (segments, hosts):
        let(hosts, VPC.group(allow("tcp", PORT), allow("icmp")))
        guests = start(hosts[0], VPC.interface(1, public_ip=PUBLIC)), start(hosts[1], TWO)
        guests[1].listen(PORT)
        world = World(segments)
        assert world.ping(PUBLIC)
        assert world.connect(PUBLIC, PORT) == "refused"
        old = world.run("ip", "neigh", "show", PUBLIC).split()
        after = ONE, VPC.interface(2, public_ip=PUBLIC)
        for number in order:
            world.run("ip", "neigh", "replace", PUBLIC, *old[1:5], "nud", "reachable")
            hosts[number].network.ensure(after[number])
        assert world.connect(PUBLIC, PORT) == f"from {WORLD_ADDRESS}"
        world.run("ip", "neigh", "flush", "dev", "eth0")
        assert world.connect(PUBLIC, PORT) == f"from {WORLD_ADDRESS}"
        assert PUBLIC not in str(hosts[0].inventory())
        world.close()
