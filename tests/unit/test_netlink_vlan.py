"""The messages by which a VLAN's device is made, and is known again: as `ip link add … type vlan` has them (strace)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import msgspec
import pytest

from cumulet.drivers.network import namespace, netlink, tunnel
from cumulet.drivers.network.netlink import Netlink, Vlan, Vxlan
from cumulet.drivers.network.settings import NetworkSettings
from cumulet.drivers.specs import PeerSpec, VpcSpec
from cumulet.lib.errors import Failure

NEWLINK, DELLINK, NEWROUTE, NEWNEIGH = 16, 17, 24, 28
CREATE = 0x400
TRUNK, DEVICE = 7, 12
MAC = "0a:c2:c0:00:02:01"


class RecordingKernel:
    """Keeps the orders that it is given; it has the links that it is told of, and the one that it makes."""

    def __init__(self) -> None:
        self.orders: list[tuple[int, int, bytes]] = []
        self.links = {b"eth1": link(TRUNK, 0, (4, whole(1500)))}
        self.made: bytes | None = None
        self.refuses = 0

    def order(self, type: int, flags: int, body: bytes) -> None:
        self.orders.append((type, flags, body))
        if self.refuses and flags & CREATE:
            raise OSError(self.refuses, os.strerror(self.refuses))
        if flags & CREATE and type == NEWLINK and self.made is not None:
            self.links[b"vx"] = self.made

    def ask(self, type: int, body: bytes) -> bytes:
        name = body[20:].split(b"\0")[0]
        if name not in self.links:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return self.links[name]

    def dump(self, type: int, body: bytes) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> RecordingKernel:
    made = RecordingKernel()
    monkeypatch.setattr(netlink, "Kernel", lambda protocol: made)
    return made


@pytest.fixture
def sysctls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The one namespace that there is is the host's and the VPC's; these are set in it."""
    found: dict[str, int] = {}
    monkeypatch.setattr(namespace, "within", lambda network, work: work())
    monkeypatch.setattr(namespace, "opened", lambda network: nullcontext(33))
    monkeypatch.setattr(namespace, "sysctl", lambda path, value: found.update({path: value}))
    return found


def link(index: int, flags: int, *attributes: tuple[int, bytes]) -> bytes:
    """A link as the kernel tells of it: linux/rtnetlink.h, linux/if_link.h."""
    padded = ((kind, value, -len(value) % 4) for kind, value in attributes)
    told = b"".join(struct.pack("=HH", 4 + len(value), kind) + value + bytes(rest) for kind, value, rest in padded)
    return struct.pack("=BxHiII", 0, 1, index, flags, 0) + told


def nested(*attributes: tuple[int, bytes]) -> bytes:
    return link(0, 0, *attributes)[16:]


def whole(number: int) -> bytes:
    return struct.pack("=I", number)


def test_one_message_makes_the_device_in_the_vpcs_namespace_with_its_trunk_in_this_one(kernel: RecordingKernel) -> None:
    with Netlink() as host:
        host.add_vlan("vx", Vlan(100, TRUNK, MAC, 1500), 33)
    ((type, flags, body),) = kernel.orders
    assert (type, flags) == (NEWLINK, 0x600)
    assert body == bytes.fromhex(
        "00000000 00000000 00000000 00000000"
        "0700 0300 76780000"  # IFLA_IFNAME vx
        "0a00 0100 0ac2c0000201 0000"  # IFLA_ADDRESS
        "0800 0400 dc050000"  # IFLA_MTU 1500
        "1800 1200 0800 0100 766c616e 0c00 0200 0600 0100 6400 0000"  # IFLA_LINKINFO: kind vlan, IFLA_VLAN_ID 100
        "0800 0500 07000000"  # IFLA_LINK: the trunk
        "0800 1c00 21000000"  # IFLA_NET_NS_FD
    )


def test_the_device_is_known_again_and_is_no_vxlan(kernel: RecordingKernel) -> None:
    kind = nested((1, b"vlan\0"), (2, nested((1, struct.pack("=H", 100)), (2, bytes(8)))))
    kernel.links[b"vx"] = link(
        DEVICE, 1, (1, bytes.fromhex(MAC.replace(":", ""))), (4, whole(1500)), (5, whole(TRUNK)), (18, kind)
    )
    with Netlink() as vpc:
        assert vpc.vlan("vx") == Vlan(100, TRUNK, MAC, 1500)
        assert vpc.vxlan("vx") is None


def test_a_vxlan_is_no_vlan(kernel: RecordingKernel) -> None:
    told = nested((1, whole(7)), (4, bytes([192, 0, 2, 1])), (15, b"\x12\xb5"))
    kernel.links[b"vx"] = link(
        DEVICE, 1, (1, bytes(6)), (4, whole(1450)), (5, whole(0)), (18, nested((1, b"vxlan\0"), (2, told)))
    )
    with Netlink() as vpc:
        assert vpc.vlan("vx") is None
        assert vpc.vxlan("vx") == Vxlan(7, "192.0.2.1", 4789, "00:00:00:00:00:00", 1450)


SETTINGS = NetworkSettings(tunnel_address="192.0.2.1", vlan_interface="eth1")
SPEC = VpcSpec(id="vpc-1", cidr="10.0.0.0/16", vni=7, vlan=100, peers=[PeerSpec(ip="10.0.0.9", via="192.0.2.2")])


def test_a_vpc_with_a_vlan_has_its_peers_as_neighbours_there_and_nothing_is_forwarded_by_vxlan(
    kernel: RecordingKernel, sysctls: dict[str, int]
) -> None:
    kind = nested((1, b"vlan\0"), (2, nested((1, struct.pack("=H", 100)))))
    own = bytes.fromhex("0ac2c0000201")
    kernel.made = link(DEVICE, 1, (1, own), (4, whole(1500)), (5, whole(TRUNK)), (18, kind))
    tunnel.put("cm-1", SPEC, SETTINGS)
    assert sysctls == {"ipv4/conf/vx/rp_filter": 0, "ipv4/conf/vx/arp_ignore": 8}
    up, device, neighbour, route = kernel.orders
    assert up == (NEWLINK, 0, struct.pack("=BxHiII", 0, 0, TRUNK, 1, 1)), "all that is done to the trunk itself"
    assert (device[0], own in device[2], b"vlan" in device[2]) == (NEWLINK, True, True)
    assert neighbour == (
        NEWNEIGH,
        0x500,
        bytes.fromhex("02000000 0c000000 8000 0000 0800 0100 f0000202 0a00 0200 0ac2c0000202 0000"),
    )
    assert route[0] == NEWROUTE
    kernel.orders.clear()
    tunnel.put("cm-1", SPEC, SETTINGS)
    assert NEWLINK not in {type for type, flags, _ in kernel.orders if flags & CREATE}, "it is as it should be"
    tunnel.put("cm-1", msgspec.structs.replace(SPEC, vlan=101), SETTINGS)
    assert [type for type, _, _ in kernel.orders].count(DELLINK) == 1, "another number is another device"


@pytest.mark.parametrize(
    ("settings", "refuses", "said"),
    [
        (replace(SETTINGS, vlan_interface=None), 0, "vpc-1 is in the VLAN 100, and this host has no vlan_interface"),
        (replace(SETTINGS, vlan_interface="eth7"), 0, "vlan_interface is eth7, and this host has no such interface"),
        (
            replace(SETTINGS, vlan_mtu=9000),
            0,
            "the trunk eth1 carries packets of 1500 bytes, and guests here send 9000",
        ),
        (SETTINGS, errno.EOPNOTSUPP, "has no 802.1q"),
        (SETTINGS, errno.EEXIST, "VLAN 100: something else on this host has it already"),
    ],
)
def test_what_stands_in_a_vlans_way_is_named(
    kernel: RecordingKernel, sysctls: dict[str, int], settings: NetworkSettings, refuses: int, said: str
) -> None:
    kernel.refuses = refuses
    with pytest.raises(Failure, match=said):
        tunnel.put("cm-1", SPEC, settings)
