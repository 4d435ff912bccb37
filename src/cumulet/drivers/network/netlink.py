"""Links, addresses, routes and proxied neighbours by rtnetlink, a tenth of the time of a call of `ip`.

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
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD, _IFLA_CARRIER = 1, 3, 4, 18, 28, 33
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _IFA_F_NOPREFIXROUTE = 1, 2, 8, 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RT_TABLE_MAIN, _RTPROT_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 254, 4, 0, 253, 255
_RTNH_F_ONLINK, _RTM_F_FIB_MATCH = 0x4, 0x2000
_NTF_PROXY, _NUD_PERMANENT, _NDA_DST = 0x08, 0x80, 1
_IFF_UP = 0x1
_GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class Link:
    """A network device: `held` says that its carrier is on, which for a tap means that a process has it open."""

    index: int
    up: bool
    held: bool
    mac: str


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
        try:
            answer = self._kernel.ask(_GETLINK, _ifinfo() + attribute(_IFLA_IFNAME, _text(name)))
        except OSError as e:
            if e.errno in _GONE:
                return None
            raise Failure(f"looking up the link {name}") from e
        index, flags = struct.unpack_from("=4xiI", answer)
        found = dict(attributes(answer[16:]))
        mac = found.get(_IFLA_ADDRESS, b"").hex(":")
        return Link(index, bool(flags & _IFF_UP), found.get(_IFLA_CARRIER, b"\0") != b"\0", mac)

    def add_veth(self, name: str, peer: str, peer_namespace: int) -> None:
        """A pair of devices; `peer_namespace` is an open file of the namespace that the peer goes to."""
        to = _ifinfo() + attribute(_IFLA_IFNAME, _text(peer))
        to += attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
        kind = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, to))
        body = _ifinfo() + attribute(_IFLA_IFNAME, _text(name)) + attribute(_IFLA_LINKINFO, kind)
        self._do(f"making the link {name}", _NEWLINK, CREATE | EXCLUSIVE, body)

    def bring_up(self, index: int) -> None:
        self._do(f"bringing up link {index}", _NEWLINK, 0, _ifinfo(index, _IFF_UP, _IFF_UP))

    def set_mac_and_mtu(self, index: int, mac: str, mtu: int) -> None:
        body = attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
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
        body = _neighbour(index) + attribute(_NDA_DST, _packed(address))
        self._do(f"answering for {address} on link {index}", _NEWNEIGH, CREATE | REPLACE, body)

    def delete_proxy(self, address: str, index: int) -> None:
        body = _neighbour(index) + attribute(_NDA_DST, _packed(address))
        self._do(f"answering no longer for {address} on link {index}", _DELNEIGH, 0, body, gone=True)

    def proxies(self, index: int) -> list[str]:
        """The addresses that ARP is answered for on a link, besides its own."""
        found = []
        for answer in self._kernel.dump(_GETNEIGH, _neighbour(0)):
            address = dict(attributes(answer[12:])).get(_NDA_DST)
            if answer[0] == socket.AF_INET and struct.unpack_from("=i", answer, 4)[0] == index and address:
                found.append(_unpacked(address))
        return found

    def _do(self, act: str, type: int, flags: int, body: bytes, *, gone: bool = False) -> None:
        """An order; with `gone`, that the thing is not there is success."""
        try:
            self._kernel.order(type, flags, body)
        except OSError as e:
            if not (gone and e.errno in _GONE):
                raise Failure(act) from e


def _ifinfo(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _neighbour(index: int) -> bytes:
    return struct.pack("=BxxxiHBB", socket.AF_INET, index, _NUD_PERMANENT, _NTF_PROXY, 0)


def _route(destination: str, type: int, scope: int, flags: int) -> bytes:
    to = ipaddress.IPv4Network(destination)
    header = (socket.AF_INET, to.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, type, flags)
    return struct.pack("=BBBBBBBBI", *header) + attribute(_RTA_DST, to.network_address.packed)


def _text(name: str) -> bytes:
    return name.encode() + b"\0"


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _unpacked(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address))
