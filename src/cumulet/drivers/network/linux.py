"""The network of this host's guests on Linux alone: a namespace to each VPC, routed taps, nftables and dnsmasq.

Everything is read back from the kernel: an interface, a group or a VPC's tunnel is there when its chain is, in the
namespace of the VPC. Its chain is the first thing made and the last thing removed, so that whatever a crash left of it
is still found.
"""

from __future__ import annotations

import ipaddress
import socket
import threading

from cumulet.drivers.contract import Seen
from cumulet.drivers.network import firewall, flows, namespace, nft, taps, tunnel
from cumulet.drivers.network.dhcp import Dhcp
from cumulet.drivers.network.firewall import Facts
from cumulet.drivers.network.host import Host
from cumulet.drivers.network.netlink import Netlink
from cumulet.drivers.network.rules import Rules
from cumulet.drivers.network.settings import METADATA_ADDRESS, TABLE, Metadata, NetworkSettings, checked_id
from cumulet.drivers.specs import GroupSpec, InterfaceSpec, Spec, VpcSpec
from cumulet.lib import crash
from cumulet.lib.errors import Failure

_VPC_SYSCTLS = {
    "ipv6/conf/all/disable_ipv6": 1,
    "ipv6/conf/default/disable_ipv6": 1,
    "ipv4/ip_forward": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/all/accept_redirects": 0,
    "ipv4/conf/default/accept_redirects": 0,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/default/send_redirects": 0,
}


class LinuxNetwork:
    """A driver for interfaces, groups and tunnels; to be called in the host's network namespace, as root."""

    def __init__(self, settings: NetworkSettings, metadata: Metadata) -> None:
        self._settings = settings
        self._metadata = metadata
        self._host = Host(settings, lambda: tunnel.peers(self._networks()))
        self._dhcp = Dhcp(settings)
        self._rules = Rules()
        self._routers = threading.Lock()  # held while a VPC's router comes or goes
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def ensure(self, spec: Spec) -> None:
        """Make the interface, the group or the VPC's tunnel be as `spec` says.

        An interface's tap is in the host's namespace from the first call on, and, once a process holds it, in the
        VPC's namespace after the next.
        """
        match spec:
            case InterfaceSpec():
                self._ensure_interface(spec)
            case GroupSpec():
                self._ensure_group(spec)
            case VpcSpec():
                self._ensure_tunnel(spec)
            case _:
                raise Failure(f"the network driver has no {type(spec).__name__}")

    def remove(self, id: str) -> None:
        """Make the interface, the group or the tunnel not be, nor its VPC's namespace if it was the last thing here."""
        network = self._find(checked_id(id))
        if network is not None:
            with self._lock(network):
                if id.startswith("eni-"):
                    self._remove_interface(network, id)
                elif id.startswith("vpc-"):
                    self._remove_tunnel(network, id)
                else:
                    namespace.within(network, lambda: self._rules.drop(network, id, firewall.no_group(id)))
        crash.point("network.removed")
        # Nothing found: this may be the second try after a crash that came later than the last chain.
        self._tidy({network} if network is not None else {*self._networks(), *self._dhcp.networks()})

    def observe(self) -> list[Seen]:
        """The interfaces and groups of all VPCs that have something on this host, and the VPCs that have a tunnel.

        An interface is not quite there where nobody would offer its guest its address.
        """
        return [seen for network in self._networks() for seen in self._seen(network)]

    def look(self, id: str) -> Seen | None:
        """One interface, group or tunnel, if it is there."""
        return Seen(id=id) if self._find(checked_id(id)) is not None else None

    def _ensure_interface(self, spec: InterfaceSpec) -> None:
        checked_id(spec.id)
        facts = Facts.of(spec)
        network = self._settings.namespace(spec.vpc)
        with self._lock(network):
            self._prepare(network)
            self._metadata.publish(network, spec)
            self._put_interface(network, spec, facts)
            crash.point("network.interface.put")
            self._serve_metadata(network)
            self._dhcp.put(network, spec)
            if facts.public_ip:
                self._host.attach(network, facts.public_ip, spec.public_range)
            crash.point("network.public.attached")
            taps.place(spec, network)

    def _ensure_group(self, spec: GroupSpec) -> None:
        text = firewall.group(spec)
        network = self._settings.namespace(spec.vpc)
        with self._lock(network):
            self._prepare(network)
            namespace.within(network, lambda: self._rules.put(network, spec.id, text, chains=firewall.chains(spec)))

    def _ensure_tunnel(self, spec: VpcSpec) -> None:
        network = self._settings.namespace(spec.id)
        text = firewall.tunnel(spec)

        def note() -> None:
            _close_range(spec.cidr)
            self._rules.put(network, spec.id, text, chains=firewall.chains(spec))

        with self._lock(network):
            self._prepare(network)
            namespace.within(network, note)
            crash.point("network.tunnel.noted")
            tunnel.put(network, spec, self._settings)
            self._host.admit_peers()

    def _put_interface(self, network: str, spec: InterfaceSpec, facts: Facts) -> None:
        text = firewall.interface(spec)
        if namespace.within(network, lambda: self._rules.hold(network, spec.id, text)):
            return
        old = namespace.within(network, lambda: _facts(spec.id))
        if old is not None and old.public_ip != facts.public_ip:
            self._give_up_public_address(network, spec.id, old)

        def put() -> None:
            _close_range(spec.vpc_cidr)
            holder = _holder(facts.public_ip) if facts.public_ip else None
            first = firewall.no_longer(spec, old, holder)
            self._rules.put(network, spec.id, text, chains=firewall.chains(spec), first=first)

        namespace.within(network, put)

    def _prepare(self, network: str) -> None:
        """The VPC's router, with nothing behind it: the rules are there before anything is up."""
        with self._routers:
            namespace.make(network)
            crash.point("network.namespace.made")
            namespace.within(network, lambda: self._furnish(network))
            crash.point("network.namespace.furnished")
            self._host.connect(network)

    def _furnish(self, network: str) -> None:
        self._rules.put(network, "", firewall.skeleton(dns=bool(self._settings.dns_servers)))
        for name, value in _VPC_SYSCTLS.items():
            namespace.sysctl(name, value)
        with Netlink() as vpc:
            loopback = socket.if_nametoindex("lo")
            vpc.add_address(loopback, METADATA_ADDRESS, 32)
            vpc.bring_up(loopback)

    def _serve_metadata(self, network: str) -> None:
        if not self._metadata.is_serving(network):
            self._metadata.serve(network, namespace.within(network, _listener))

    def _give_up_public_address(self, network: str, id: str, facts: Facts) -> None:
        """The interface's public address leads here no more, unless another interface of the VPC has it by now."""
        public_ip = facts.public_ip
        if public_ip is None:
            return
        holder = namespace.within(network, lambda: _holder(public_ip))
        if holder in (None, facts.ip):
            self._host.detach(network, public_ip)
        if holder == facts.ip:
            text = firewall.no_public_address(public_ip)
            namespace.within(network, lambda: self._rules.drop(network, id, text))
        namespace.within(network, lambda: flows.forget(public_ip))

    def _remove_interface(self, network: str, id: str) -> None:
        """Its chains go last: as long as they are there, the rest of it is found again."""
        taps.take_away(id, network)
        crash.point("network.tap.removed")
        self._dhcp.drop(network, id)
        self._metadata.withdraw(network, id)
        facts = namespace.within(network, lambda: _facts(id))
        if facts is not None:
            self._give_up_public_address(network, id, facts)
            crash.point("network.public.given_up")
            text = firewall.no_interface(id, facts)
            namespace.within(network, lambda: flows.forget(facts.ip))
            namespace.within(network, lambda: self._rules.drop(network, id, text))

    def _remove_tunnel(self, network: str, id: str) -> None:
        tunnel.take_away(network)
        crash.point("network.tunnel.removed")
        self._host.admit_peers()
        crash.point("network.tunnel.shut")
        namespace.within(network, lambda: self._rules.drop(network, id, firewall.no_tunnel(id)))

    def _tidy(self, networks: set[str]) -> None:
        for network in sorted(networks):
            with self._lock(network):
                if namespace.exists(network) and _things(network):
                    namespace.within(network, _drop_placeholders)
                else:
                    self._tear_down(network)
        with self._routers:
            namespace.sweep(self._settings.namespace_prefix)
            if not self._networks():
                self._host.take_down()

    def _seen(self, network: str) -> list[Seen]:
        things = sorted(_things(network))
        if self._dhcp.is_served(network):
            return [Seen(id=id) for id in things]
        return [Seen(id=id, state="broken") if id.startswith("eni-") else Seen(id=id) for id in things]

    def _tear_down(self, network: str) -> None:
        """The namespace goes last: as long as it is there, the rest of it is found again."""
        self._dhcp.close(network)
        self._metadata.close(network)
        self._rules.forget(network)
        crash.point("network.dhcp.closed")
        with self._routers:
            self._host.disconnect(network)
            crash.point("network.host.disconnected")
            namespace.delete(network)
        crash.point("network.namespace.deleted")

    def _networks(self) -> list[str]:
        return namespace.names(self._settings.namespace_prefix)

    def _find(self, id: str) -> str | None:
        """The VPC's namespace that has this interface or group."""
        return next((network for network in self._networks() if id in _things(network)), None)

    def _lock(self, network: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(network, threading.Lock())


def _things(network: str) -> set[str]:
    """The ids of what is in a namespace; of nothing, where it went away meanwhile."""
    try:
        chains = namespace.within(network, nft.chains)
    except Failure:
        if namespace.exists(network):
            raise
        return set()
    return firewall.ids(chains)


def _facts(id: str) -> Facts | None:
    listing = nft.listing(f"list chain inet {TABLE} {id}-out")
    return Facts.read(listing) if listing is not None else None


def _holder(public_ip: str) -> str | None:
    """The private address that a public one leads to."""
    listing = nft.listing(f"get element inet {TABLE} public_in {{ {public_ip} }}")
    return listing.rsplit(f"{public_ip} : ", 1)[1].split()[0] if listing is not None else None


def _close_range(vpc_cidr: str) -> None:
    """Where no guest is, nobody is: no packet for it leaves by the way out, nor is ARP answered."""
    with Netlink() as vpc:
        vpc.replace_unreachable(str(ipaddress.IPv4Network(vpc_cidr)))


def _drop_placeholders() -> None:
    """The rest of removed groups, where nothing names them any more."""
    chains = nft.chains()
    for id in nft.sets() | {chain.removesuffix("-in") for chain in chains}:
        if id.startswith("sg-") and id not in chains:
            nft.attempt(firewall.no_placeholder(id))  # refused while an interface or a rule names the group


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((METADATA_ADDRESS, 80))
        listener.listen(256)
    except OSError as e:
        listener.close()
        raise Failure(f"listening on {METADATA_ADDRESS}:80") from e
    return listener
