"""The host's side: the links to the VPCs, the way out by the public interface, and the public addresses.

Each VPC has one address of the transit range, at its end of a veth pair; this end has the range's first one, in all
pairs. The host translates the transit range to its own address on the public interface, routes each public address to
its VPC (which does the one-to-one translation), and answers ARP for it. Forwarding is switched on for these links
alone; where the public interface did not forward before, whatever else arrives by it is still not forwarded.

VXLAN knows no sender but by his address. So what is sent to its port is let in from the hosts that share a VPC with
this one, by the way that leads to them, and from nobody else; and no guest sends to that port by the host's address.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cumulet.drivers.network import namespace, nft
from cumulet.drivers.network.netlink import Link, Netlink
from cumulet.drivers.network.settings import TABLE, TUNNEL_PORT, UPLINK, VETH_PREFIX, NetworkSettings
from cumulet.drivers.specs import EXPORT_PORT, EXPORT_TLS_PORT, ISCSI_PORT, PASSAGE_PORT
from cumulet.lib import crash
from cumulet.lib.errors import Failure
from cumulet.lib.files import write
from cumulet.lib.image_link import IMAGE_PORT

_ETHERTYPE_ARP = 0x0806
_TUNNEL = f"udp dport {TUNNEL_PORT}"
_EXPORT = f"tcp dport {{ {ISCSI_PORT}, {EXPORT_PORT}, {EXPORT_TLS_PORT}, {PASSAGE_PORT}, {IMAGE_PORT} }}"


class Host:
    """What the host's own namespace has of the cloud's network; each call is to be made in that namespace.

    `peers` gives the underlay addresses of the hosts that the VPCs' tunnels lead to.
    """

    def __init__(self, settings: NetworkSettings, peers: Callable[[], set[str]]) -> None:
        self._settings = settings
        self._peers = peers
        self._admitted: set[str] = set()
        self._transit = ipaddress.IPv4Network(settings.transit_range)
        self._gateway = str(self._transit[1])
        self._learnt_file = settings.state_directory / "public-ranges"
        learnt = self._learnt_file.read_text().split() if self._learnt_file.exists() else []
        self._pool = [*settings.public_pool, *learnt]
        self._guard_file = settings.state_directory / "forwarding-was-off"
        self._generation = -1
        self._announcing: socket.socket | None = None
        self._lock = threading.Lock()

    def connect(self, network: str) -> None:
        """The VPC's namespace has its link to the host, and its way out."""
        veth = self._settings.veth(network)
        with self._lock, Netlink() as host:
            self._set_up(host)
            if host.link(veth) is None:
                with namespace.opened(network) as there:
                    host.add_veth(veth, UPLINK, there)
                crash.point("network.veth.made")
            for name, value in _LINK_SYSCTLS.items():
                namespace.sysctl(name.format(veth), value)
            link = self._link(host, veth)
            transit = self._transit_address(host, link.index, network)
            host.add_address(link.index, self._gateway, 32, peer=transit)
            if not link.up:
                host.bring_up(link.index)
        namespace.within(network, lambda: self._lead_out(transit))

    def disconnect(self, network: str) -> None:
        """No link to the VPC any more, nor a route to it."""
        with self._lock, Netlink() as host:
            host.delete_link(self._settings.veth(network))
            self._tidy_proxies(host)

    def admit_peers(self) -> None:
        """The tunnels hear the hosts that they lead to, and no others."""
        with self._lock, Netlink() as host:
            if self._peers() != self._admitted:
                self._generation = -1
                self._set_up(host)

    def attach(self, network: str, public_ip: str, range: str | None = None) -> None:
        """The public address leads to this VPC, and the neighbourhood is told so, each time.

        `range`: the operator has added it to the pool, with this address; all of it may be answered for from now on.
        """
        with self._lock, Netlink() as host:
            if range is not None and range not in self._pool:
                self._learn(host, range)
            if not self._is_ours(public_ip):
                raise Failure(f"the public address {public_ip} is not in the pool ({', '.join(self._pool)})")
            link = self._link(host, self._settings.veth(network))
            if host.link_of_route(public_ip) != link.index:
                host.replace_route(f"{public_ip}/32", link.index, self._transit_address(host, link.index, network))
                crash.point("network.public.routed")
            if self._settings.public_interface is not None:
                public = self._link(host, self._settings.public_interface)
                if public_ip not in host.proxies(public.index):
                    host.add_proxy(public_ip, public.index)
                if public.up:
                    self._announce(public_ip, public.mac)

    def detach(self, network: str, public_ip: str) -> None:
        """The public address does not lead to this VPC any more; it may lead to another by now."""
        with self._lock, Netlink() as host:
            link = host.link(self._settings.veth(network))
            if link is not None:
                host.delete_route(f"{public_ip}/32", link.index)
            crash.point("network.public.unrouted")
            self._tidy_proxies(host)

    def take_down(self) -> None:
        """Nothing of the cloud in the host's namespace any more; to be called when no VPC is left."""
        with self._lock, Netlink() as host:
            self._tidy_proxies(host)
            if self._guard_file.exists():
                self._forward_public(0)
                crash.point("network.forwarding.off")
                self._guard_file.unlink()
            nft.apply_by_command(f"table inet {TABLE}\ndelete table inet {TABLE}\n")
            self._generation = -1
            self._learnt_file.unlink(missing_ok=True)
            self._pool = [*self._settings.public_pool]
        with suppress(OSError):  # not there, or not only ours
            self._settings.state_directory.rmdir()

    def _announce(self, address: str, mac: str) -> None:
        """A gratuitous ARP, so that who knew the address elsewhere does not wait for his cache to forget it."""
        if self._announcing is None:  # once: closing one waits until no processor looks at it, for some 10 ms
            self._announcing = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        own = bytes.fromhex(mac.replace(":", ""))
        ip = ipaddress.IPv4Address(address).packed
        frame = b"\xff" * 6 + own + _ETHERTYPE_ARP.to_bytes(2, "big")
        frame += bytes.fromhex("0001080006040001") + own + ip + b"\0" * 6 + ip
        self._announcing.sendto(frame, (self._settings.public_interface, 0))

    def _learn(self, host: Netlink, range: str) -> None:
        """Written down first: a driver that is started anew knows it before it sets up the rules."""
        _ends(range)
        learnt = [*self._pool[len(self._settings.public_pool) :], range]
        self._learnt_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write(self._learnt_file, "\n".join(learnt).encode(), durable=False)
        crash.point("network.range.learnt")
        self._pool.append(range)
        self._generation = -1
        self._set_up(host)

    def _set_up(self, host: Netlink) -> None:
        """The rules are in force before anything is forwarded; they come again when somebody flushed them."""
        if self._generation == nft.generation():
            return
        public = self._settings.public_interface
        if public is not None:
            self._link(host, public)
            forwards = Path(f"/proc/sys/net/ipv4/conf/{public}/forwarding").read_text().strip() == "1"
            if not forwards:
                self._guard_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                self._guard_file.touch()
                crash.point("network.guard.written")
        nft.apply_by_command(self._rules())
        if public is not None:
            crash.point("network.host.rules")
            self._forward_public(1)
        self._generation = nft.generation()

    def _forward_public(self, value: int) -> None:
        public = self._settings.public_interface
        if public is not None and Path(f"/proc/sys/net/ipv4/conf/{public}").exists():
            namespace.sysctl(f"ipv4/conf/{public}/forwarding", value)

    def _rules(self) -> str:
        ours = f'"{VETH_PREFIX}*"'
        public = self._settings.public_interface
        self._admitted = self._peers()
        forward = [
            *self._closed_to_guests(),
            f"iifname {ours} oifname {ours} ip daddr @pool accept",
            f"iifname {ours} oifname {ours} ct state established,related accept",
        ]
        if public is not None:
            forward += [
                f'iifname {ours} oifname "{public}" accept',
                f'iifname "{public}" oifname {ours} ip daddr @pool accept',
                f'iifname "{public}" oifname {ours} ct state established,related accept',
            ]
        forward += [f"iifname {ours} drop", f"oifname {ours} drop"]
        if self._guard_file.exists():
            forward.append(f'meta nfproto ipv4 iifname "{public}" drop')
        out = f'ip saddr {self._transit} oifname "{public}" masquerade' if public is not None else ""
        return _RULES.format(
            table=f"inet {TABLE}",
            pool=_elements(self._pool),
            peers=_elements(sorted(self._admitted)),
            forward="\n        ".join(forward),
            input="\n        ".join(
                [f"iifname {ours} ct state new ip daddr {self._transit} drop", *self._between_hosts()]
            ),
            postrouting=out,
        )

    def _closed_to_guests(self) -> list[str]:
        """A guest without a public address is seen as this host, which other hosts trust."""
        if self._settings.tunnel_address is None:
            return []
        seen_as_host = f'iifname "{VETH_PREFIX}*" ip saddr {self._transit}'
        return [f"{seen_as_host} {port} drop" for port in (_TUNNEL, _EXPORT)]

    def _between_hosts(self) -> list[str]:
        """What hosts alone may ask of each other: tunnels, exports of volumes, and passages of guests."""
        address = self._settings.tunnel_address
        if address is None:
            return []
        known = f'iifname != "{VETH_PREFIX}*" ip saddr @peers ip daddr {address} fib saddr . iif oif exists'
        host = f'iifname != "{VETH_PREFIX}*" ip saddr != @pool fib saddr . iif oif exists'
        tunnels = [f"{_TUNNEL} {known} accept", f"{_TUNNEL} drop"]
        return [*tunnels, f"ip daddr {address} {_EXPORT} {host} accept", f"ip daddr {address} {_EXPORT} drop"]

    def _transit_address(self, host: Netlink, index: int, network: str) -> str:
        """The VPC's transit address: the one that its link has, else one that no link has."""
        taken = {}
        for link, _, peer in host.addresses():
            if link == index:
                return peer
            taken[peer] = link
        count = self._transit.num_addresses - 3
        first = int.from_bytes(hashlib.sha256(network.encode()).digest()[:8], "big")
        for step in range(count):
            address = str(self._transit[2 + (first + step) % count])
            if address not in taken:
                return address
        raise Failure(f"each address of the transit range {self._transit} is taken")

    def _lead_out(self, transit: str) -> None:
        with Netlink() as vpc:
            link = self._link(vpc, UPLINK)
            vpc.add_address(link.index, transit, 32)
            if not link.up:
                vpc.bring_up(link.index)
            vpc.replace_route("0.0.0.0/0", link.index, self._gateway)

    def _tidy_proxies(self, host: Netlink) -> None:
        """Answer for no address of the pool that does not lead to a VPC: whoever died before saying so."""
        public = self._settings.public_interface
        link = host.link(public) if public is not None else None
        if link is None:
            return
        for address in host.proxies(link.index):
            if self._is_ours(address) and not _leads_to_vpc(host, address):
                host.delete_proxy(address, link.index)

    def _is_ours(self, address: str) -> bool:
        number = int(ipaddress.IPv4Address(address))
        return any(first <= number <= last for first, last in map(_ends, self._pool))

    def _link(self, here: Netlink, name: str) -> Link:
        link = here.link(name)
        if link is None:
            raise Failure(f"there is no link {name} in this network namespace")
        return link


_LINK_SYSCTLS = {
    "ipv6/conf/{}/disable_ipv6": 1,
    "ipv4/conf/{}/forwarding": 1,
    "ipv4/conf/{}/rp_filter": 1,
    "ipv4/conf/{}/accept_redirects": 0,
    "ipv4/conf/{}/send_redirects": 0,
}
_RULES = """\
table {table}
delete table {table}
table {table} {{
    set pool {{ type ipv4_addr; flags interval; auto-merge; {pool} }}
    set peers {{ type ipv4_addr; {peers} }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        {forward}
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        {input}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        {postrouting}
    }}
}}
"""


def _elements(listed: list[str]) -> str:
    return f"elements = {{ {', '.join(listed)} }};" if listed else ""


def _leads_to_vpc(host: Netlink, address: str) -> bool:
    index = host.link_of_route(address)
    return index is not None and socket.if_indextoname(index).startswith(VETH_PREFIX)


def _ends(range: str) -> tuple[int, int]:
    """First and last address of a CIDR or FIRST-LAST, as numbers."""
    try:
        first, dash, last = range.partition("-")
        if dash:
            return int(ipaddress.IPv4Address(first.strip())), int(ipaddress.IPv4Address(last.strip()))
        whole = ipaddress.IPv4Network(range)
        return int(whole.network_address), int(whole.broadcast_address)
    except ValueError as e:
        raise Failure(f"the public pool has {range!r}, which is neither a CIDR nor FIRST-LAST") from e
