"""What a guest may try against others and against the router, and that it gets nowhere with it."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.guest import FakeGuest
from support.netns import SETTINGS, Host, Network, Vpc, allow

from cumulet.drivers.network.taps import GATEWAY_MAC
from cumulet.drivers.specs import tap_name

VPC = Vpc()
BROADCAST = "ff:ff:ff:ff:ff:ff"
MARK = b"cumulet-attack"


@dataclass
class Scene:
    """An attacker and a victim in one group that allows everything."""

    host: Host
    network: Network
    attacker: FakeGuest
    victim: FakeGuest

    def reaches_victim(self, frame: bytes) -> bool:
        """Whether the victim hears anything of a frame that has `MARK` in it."""
        self.victim.heard(0)
        self.attacker.send(frame)
        return any(MARK in heard for heard in self.victim.heard())

    def neighbours(self) -> str:
        return self.host.run("ip", "-n", SETTINGS.namespace(VPC.id), "neigh")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Host() as host:
        network = Network(host)
        network.ensure(VPC.group(allow("-1")))
        attacker, victim = (FakeGuest.started(host, network, VPC.interface(number)) for number in (1, 2))
        assert attacker.ping(victim.spec.ip)
        assert victim.ping(attacker.spec.ip)
        yield Scene(host, network, attacker, victim)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def ethernet(source: str, destination: str, ethertype: int, payload: bytes) -> bytes:
    return mac(destination) + mac(source) + struct.pack("!H", ethertype) + payload


def udp(source: str, destination: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """An IPv4 packet; its checksums are right, so that nobody drops it for them (UDP: none)."""
    datagram = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + packed(source) + packed(destination)
    total = sum(struct.unpack("!10H", head))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", checksum) + head[12:] + datagram


def arp(sender_mac: str, sender: str, target: str, operation: int = 2) -> bytes:
    head = bytes.fromhex("000108000604") + struct.pack("!H", operation)
    return head + mac(sender_mac) + packed(sender) + mac(BROADCAST) + packed(target)


def test_an_honest_packet_arrives_in_this_way(scene: Scene) -> None:
    """Otherwise the others would prove nothing."""
    packet = udp(scene.attacker.spec.ip, scene.victim.spec.ip, (5000, 5000), MARK)
    assert scene.reaches_victim(ethernet(scene.attacker.spec.mac, GATEWAY_MAC, 0x0800, packet))


@pytest.mark.parametrize("source", ["10.0.0.12", "10.0.0.1", "169.254.169.254", "198.51.100.2", "0.0.0.0"])
def test_another_source_address_is_dropped(scene: Scene, source: str) -> None:
    packet = udp(source, scene.victim.spec.ip, (5000, 5000), MARK)
    assert not scene.reaches_victim(ethernet(scene.attacker.spec.mac, GATEWAY_MAC, 0x0800, packet))


@pytest.mark.parametrize("source", ["02:00:00:00:01:02", "02:00:00:00:01:99", GATEWAY_MAC])
def test_another_source_mac_is_dropped(scene: Scene, source: str) -> None:
    packet = udp(scene.attacker.spec.ip, scene.victim.spec.ip, (5000, 5000), MARK)
    assert not scene.reaches_victim(ethernet(source, GATEWAY_MAC, 0x0800, packet))


def test_nothing_reaches_another_guest_by_its_mac_or_by_broadcast(scene: Scene) -> None:
    packet = udp(scene.attacker.spec.ip, "255.255.255.255", (5000, 5000), MARK)
    assert not scene.reaches_victim(ethernet(scene.attacker.spec.mac, BROADCAST, 0x0800, packet))
    packet = udp(scene.attacker.spec.ip, scene.victim.spec.ip, (5000, 5000), MARK)
    assert not scene.reaches_victim(ethernet(scene.attacker.spec.mac, scene.victim.spec.mac, 0x0800, packet))


@pytest.mark.parametrize("claimed", ["10.0.0.1", "10.0.0.12", "169.254.169.254"])
def test_nobody_believes_a_forged_arp(scene: Scene, claimed: str) -> None:
    own = scene.attacker.spec.mac
    before = scene.neighbours()
    for operation in (1, 2):
        for target in (claimed, scene.victim.spec.ip, "10.0.0.1"):
            scene.attacker.send(ethernet(own, BROADCAST, 0x0806, arp(own, claimed, target, operation) + MARK))
    assert not any(MARK in heard for heard in scene.victim.heard())
    assert scene.victim.ping(scene.attacker.gateway)
    assert scene.attacker.ping(scene.victim.spec.ip)
    after = scene.neighbours()
    assert f"{claimed} dev tk" not in after or claimed == scene.victim.spec.ip
    assert [line.split()[:5] for line in sorted(after.splitlines())] == [
        line.split()[:5] for line in sorted(before.splitlines())
    ]


def test_nobody_believes_a_forged_arp_of_a_guest_without_source_check(scene: Scene) -> None:
    """Where the kernel's own filter by source address is off, the ARP rules stand alone."""
    free = VPC.interface(1, source_dest_check=False)
    scene.network.ensure(free)
    for operation in (1, 2):
        forged = arp(free.mac, scene.victim.spec.ip, scene.attacker.gateway, operation)
        scene.attacker.send(ethernet(free.mac, BROADCAST, 0x0806, forged))
    assert scene.victim.ping(scene.attacker.spec.ip)
    assert f"{scene.victim.spec.ip} dev {tap_name(free.id)}" not in scene.neighbours()
    scene.network.ensure(VPC.interface(1))


def test_a_guest_is_no_dhcp_server_for_others(scene: Scene) -> None:
    for destination, to in ((BROADCAST, "255.255.255.255"), (GATEWAY_MAC, scene.victim.spec.ip)):
        packet = udp(scene.attacker.spec.ip, to, (67, 68), MARK)
        scene.victim.heard(0)
        scene.attacker.send(ethernet(scene.attacker.spec.mac, destination, 0x0800, packet))
        if destination == BROADCAST:
            assert not any(MARK in heard for heard in scene.victim.heard())
    scene.victim.run("ip", "address", "flush", "dev", "eth0")
    assert scene.victim.dhcp()["router"] == "10.0.0.1"


def test_a_guest_gets_no_lease_of_anothers(scene: Scene) -> None:
    """A request with the victim's hardware address inside, from the attacker's wire."""
    bootp = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 0x1234, 0, 0, 0, 0, 0, 0) + mac(scene.victim.spec.mac) + bytes(10)
    discover = bootp + bytes(192) + bytes.fromhex("63825363350101ff") + bytes(60)
    packet = udp("0.0.0.0", "255.255.255.255", (68, 67), discover)
    scene.attacker.heard(0)
    scene.attacker.send(ethernet(scene.victim.spec.mac, BROADCAST, 0x0800, packet))
    assert not any(packed(scene.victim.spec.ip) in heard and b"c\x82Sc" in heard for heard in scene.attacker.heard())


def test_ipv6_and_router_advertisements_go_nowhere(scene: Scene) -> None:
    icmp = bytes.fromhex("8600000040000708" + "00" * 8) + MARK
    head = struct.pack("!IHBB", 0x60000000, len(icmp), 58, 255) + bytes.fromhex(
        "fe80" + "00" * 13 + "01" + "ff02" + "00" * 13 + "01"
    )
    assert not scene.reaches_victim(ethernet(scene.attacker.spec.mac, "33:33:00:00:00:01", 0x86DD, head + icmp))
    in_vpc = scene.host.run("ip", "-n", SETTINGS.namespace(VPC.id), "-6", "address")
    assert in_vpc == ""
    assert "inet6" not in scene.host.run("ip", "address", "show", "dev", SETTINGS.veth(SETTINGS.namespace(VPC.id)))


@pytest.mark.parametrize("ethertype", [0x88CC, 0x8100, 0x8863, 0x9000])
def test_other_protocols_go_nowhere(scene: Scene, ethertype: int) -> None:
    for destination in (BROADCAST, GATEWAY_MAC, scene.victim.spec.mac):
        assert not scene.reaches_victim(ethernet(scene.attacker.spec.mac, destination, ethertype, MARK * 5))


def test_the_router_answers_what_it_must_and_nothing_else(scene: Scene) -> None:
    attacker = scene.attacker
    assert attacker.ping(attacker.gateway)
    assert attacker.connect("169.254.169.254", 80, 0.3) != "refused"
    assert attacker.connect("169.254.169.254", 22, 0.3) == "timeout"
    assert attacker.connect(attacker.gateway, 80, 0.3) == "timeout"
    assert attacker.connect(attacker.gateway, 22, 0.3) == "timeout"


def test_the_hosts_end_of_the_link_is_not_to_be_had(scene: Scene) -> None:
    assert scene.attacker.connect("100.64.0.1", 22, 0.3) == "timeout"
    assert not scene.attacker.ping("100.64.0.1", timeout=0.3)


def test_without_source_check_other_addresses_may_be_used_but_no_other_mac(scene: Scene) -> None:
    free = VPC.interface(1, source_dest_check=False)
    scene.network.ensure(free)
    packet = udp("192.0.2.7", scene.victim.spec.ip, (5000, 5000), MARK)
    assert scene.reaches_victim(ethernet(free.mac, GATEWAY_MAC, 0x0800, packet))
    assert not scene.reaches_victim(ethernet("02:00:00:00:01:99", GATEWAY_MAC, 0x0800, packet))
    scene.network.ensure(VPC.interface(1))
    assert not scene.reaches_victim(ethernet(free.mac, GATEWAY_MAC, 0x0800, packet))
