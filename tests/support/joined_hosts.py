"""Several hosts in namespaces, joined by two segments: the underlay, and the one with the public addresses.

The segments are bridges in a host of their own, where the world is, too. With CUMULET_TEST_VLANS set, VPCs are joined
by VLANs, and the underlay is the trunk.
"""

from __future__ import annotations

import ipaddress
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from support.guest import FakeGuest
from support.netns import SETTINGS, Host, Network, Vpc

from cumulet.drivers.specs import GroupSpec, InterfaceSpec, PeerSpec, VpcSpec
from cumulet.lib.command import run

_SEGMENTS = """
ip link add under type bridge
ip link add public type bridge
ip link set under up
ip link set public up
ip netns add world
ip link add world0 type veth peer name eth0 netns world
ip link set world0 master public up
ip -n world address add 198.51.100.2/24 dev eth0
ip -n world link set eth0 up
ip -n world link set lo up
"""
VARIABLE = "CUMULET_TEST_VLANS"
VLANS = VARIABLE in os.environ
UNDERLAY_MTU = 1500
TUNNEL_MTU = UNDERLAY_MTU if VLANS else UNDERLAY_MTU - 50


class Segments(Host):
    """Where the hosts are plugged in."""

    def __init__(self) -> None:
        super().__init__(_SEGMENTS)

    def plug_in(self, host: JoinedHost) -> None:
        """Join a host to both segments."""
        for segment, link in (("under", "under0"), ("public", "pub0")):
            port = f"{segment}{host.number}"
            words = ["ip", "link", "add", port, "type", "veth", "peer", "name", link, "netns", str(host.pid)]
            run(["nsenter", f"--target={self.pid}", "--net", "--", *words])
            self.run("ip", "link", "set", port, "master", segment, "up")
        host.run("ip", "address", "add", f"192.0.2.{host.number}/24", "dev", "under0")
        host.run("ip", "address", "add", f"{host.public}/24", "dev", "pub0")
        for link in ("under0", "pub0"):
            host.run("ip", "link", "set", link, "up")


class JoinedHost(Host):
    """One of the hosts, by its number; with a network driver that can be killed and started again."""

    def __init__(self, number: int, *, one_wire: bool = False) -> None:
        super().__init__("")
        self.number = number
        self.trunk = "under0" if VLANS else None
        self.public = f"198.51.100.{10 + number}"
        self.underlay = self.public if one_wire else f"192.0.2.{number}"

    def start(self) -> None:
        """Start the driver; it is `network` from now on."""
        settings = replace(SETTINGS, tunnel_address=self.underlay, tunnel_mtu=TUNNEL_MTU, vlan_interface=self.trunk)
        self.network = Network(self, settings)

    def guest(self, spec: InterfaceSpec) -> FakeGuest:
        return FakeGuest.started(self, self.network, spec)

    def inside(self, vpc: Vpc, *arguments: str) -> str:
        """What a command says in a VPC's namespace on this host."""
        return self.run("ip", "netns", "exec", SETTINGS.namespace(vpc.id), *arguments)


@contextmanager
def joined(count: int, *, one_wire: bool = False) -> Iterator[tuple[Segments, list[JoinedHost]]]:
    """So many hosts, each with a driver; with `one_wire` their tunnels go over the public segment."""
    with ExitStack() as stack:
        segments = stack.enter_context(Segments())
        hosts = [stack.enter_context(JoinedHost(number + 1, one_wire=one_wire)) for number in range(count)]
        for host in hosts:
            segments.plug_in(host)
            host.start()
        yield segments, hosts


Start = Callable[[JoinedHost, InterfaceSpec], FakeGuest]
RECEIVED = "vx/statistics/rx_packets"


def let(hosts: list[JoinedHost], *groups: GroupSpec) -> None:
    """Have these groups on these hosts."""
    for host in hosts:
        for group in groups:
            host.network.ensure(group)


def tunnel(host: JoinedHost, vpc: Vpc) -> dict[str, str]:
    """All that there is of a VPC's tunnel on a host."""
    forwarding = "" if VLANS else host.inside(vpc, "bridge", "fdb", "show", "dev", "vx")
    device = host.inside(vpc, "ip", "-d", "link", "show", "vx")
    return {
        "device": re.sub(r" state \w+ ", " ", device),  # the kernel finds out about a VLAN's a moment later
        "forwarding": forwarding,
        "neighbours": host.inside(vpc, "ip", "neigh", "show", "dev", "vx"),
        "routes": host.inside(vpc, "ip", "route"),
        "rules": host.run("nft", "list", "ruleset"),
    }


def count(host: JoinedHost, what: str, vpc: Vpc) -> int:
    """A number that the links of a VPC keep: `vx/statistics/rx_packets`, …"""
    return int(host.inside(vpc, "cat", f"/sys/class/net/{what}"))


def send_udp(host: Host, source: str, target: str, port: int, payload: bytes, *, within: str = "") -> None:
    """Send a datagram that says it is from `source`, out of a host's namespace, or one `within` the host."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, _packed(source), _packed(target))
    datagram = head + struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload
    enter = ["ip", "netns", "exec", within] if within else []
    host.run(*enter, sys.executable, "-c", _SEND, target, datagram.hex())


_SEND = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 0))
"""


def vxlan(vni: int, packet: bytes, to_mac: str) -> bytes:
    """What VXLAN carries in a datagram: a header and a frame."""
    frame = bytes.fromhex(to_mac.replace(":", "")) + b"\x0a" + bytes(5) + b"\x08\x00" + packet
    return struct.pack("!II", 0x08000000, vni << 8) + frame


def send_to_tunnel(source: JoinedHost, target: JoinedHost, vpc: Vpc, packet: bytes) -> None:
    """Send an IP packet to a host's end of a VPC's tunnel, or VLAN, as another host of it would."""
    if not VLANS:
        payload = vxlan(vni(vpc), packet, _mac(target))
        send_udp(source, source.underlay, target.underlay, 4789, payload)
        return
    addresses = bytes.fromhex(f"{_mac(target)}{_mac(source)}".replace(":", ""))
    frame = addresses + tag(vpc) + b"\x08\x00" + packet
    source.run(sys.executable, "-c", _SEND_FRAME, "under0", frame.hex())


def tag(vpc: Vpc) -> bytes:
    """Of a VPC's VLAN, between a frame's addresses and its type."""
    return struct.pack("!HH", 0x8100, 100 + vpc.number)


def _mac(host: JoinedHost) -> str:
    """Of a host's end of each tunnel."""
    return ":".join(["0a", "c2", *(f"{byte:02x}" for byte in _packed(host.underlay))])


_SEND_FRAME = """
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((sys.argv[1], 0))
raw.send(bytes.fromhex(sys.argv[2]))
"""


def icmp_request(source: str, target: str) -> bytes:
    """An IP packet with an echo request."""
    body = struct.pack("!BBHHH", 8, 0, 0xF7FD, 1, 1)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 1, 0, _packed(source), _packed(target))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + body


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def join(vpc: Vpc, *places: tuple[JoinedHost, list[InterfaceSpec]]) -> None:
    """Tell each host of a VPC where the guests on the others are."""
    for host, _ in places:
        host.network.ensure(reach(vpc, *(place for place in places if place[0] is not host)))


def reach(vpc: Vpc, *places: tuple[JoinedHost, list[InterfaceSpec]]) -> VpcSpec:
    """What a host is told of a VPC's guests elsewhere."""
    peers = [PeerSpec(ip=guest.ip, via=host.underlay) for host, guests in places for guest in guests]
    return VpcSpec(id=vpc.id, cidr=vpc.cidr, vni=vni(vpc), peers=peers, vlan=100 + vpc.number if VLANS else 0)


def vni(vpc: Vpc) -> int:
    return 7000 + vpc.number
