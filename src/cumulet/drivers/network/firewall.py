"""The rules inside a VPC's namespace, as nft text: anti-spoofing, security groups, and one-to-one public addresses.

A packet passes, in this order: `spoof` (it comes from whom it says), `prerouting` (a public address becomes the
private one), `leaving` (the sender's groups allow it), `arriving` (the receiver's groups allow it), `postrouting`
(the private address becomes the public one, or this host's). `input` is for what is asked of the router itself.
Each chain drops what no rule accepts. An interface is two chains behind a verdict map; a group is two chains of
rules, a set of its members' addresses, and an empty chain with the group's own name that says: it was ensured here,
and is not only named by others. What comes from another host by the tunnel has passed `spoof` and `leaving` there, and
goes to a guest here or nowhere; what goes there is looked at by the `arriving` of that host. The tunnel has an empty
chain with the VPC's name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cumulet.drivers.network.settings import METADATA_ADDRESS, TABLE, TAP_PREFIX, TUNNEL, UPLINK, checked_id
from cumulet.drivers.specs import GroupSpec, InterfaceSpec, RuleSpec, VpcSpec, tap_name
from cumulet.lib.errors import Impossible

_INET = f"inet {TABLE}"
_ARP = f"arp {TABLE}"
_GUESTS = f'iifname "{TAP_PREFIX}*"'
_PORTS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp"}
_ANY = -1


@dataclass(frozen=True)
class Facts:
    """What the namespace was told of an interface: kept as the comment of a rule, in the same transaction."""

    mac: str
    ip: str
    public_ip: str | None
    source_dest_check: bool

    @classmethod
    def of(cls, spec: InterfaceSpec) -> Facts:
        """The facts of a spec; raises `Impossible` where they are not addresses."""
        try:
            mac = bytes.fromhex(spec.mac.replace(":", ""))
            ip = ipaddress.IPv4Address(spec.ip)
            public_ip = ipaddress.IPv4Address(spec.public_ip) if spec.public_ip else None
        except ValueError as e:
            raise Impossible("Client.InvalidParameterValue", f"{spec.id}: {e}") from e
        return cls(mac.hex(":"), str(ip), str(public_ip) if public_ip else None, spec.source_dest_check)

    @classmethod
    def read(cls, listing: str) -> Facts:
        """The facts in the listing of an interface's chain."""
        mac, ip, public_ip, check = listing.rsplit('comment "', 1)[1].split('"', 1)[0].split()
        return cls(mac, ip, None if public_ip == "-" else public_ip, check == "checked")

    def written(self) -> str:
        return f"{self.mac} {self.ip} {self.public_ip or '-'} {'checked' if self.source_dest_check else 'free'}"


def skeleton(*, dns: bool) -> str:
    """What drops everything until interfaces and groups are added to it; applied again it changes nothing."""
    names = [f"{_GUESTS} meta l4proto {{ tcp, udp }} th dport 53 accept"] if dns else []
    rules = {**_RULES, "input": [*_INPUT, *names]}
    flushed = "".join(f"flush chain {_INET} {chain}\n" for chain in rules)
    filled = "".join(f"add rule {_INET} {chain} {rule}\n" for chain, listed in rules.items() for rule in listed)
    arp = f'flush chain {_ARP} input\nadd rule {_ARP} input iifname "{UPLINK}" accept\n'
    arp += f"add rule {_ARP} input iifname . arp saddr ether . arp saddr ip @sources accept\n"
    return _DECLARATIONS + flushed + filled + arp


_INPUT = [
    "ct state invalid drop",
    "ct state established,related accept",
    'iifname "lo" accept',
    f"{_GUESTS} udp sport 68 udp dport 67 accept",
    f"{_GUESTS} ip daddr {METADATA_ADDRESS} tcp dport 80 accept",
    f"{_GUESTS} ip daddr != {METADATA_ADDRESS} icmp type echo-request accept",
]
_RULES = {
    "spoof": [
        f'iifname {{ "lo", "{UPLINK}", "{TUNNEL}" }} accept',
        "meta nfproto ipv6 drop",
        "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 iifname . ether saddr @guests accept",
        "iifname . ether saddr . ip saddr @sources accept",
        "iifname . ether saddr @routers accept",
    ],
    "prerouting": ["dnat ip to ip daddr map @public_in"],
    "leaving": [
        "ct state invalid drop",
        "ct state established,related accept",
        f'iifname "{UPLINK}" accept',
        f'iifname "{TUNNEL}" oifname "{TAP_PREFIX}*" accept',
        "iifname vmap @leaving_by",
    ],
    "arriving": [
        "ct state established,related accept",
        f'oifname {{ "{UPLINK}", "{TUNNEL}" }} accept',
        "oifname vmap @arriving_at",
    ],
    # Who asks for a public address of this VPC from inside is seen by his own public address, where he has one;
    # that also lets a guest reach itself by it.
    "postrouting": [
        f'oifname "{UPLINK}" snat ip to ip saddr map @public_out',
        f'oifname "{UPLINK}" masquerade',
        f"{_GUESTS} ct status dnat snat ip to ip saddr map @public_out",
    ],
    "output": ["meta nfproto ipv6 drop"],
}
_DECLARATIONS = f"""\
table {_INET} {{
    set guests {{ type ifname . ether_addr; }}
    set routers {{ type ifname . ether_addr; }}
    set sources {{ type ifname . ether_addr . ipv4_addr; }}
    map leaving_by {{ type ifname : verdict; }}
    map arriving_at {{ type ifname : verdict; }}
    map public_in {{ type ipv4_addr : ipv4_addr; }}
    map public_out {{ type ipv4_addr : ipv4_addr; }}
    chain spoof {{ type filter hook prerouting priority raw; policy drop; }}
    chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}
    chain input {{ type filter hook input priority filter; policy drop; }}
    chain leaving {{ type filter hook forward priority filter; policy drop; }}
    chain arriving {{ type filter hook forward priority filter + 1; policy drop; }}
    chain postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
    chain output {{ type filter hook output priority filter; policy accept; }}
}}
table {_ARP} {{
    set sources {{ type ifname . ether_addr . ipv4_addr; }}
    chain input {{ type filter hook input priority filter; policy drop; }}
}}
"""


def ids(chains: Iterable[str]) -> set[str]:
    """The interfaces, groups and tunnels (by their VPC) that have these chains."""
    interfaces = {chain.removesuffix("-in") for chain in chains if chain.startswith("eni-") and chain.endswith("-in")}
    named = ("sg-", "vpc-")
    return interfaces | {chain for chain in chains if chain.startswith(named) and not chain.endswith(("-in", "-out"))}


def interface(spec: InterfaceSpec) -> str:
    """The interface as it should be, once its `chains` are there; `no_longer` goes before it where it was known."""
    facts = Facts.of(spec)
    text = "".join(f"flush chain {_INET} {spec.id}-{way}\n" for way in _WAYS)
    for way in _WAYS:
        text += "".join(f"add rule {_INET} {spec.id}-{way} jump {group}-{way}\n" for group in spec.groups)
        text += f'add rule {_INET} {spec.id}-{way} drop comment "{facts.written()}"\n'
    return text + _elements([*_private_elements(spec.id, facts), *_public_elements(facts)])


def chains(spec: InterfaceSpec | GroupSpec | VpcSpec) -> list[str]:
    """The chains that the text of a spec is about; a group's may be there empty before it is."""
    if isinstance(spec, VpcSpec):
        return [checked_id(spec.id)]
    if isinstance(spec, GroupSpec):
        return [checked_id(spec.id), *(f"{spec.id}-{way}" for way in _WAYS)]
    return [f"{checked_id(id)}-{way}" for id in (spec.id, *spec.groups) for way in _WAYS]


def declared(chains: Iterable[str]) -> str:
    """Chains that are there. Only for those that are not: to say it again costs the kernel a grace period."""
    return "".join(f"add chain {_INET} {chain}\n" for chain in chains)


def no_longer(spec: InterfaceSpec, old: Facts | None, holder: str | None) -> str:
    """What was said before and is not so any more.

    `old` is what the namespace was told of the interface. `holder` is the private address that has the interface's
    public one now.
    """
    facts = Facts.of(spec)
    text = ""
    if old is not None and old != facts:
        text += _not_elements(_private_elements(spec.id, old))
        if old.public_ip and old.public_ip != facts.public_ip:
            text += _not_elements([("map", "public_out", old.ip, old.public_ip)])
    if facts.public_ip and holder is not None and holder != facts.ip:
        text += no_public_address(facts.public_ip)
        text += _not_elements([("map", "public_out", holder, facts.public_ip)])
    return text


def no_public_address(public_ip: str) -> str:
    """A public address is nobody's any more."""
    return f"delete element {_INET} public_in {{ {public_ip} }}\n"


def no_interface(id: str, facts: Facts) -> str:
    """The interface is not there any more; its groups are."""
    public = [element for element in _public_elements(facts) if element[1] == "public_out"]
    text = _not_elements([*_private_elements(id, facts), *public])
    return text + "".join(f"flush chain {_INET} {id}-{way}\ndelete chain {_INET} {id}-{way}\n" for way in _WAYS)


def group(spec: GroupSpec) -> str:
    """The group as it should be, for all its interfaces at once, once its `chains` are there."""
    id = checked_id(spec.id)
    named = {id, *(rule.group for rule in (*spec.ingress, *spec.egress) if rule.group)}
    text = "".join(f"add set {_INET} {checked_id(other)} {{ type ipv4_addr; }}\n" for other in sorted(named))
    text += _emptied(id)
    if spec.members:
        members = ", ".join(sorted(str(ipaddress.IPv4Address(member)) for member in spec.members))
        text += f"add element {_INET} {id} {{ {members} }}\n"
    for way, side, rules in (("in", "saddr", spec.ingress), ("out", "daddr", spec.egress)):
        text += "".join(f"add rule {_INET} {id}-{way} {rule(each, side)} accept\n" for each in rules)
    return text


def no_group(id: str) -> str:
    """Nothing passes by this group any more. What others name of it stays, empty: see `no_placeholder`."""
    return _emptied(id) + f"delete chain {_INET} {id}\n"


def no_placeholder(id: str) -> str:
    """The last of a group; nft refuses it as long as an interface or a rule names the group."""
    text = "".join(f"add chain {_INET} {id}-{way}\ndelete chain {_INET} {id}-{way}\n" for way in _WAYS)
    return text + f"add set {_INET} {id} {{ type ipv4_addr; }}\ndelete set {_INET} {id}\n"


def tunnel(spec: VpcSpec) -> str:
    """The sign that the VPC's tunnel is here, once its chain is."""
    return f"flush chain {_INET} {checked_id(spec.id)}\n"


def no_tunnel(id: str) -> str:
    """The tunnel is not here any more."""
    return f"delete chain {_INET} {id}\n"


def rule(spec: RuleSpec, side: str) -> str:
    """What a permission matches; `side` is saddr for the sender, daddr for the receiver."""
    return " ".join(part for part in (_peer(spec, side), _protocol(spec)) if part) or "meta nfproto ipv4"


def _peer(spec: RuleSpec, side: str) -> str:
    if spec.group:
        return f"ip {side} @{checked_id(spec.group)}"
    try:
        cidr = ipaddress.IPv4Network(spec.cidr or "", strict=False)
    except ValueError as e:
        raise Impossible("Client.InvalidParameterValue", f"a rule is for {spec.cidr!r}: {e}") from e
    return f"ip {side} {cidr}" if cidr.prefixlen else ""


def _protocol(spec: RuleSpec) -> str:
    if spec.protocol == "-1":
        return ""
    if spec.protocol in ("icmp", "1"):
        return _icmp(spec)
    if spec.protocol in _PORTS:
        protocol = _PORTS[spec.protocol]
        if spec.from_port == _ANY or (spec.from_port, spec.to_port) == (0, 65535):
            return f"meta l4proto {protocol}"
        last = spec.from_port if spec.to_port == _ANY else spec.to_port
        return f"{protocol} dport {spec.from_port}-{last}" if last != spec.from_port else f"{protocol} dport {last}"
    if spec.protocol.isdecimal() and int(spec.protocol) < 256:
        return f"meta l4proto {int(spec.protocol)}"
    raise Impossible("Client.InvalidParameterValue", f"a rule is for the protocol {spec.protocol!r}")


def _icmp(spec: RuleSpec) -> str:
    if spec.from_port == _ANY:
        return "meta l4proto icmp"
    code = "" if spec.to_port == _ANY else f" icmp code {spec.to_port}"
    return f"icmp type {spec.from_port}{code}"


_WAYS = ("in", "out")
_Element = tuple[str, str, str, str]
"""Set or map (or arp: the set in that table), its name, the key, and what it is mapped to (empty in a set)."""


def _private_elements(id: str, facts: Facts) -> list[_Element]:
    tap = f'"{tap_name(id)}"'
    source = f"{tap} . {facts.mac} . {facts.ip}"
    return [
        ("set", "guests", f"{tap} . {facts.mac}", ""),
        ("set", "sources", source, ""),
        *([] if facts.source_dest_check else [("set", "routers", f"{tap} . {facts.mac}", "")]),
        ("arp", "sources", source, ""),
        ("map", "leaving_by", tap, f"jump {id}-out"),
        ("map", "arriving_at", tap, f"jump {id}-in"),
    ]


def _public_elements(facts: Facts) -> list[_Element]:
    if facts.public_ip is None:
        return []
    return [("map", "public_in", facts.public_ip, facts.ip), ("map", "public_out", facts.ip, facts.public_ip)]


def _elements(elements: Iterable[_Element]) -> str:
    text = ""
    for kind, name, key, value in elements:
        table = _ARP if kind == "arp" else _INET
        text += f"add element {table} {name} {{ {key}{' : ' + value if value else ''} }}\n"
    return text


def _not_elements(elements: Iterable[_Element]) -> str:
    """Added before it is deleted, as deleting what is not there is an error."""
    text = ""
    for kind, name, key, value in elements:
        table = _ARP if kind == "arp" else _INET
        text += _elements([(kind, name, key, value)]) + f"delete element {table} {name} {{ {key} }}\n"
    return text


def _emptied(id: str) -> str:
    return f"flush chain {_INET} {id}-in\nflush chain {_INET} {id}-out\nflush set {_INET} {id}\n"
