"""The VPC's way to its guests on other hosts: a device of VXLAN or of its VLAN that is told where each of them is.

The device is in the VPC's namespace; its underlay or trunk is in the host's. Each host has a MAC address in it that
follows from its underlay address, so there is nothing to learn and nobody to ask: for a peer there is one static
neighbour (and in VXLAN one static forwarding entry), for a guest there one /32 route over that neighbour. There is no
entry for whoever is not known, so no broadcast leaves, and who asks in the VLAN is not answered. Frames carry only
routed packets; a guest sees the gateway's MAC address and no other.

Underlay addresses may be in a VPC's own range. So a neighbour goes by an address that no VPC can have: the underlay
address with its first four bits set, of the reserved range 240.0.0.0/4.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable

from cumulet.drivers.network import flows, namespace
from cumulet.drivers.network.netlink import Link, Netlink, Vlan, Vxlan
from cumulet.drivers.network.settings import TUNNEL, TUNNEL_OVERHEAD, TUNNEL_PORT, NetworkSettings
from cumulet.drivers.specs import VpcSpec
from cumulet.lib import crash
from cumulet.lib.errors import Failure, Impossible

_MAC_PREFIX = b"\x0a\xc2"
"""Locally administered; an underlay address makes the rest of it."""
_RESERVED = 0xF0000000
_SYSCTLS = {"rp_filter": 0, "arp_ignore": 8}
"""`arp_ignore` 8: nobody is answered; whoever may know this host has been told (ip-sysctl.rst)."""
_HINTS = {
    errno.EOPNOTSUPP: "this host's kernel has no 802.1q (modprobe 8021q)",
    errno.EEXIST: "something else on this host has it already",
}


def put(network: str, spec: VpcSpec, settings: NetworkSettings) -> None:
    """The VPC's namespace reaches just these peers. To be called in the host's namespace."""
    if settings.tunnel_address is None:
        raise Failure(f"{spec.id} has guests on other hosts, and this host has no tunnel_address to reach them")
    peers = _checked(spec)
    local, forwards = settings.tunnel_address, not spec.vlan
    with Netlink() as host:
        wanted: Vxlan | Vlan
        if forwards:
            wanted = Vxlan(spec.vni, local, TUNNEL_PORT, _mac(local), settings.tunnel_mtu)
        else:
            trunk = _trunk_of(host, spec, settings)
            wanted = Vlan(spec.vlan, trunk.index, _mac(local), settings.vlan_mtu)
        if namespace.within(network, _look) != wanted:
            take_away(network)
            _make(host, network, wanted)
            crash.point("network.tunnel.made")
    namespace.within(network, lambda: _lead(peers, set(peers.values()) if forwards else set()))


def take_away(network: str) -> None:
    """No tunnel in the VPC's namespace any more."""
    namespace.within(network, _delete)


def peers(networks: Iterable[str]) -> set[str]:
    """The underlay addresses of all the hosts that these VPCs reach."""
    found: set[str] = set()
    for network in networks:
        try:
            found |= namespace.within(network, _hosts)
        except Failure:
            if namespace.exists(network):
                raise
    return found


def underlay_mtu(address: str) -> int | None:
    """The MTU of the link that has this host's underlay address; None on the loopback, from which any may lead on."""
    with Netlink() as host:
        found = [index for index, local, _ in host.addresses() if local == address]
        link = host.link(socket.if_indextoname(found[0])) if found else None
    if link is None:
        raise Failure(f"the setting tunnel_address is {address}, which no interface of this host has")
    return link.mtu if link.mtu <= 65535 else None


def guest_mtu(address: str) -> int | None:
    """The largest packet of a guest that fits into one of the underlay; None where the link does not say."""
    underlay = underlay_mtu(address)
    return None if underlay is None else underlay - TUNNEL_OVERHEAD


def trunk_mtu(name: str) -> int:
    """The largest packet on the trunk, and so in each of its VLANs."""
    with Netlink() as host:
        return _trunk(host, name).mtu


def _trunk(host: Netlink, name: str) -> Link:
    link = host.link(name)
    if link is None:
        raise Failure(f"the setting vlan_interface is {name}, and this host has no such interface")
    return link


def _trunk_of(host: Netlink, spec: VpcSpec, settings: NetworkSettings) -> Link:
    """The trunk, which is up and carries what guests send. Nothing else of it is changed."""
    if settings.vlan_interface is None:
        raise Failure(f"{spec.id} is in the VLAN {spec.vlan}, and this host has no vlan_interface to reach it")
    trunk = _trunk(host, settings.vlan_interface)
    if trunk.mtu < settings.vlan_mtu:
        said = f"packets of {trunk.mtu} bytes, and guests here send {settings.vlan_mtu} (guest_mtu)"
        raise Failure(f"the trunk {settings.vlan_interface} carries {said}")
    if not trunk.up:
        host.bring_up(trunk.index)
    return trunk


def _make(host: Netlink, network: str, wanted: Vxlan | Vlan) -> None:
    with namespace.opened(network) as there:
        if isinstance(wanted, Vxlan):
            host.add_vxlan(TUNNEL, wanted, there)
            return
        try:
            host.add_vlan(TUNNEL, wanted, there)
        except Failure as e:
            hint = _HINTS.get(getattr(e.__cause__, "errno", 0))
            raise Failure(f"{e}: {hint}" if hint else str(e)) from e.__cause__


def _checked(spec: VpcSpec) -> dict[str, str]:
    """Address of each guest to its host's; raises `Impossible` where they are not addresses, or hosts look alike."""
    try:
        found = {str(ipaddress.IPv4Address(peer.ip)): str(ipaddress.IPv4Address(peer.via)) for peer in spec.peers}
    except ValueError as e:
        raise Impossible("Client.InvalidParameterValue", f"{spec.id}: {e}") from e
    hosts = set(found.values())
    if len({_neighbour(host) for host in hosts}) < len(hosts):
        raise Failure(f"{spec.id}: underlay addresses that differ in their first four bits only: {sorted(hosts)}")
    return found


def _lead(peers: dict[str, str], forwarded: set[str]) -> None:
    """Hosts are known before a route leads to them, and until none does; `forwarded` are those that VXLAN is told."""
    for name, value in _SYSCTLS.items():
        namespace.sysctl(f"ipv4/conf/{TUNNEL}/{name}", value)
    with Netlink() as vpc:
        link = vpc.link(TUNNEL)
        if link is None:
            raise Failure(f"the device {TUNNEL} was taken away while it was being set up")
        if not link.up:
            vpc.bring_up(link.index)
        hosts = set(peers.values())
        _know(vpc, link.index, hosts, forwarded)
        crash.point("network.tunnel.hosts")
        _route(vpc, link.index, {ip: _neighbour(host) for ip, host in peers.items()})
        crash.point("network.tunnel.routed")
        _forget(vpc, link.index, hosts, forwarded)


def _know(vpc: Netlink, index: int, hosts: set[str], forwarded: set[str]) -> None:
    forwarding, neighbours = vpc.forwarding(index), vpc.neighbours(index)
    for host in sorted(hosts):
        mac = _mac(host)
        if host in forwarded and forwarding.get(mac) != host:
            vpc.replace_forwarding(index, mac, host)
        if neighbours.get(_neighbour(host)) != mac:
            vpc.replace_neighbour(index, _neighbour(host), mac)


def _route(vpc: Netlink, index: int, wanted: dict[str, str]) -> None:
    """A guest whose tap is here is here, whatever is said: its route is the tap's."""
    routes = vpc.host_routes()
    there = {ip: via for ip, (link, via) in routes.items() if link == index}
    changed = [ip for ip, via in there.items() if via != wanted.get(ip)]
    if changed:
        flows.forget(*changed)  # whoever is at the address now is another, or has been started anew
    for ip in changed:
        if ip not in wanted:
            vpc.delete_route(f"{ip}/32", index)
    for ip, neighbour in wanted.items():
        if ip not in routes or ip in there and there[ip] != neighbour:
            vpc.replace_route(f"{ip}/32", index, neighbour)


def _forget(vpc: Netlink, index: int, hosts: set[str], forwarded: set[str]) -> None:
    for address in vpc.neighbours(index).keys() - {_neighbour(host) for host in hosts}:
        vpc.delete_neighbour(index, address)
    for mac, host in vpc.forwarding(index).items():
        if host not in forwarded or mac != _mac(host):
            vpc.delete_forwarding(index, mac, host)


def _look() -> Vxlan | Vlan | None:
    with Netlink() as vpc:
        return vpc.vxlan(TUNNEL) or vpc.vlan(TUNNEL)


def _delete() -> None:
    with Netlink() as vpc:
        link = vpc.link(TUNNEL)
        if link is not None:
            _route(vpc, link.index, {})
            vpc.delete_link(TUNNEL)


def _hosts() -> set[str]:
    with Netlink() as vpc:
        link = vpc.link(TUNNEL)
        return set(vpc.forwarding(link.index).values()) if link is not None else set()


def _mac(host: str) -> str:
    return (_MAC_PREFIX + ipaddress.IPv4Address(host).packed).hex(":")


def _neighbour(host: str) -> str:
    return str(ipaddress.IPv4Address(int(ipaddress.IPv4Address(host)) | _RESERVED))
