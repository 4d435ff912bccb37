"""Links, addresses, routes and neighbours by rtnetlink, a tenth of the time of a call of `ip`.

A `Netlink` speaks to the network namespace of the thread that makes it, for as long as it lives. Numbers and
layouts: linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h; IPv4 only.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from cumulet.drivers.network.kernel import CREATE, EXCLUSIVE, REPLACE, Kernel, attribute, attributes
from cumulet.lib.errors import Failure

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_NET_NS_FD, _IFLA_CARRIER = (
    *(1, 3, 4, 5),
    *(18, 28, 33),
)
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_VLAN_ID = 1
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT = 1, 4, 7, 15
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _IFA_F_NOPREFIXROUTE = 1, 2, 8, 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RT_TABLE_MAIN, _RTPROT_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 254, 4, 0, 253, 255
_RTNH_F_ONLINK, _RTM_F_FIB_MATCH = 0x4, 0x2000
_NTF_SELF, _NTF_PROXY, _NUD_NOARP, _NUD_PERMANENT, _NDA_DST, _NDA_LLADDR = 0x02, 0x08, 0x40, 0x80, 1, 2
_AF_BRIDGE = 7
_IFF_UP = 0x1
_GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class Link:
    """A network device: `held` says that its carrier is on, which for a tap means that a process has it open."""

    index: int
    up: bool
    held: bool
    mac: str
    mtu: int


@dataclass(frozen=True)
class Vxlan:
    """A VXLAN device that learns nothing and has no destination but those it is told."""

    vni: int
    local: str
    port: int
    mac: str
    mtu: int


@dataclass(frozen=True)
class Vlan:
    """A VLAN of a trunk, which is given by its index in the namespace that it is in."""

    number: int
    trunk: int
    mac: str
    mtu: int


class Netlink:
    """A route socket; use it in a `with`, in one thread."""

    def __init__(self) -> None:
        self._kernel = Kernel(socket.NETLINK_ROUTE)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.close()

    def link(self, name: str) -> Link | None:
        """A device by its name, or None."""
        answer = self._ask_for_link(name)
        if answer is None:
            return None
        index, flags = struct.unpack_from("=4xiI", answer)
        found = dict(attributes(answer[16:]))
        mac, mtu = found.get(_IFLA_ADDRESS, b"").hex(":"), struct.unpack("=I", found[_IFLA_MTU])[0]
        return Link(index, bool(flags & _IFF_UP), found.get(_IFLA_CARRIER, b"\0") != b"\0", mac, mtu)

    def vxlan(self, name: str) -> Vxlan | None:
        """What a VXLAN device is; None where there is no such device."""
        kind, found, told = self._special(name)
        vni, local, port = told.get(_VXLAN_ID), told.get(_VXLAN_LOCAL), told.get(_VXLAN_PORT)
        if kind != b"vxlan" or not (vni and local and port):
            return None
        numbers = struct.unpack("=I", vni)[0], struct.unpack("=I", found[_IFLA_MTU])[0]
        mac = found.get(_IFLA_ADDRESS, b"").hex(":")
        return Vxlan(numbers[0], _unpacked(local), int.from_bytes(port, "big"), mac, numbers[1])

    def vlan(self, name: str) -> Vlan | None:
        """What the device of a VLAN is; None where there is no such device."""
        kind, found, told = self._special(name)
        if kind != b"vlan" or not (_VLAN_ID in told and _IFLA_LINK in found):
            return None
        number, trunk, mtu = struct.unpack("=HII", told[_VLAN_ID] + found[_IFLA_LINK] + found[_IFLA_MTU])
        return Vlan(number, trunk, found.get(_IFLA_ADDRESS, b"").hex(":"), mtu)

    def add_veth(self, name: str, peer: str, peer_namespace: int) -> None:
        """A pair of devices; `peer_namespace` is an open file of the namespace that the peer goes to."""
        to = _ifinfo() + attribute(_IFLA_IFNAME, _text(peer))
        to += attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
        kind = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, to))
        body = _ifinfo() + attribute(_IFLA_IFNAME, _text(name)) + attribute(_IFLA_LINKINFO, kind)
        self._do(f"making the link {name}", _NEWLINK, CREATE | EXCLUSIVE, body)

    def add_vxlan(self, name: str, wanted: Vxlan, to: int) -> None:
        """A VXLAN device in another namespace (an open file), with its underlay in this one."""
        facts = attribute(_VXLAN_ID, struct.pack("=I", wanted.vni)) + attribute(_VXLAN_LOCAL, _packed(wanted.local))
        facts += attribute(_VXLAN_LEARNING, b"\0") + attribute(_VXLAN_PORT, wanted.port.to_bytes(2, "big"))
        kind = attribute(_INFO_KIND, b"vxlan") + attribute(_INFO_DATA, facts)
        body = _ifinfo() + attribute(_IFLA_IFNAME, _text(name)) + attribute(_IFLA_ADDRESS, _octets(wanted.mac))
        body += attribute(_IFLA_MTU, struct.pack("=I", wanted.mtu)) + attribute(_IFLA_LINKINFO, kind)
        body += attribute(_IFLA_NET_NS_FD, struct.pack("=I", to))
        self._do(f"making the VXLAN device {name} of {wanted.vni}", _NEWLINK, CREATE | EXCLUSIVE, body)

    def add_vlan(self, name: str, wanted: Vlan, to: int) -> None:
        """The device of a VLAN in another namespace (an open file), with its trunk in this one."""
        kind = attribute(_INFO_KIND, b"vlan")
        kind += attribute(_INFO_DATA, attribute(_VLAN_ID, struct.pack("=H", wanted.number)))
        body = _ifinfo() + attribute(_IFLA_IFNAME, _text(name)) + attribute(_IFLA_ADDRESS, _octets(wanted.mac))
        body += attribute(_IFLA_MTU, struct.pack("=I", wanted.mtu)) + attribute(_IFLA_LINKINFO, kind)
        body += attribute(_IFLA_LINK, struct.pack("=I", wanted.trunk))
        body += attribute(_IFLA_NET_NS_FD, struct.pack("=I", to))
        self._do(f"making the device {name} of the VLAN {wanted.number}", _NEWLINK, CREATE | EXCLUSIVE, body)

    def bring_up(self, index: int) -> None:
        self._do(f"bringing up link {index}", _NEWLINK, 0, _ifinfo(index, _IFF_UP, _IFF_UP))

    def set_mac_and_mtu(self, index: int, mac: str, mtu: int) -> None:
        body = attribute(_IFLA_ADDRESS, _octets(mac))
        body += attribute(_IFLA_MTU, struct.pack("=I", mtu))
        self._do(f"setting up link {index} with {mac}, mtu {mtu}", _NEWLINK, 0, _ifinfo(index) + body)

    def move(self, index: int, namespace: int) -> None:
        """Hand a device to another namespace (an open file); it is down there, its addresses are gone."""
        body = _ifinfo(index) + attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace))
        self._do(f"moving link {index} to another namespace", _NEWLINK, 0, body)

    def delete_link(self, name: str) -> None:
        """Delete a device; one that is not there is deleted already."""
        link = self.link(name)
        if link is not None:
            self._do(f"deleting the link {name}", _DELLINK, 0, _ifinfo(link.index), gone=True)

    def add_address(self, index: int, local: str, prefix: int, *, peer: str | None = None) -> None:
        """An address; with `peer` there is a route to the peer, and otherwise no route comes with it."""
        body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
        body += attribute(_IFA_LOCAL, _packed(local)) + attribute(_IFA_ADDRESS, _packed(peer or local))
        if peer is None:
            body += attribute(_IFA_FLAGS, struct.pack("=I", _IFA_F_NOPREFIXROUTE))
        self._do(f"adding the address {local}/{prefix} to link {index}", _NEWADDR, CREATE | REPLACE, body)

    def addresses(self) -> list[tuple[int, str, str]]:
        """Each IPv4 address of the namespace: index of its link, the address, and the peer's (or its own again)."""
        found = []
        for answer in self._kernel.dump(_GETADDR, struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0)):
            told = dict(attributes(answer[8:]))
            local, peer = told.get(_IFA_LOCAL), told.get(_IFA_ADDRESS)
            if local and peer:
                found.append((struct.unpack_from("=i", answer, 4)[0], _unpacked(local), _unpacked(peer)))
        return found

    def delete_address(self, index: int, local: str, prefix: int) -> None:
        body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
        body += attribute(_IFA_LOCAL, _packed(local)) + attribute(_IFA_ADDRESS, _packed(local))
        self._do(f"deleting the address {local}/{prefix} of link {index}", _DELADDR, 0, body, gone=True)

    def replace_route(self, destination: str, index: int, via: str | None = None) -> None:
        """The route to a range goes by this link, over the neighbour `via` where one is given."""
        scope = _SCOPE_LINK if via is None else _SCOPE_UNIVERSE
        body = _route(destination, _RTN_UNICAST, scope, 0 if via is None else _RTNH_F_ONLINK)
        body += attribute(_RTA_OIF, struct.pack("=i", index))
        body += attribute(_RTA_GATEWAY, _packed(via)) if via else b""
        self._do(f"routing {destination} to link {index}", _NEWROUTE, CREATE | REPLACE, body)

    def replace_unreachable(self, destination: str) -> None:
        """A range that nothing is in, but for more specific routes."""
        body = _route(destination, _RTN_UNREACHABLE, _SCOPE_UNIVERSE, 0)
        self._do(f"making {destination} unreachable", _NEWROUTE, CREATE | REPLACE, body)

    def delete_route(self, destination: str, index: int) -> None:
        body = _route(destination, _RTN_UNICAST, _SCOPE_NOWHERE, 0) + attribute(_RTA_OIF, struct.pack("=i", index))
        self._do(f"deleting the route of {destination} to link {index}", _DELROUTE, 0, body, gone=True)

    def host_routes(self) -> dict[str, tuple[int, str | None]]:
        """Each address that has a /32 route of its own: the index of the link, and the neighbour that it goes over."""
        found = {}
        for answer in self._kernel.dump(_GETROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET, *[0] * 8)):
            told = dict(attributes(answer[12:]))
            address, link, via = told.get(_RTA_DST), told.get(_RTA_OIF), told.get(_RTA_GATEWAY)
            if answer[1] == 32 and answer[4] == _RT_TABLE_MAIN and address and link:
                found[_unpacked(address)] = struct.unpack("=i", link)[0], _unpacked(via) if via else None
        return found

    def link_of_route(self, address: str) -> int | None:
        """The index of the link that the /32 route of just this address goes by, or None."""
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH)
        try:
            answer = self._kernel.ask(_GETROUTE, body + attribute(_RTA_DST, _packed(address)))
        except OSError as e:
            if e.errno in (*_GONE, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
                return None
            raise Failure(f"looking up the route to {address}") from e
        link = dict(attributes(answer[12:])).get(_RTA_OIF)
        return struct.unpack("=i", link)[0] if answer[1] == 32 and link else None

    def add_proxy(self, address: str, index: int) -> None:
        """Answer ARP for this address on that link."""
        body = _neighbour(index, _NTF_PROXY) + attribute(_NDA_DST, _packed(address))
        self._do(f"answering for {address} on link {index}", _NEWNEIGH, CREATE | REPLACE, body)

    def delete_proxy(self, address: str, index: int) -> None:
        body = _neighbour(index, _NTF_PROXY) + attribute(_NDA_DST, _packed(address))
        self._do(f"answering no longer for {address} on link {index}", _DELNEIGH, 0, body, gone=True)

    def proxies(self, index: int) -> list[str]:
        """The addresses that ARP is answered for on a link, besides its own."""
        return [_unpacked(told[_NDA_DST]) for told in self._neighbours(_neighbour(0, _NTF_PROXY), index)]

    def replace_neighbour(self, index: int, address: str, mac: str) -> None:
        """The neighbour's MAC address is this one, and nobody is asked for it."""
        body = _neighbour(index) + attribute(_NDA_DST, _packed(address)) + attribute(_NDA_LLADDR, _octets(mac))
        self._do(f"knowing {address} as {mac} on link {index}", _NEWNEIGH, CREATE | REPLACE, body)

    def delete_neighbour(self, index: int, address: str) -> None:
        body = _neighbour(index) + attribute(_NDA_DST, _packed(address))
        self._do(f"knowing {address} on link {index} no longer", _DELNEIGH, 0, body, gone=True)

    def neighbours(self, index: int) -> dict[str, str]:
        """Address to MAC address of each neighbour on a link."""
        found = [told for told in self._neighbours(_neighbour(0), index) if _NDA_LLADDR in told]
        return {_unpacked(told[_NDA_DST]): told[_NDA_LLADDR].hex(":") for told in found}

    def replace_forwarding(self, index: int, mac: str, to: str) -> None:
        """A VXLAN device sends what is for this MAC address to that host."""
        body = _forwarding(index) + attribute(_NDA_LLADDR, _octets(mac)) + attribute(_NDA_DST, _packed(to))
        self._do(f"sending {mac} on link {index} to {to}", _NEWNEIGH, CREATE | REPLACE, body)

    def delete_forwarding(self, index: int, mac: str, to: str) -> None:
        body = _forwarding(index) + attribute(_NDA_LLADDR, _octets(mac)) + attribute(_NDA_DST, _packed(to))
        self._do(f"sending {mac} on link {index} no longer to {to}", _DELNEIGH, 0, body, gone=True)

    def forwarding(self, index: int) -> dict[str, str]:
        """MAC address to the host that a VXLAN device sends it to."""
        found = [told for told in self._neighbours(_forwarding(0), index) if _NDA_LLADDR in told]
        return {told[_NDA_LLADDR].hex(":"): _unpacked(told[_NDA_DST]) for told in found}

    def _neighbours(self, question: bytes, index: int) -> list[dict[int, bytes]]:
        """What is told of the neighbours of the question's family on a link, but for multicast's."""
        found = []
        for answer in self._kernel.dump(_GETNEIGH, question):
            link, state = struct.unpack_from("=iH", answer, 4)
            told = dict(attributes(answer[12:]))
            if (answer[0], link) == (question[0], index) and state != _NUD_NOARP and len(told.get(_NDA_DST, b"")) == 4:
                found.append(told)
        return found

    def _special(self, name: str) -> tuple[bytes, dict[int, bytes], dict[int, bytes]]:
        """A virtual device's kind, what is told of every device, and of those of its kind; nothing where it is not."""
        answer = self._ask_for_link(name)
        found = dict(attributes(answer[16:])) if answer is not None else {}
        info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
        return info.get(_INFO_KIND, b"").rstrip(b"\0"), found, dict(attributes(info.get(_INFO_DATA, b"")))

    def _ask_for_link(self, name: str) -> bytes | None:
        try:
            return self._kernel.ask(_GETLINK, _ifinfo() + attribute(_IFLA_IFNAME, _text(name)))
        except OSError as e:
            if e.errno in _GONE:
                return None
            raise Failure(f"looking up the link {name}") from e

    def _do(self, act: str, type: int, flags: int, body: bytes, *, gone: bool = False) -> None:
        """An order; with `gone`, that the thing is not there is success."""
        try:
            self._kernel.order(type, flags, body)
        except OSError as e:
            if not (gone and e.errno in _GONE):
                raise Failure(act) from e


def _ifinfo(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _neighbour(index: int, flags: int = 0) -> bytes:
    return struct.pack("=BxxxiHBB", socket.AF_INET, index, _NUD_PERMANENT, flags, 0)


def _forwarding(index: int) -> bytes:
    return struct.pack("=BxxxiHBB", _AF_BRIDGE, index, _NUD_NOARP | _NUD_PERMANENT, _NTF_SELF, 0)


def _route(destination: str, type: int, scope: int, flags: int) -> bytes:
    to = ipaddress.IPv4Network(destination)
    header = (socket.AF_INET, to.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, type, flags)
    return struct.pack("=BBBBBBBBI", *header) + attribute(_RTA_DST, to.network_address.packed)


def _text(name: str) -> bytes:
    return name.encode() + b"\0"


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _unpacked(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address))
