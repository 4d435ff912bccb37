"""The guest's end of its wire: a tap that is made in the host's namespace, and moved into the VPC's once it is held.

libvirt opens a tap by its name in its own namespace, and the open file goes with the tap wherever it is moved. So a
tap waits, down, in the host's namespace until a process holds it (its carrier is on), and only then it is moved, gets
the subnet's gateway address and the route to its guest, and comes up. When nobody holds it any more, it is made anew.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import struct
from pathlib import Path

from cumulet.drivers.network import namespace
from cumulet.drivers.network.netlink import Link, Netlink
from cumulet.drivers.specs import InterfaceSpec, tap_name
from cumulet.lib import crash
from cumulet.lib.errors import Failure

GATEWAY_MAC = "fe:00:0a:c2:00:01"
"""Of each tap, so that a guest's neighbour cache stays right through anything that happens here."""
_TUN = Path("/dev/net/tun")
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000


def place(spec: InterfaceSpec, network: str) -> None:
    """Bring the tap one step on, or to its end: made, moved in, at work. To be called in the host's namespace."""
    tap = tap_name(spec.id)
    inside = namespace.within(network, lambda: _look(tap))
    with Netlink() as host:
        outside = host.link(tap)
        if inside is not None and not inside.held:
            namespace.within(network, lambda: _delete(tap))
            crash.point("network.tap.deleted")
            inside = None
        if inside is None and outside is None:
            _make(tap, host)
            outside = host.link(tap)
        if outside is not None:
            host.set_mac_and_mtu(outside.index, GATEWAY_MAC, spec.mtu)
        if inside is None and outside is not None and outside.held and not spec.stands_by:
            with namespace.opened(network) as there:
                host.move(outside.index, there)
            crash.point("network.tap.moved")
            inside = outside
    if inside is not None:
        namespace.within(network, lambda: _put_to_work(spec))


def take_away(id: str, network: str) -> None:
    """No tap of this interface any more, in neither namespace."""
    tap = tap_name(id)
    _delete(tap)
    namespace.within(network, lambda: _delete(tap))


def _put_to_work(spec: InterfaceSpec) -> None:
    tap = tap_name(spec.id)
    subnet = ipaddress.IPv4Network(spec.subnet_cidr)
    gateway = str(subnet[1])
    namespace.sysctl(f"ipv4/conf/{tap}/proxy_arp", 1)
    namespace.sysctl(f"ipv4/neigh/{tap}/proxy_delay", 0)
    namespace.sysctl(f"ipv4/conf/{tap}/rp_filter", 1 if spec.source_dest_check else 0)
    with Netlink() as vpc:
        link = vpc.link(tap)
        if link is None:
            raise Failure(f"the tap {tap} of {spec.id} was taken away while it was being set up")
        for index, address, _ in vpc.addresses():
            if index == link.index and address != gateway:
                vpc.delete_address(index, address, subnet.prefixlen)
        vpc.add_address(link.index, gateway, subnet.prefixlen)
        if not link.up:
            vpc.bring_up(link.index)
        vpc.replace_route(f"{spec.ip}/32", link.index)


def _make(tap: str, host: Netlink) -> None:
    try:
        file = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _IFF_TAP | _IFF_NO_PI))
            fcntl.ioctl(file, _TUNSETPERSIST, 1)
        finally:
            os.close(file)
    except OSError as e:
        raise Failure(f"making the tap {tap} by {_TUN}: {e.strerror}") from e
    namespace.sysctl(f"ipv6/conf/{tap}/disable_ipv6", 1)
    crash.point("network.tap.made")


def _look(tap: str) -> Link | None:
    with Netlink() as here:
        return here.link(tap)


def _delete(tap: str) -> None:
    with Netlink() as here:
        here.delete_link(tap)
