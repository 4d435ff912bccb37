"""What the network driver is told, what it asks of the metadata service, and the names that it derives from ids."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cumulet.drivers.specs import InterfaceSpec
from cumulet.lib.errors import Failure

METADATA_ADDRESS = "169.254.169.254"
TABLE = "cumulet"
UPLINK = "up"
"""The VPC's end of its link to the host's namespace; the host's end is `veth_name`."""
VETH_PREFIX = "cv"
TAP_PREFIX = "tk"
TUNNEL = "vx"
"""The VPC's device that leads to the other hosts: of VXLAN, or of its VLAN."""
TUNNEL_PORT = 4789
TUNNEL_OVERHEAD = 50
"""Bytes that VXLAN over IPv4 adds to a packet: Ethernet, VXLAN, UDP, IP."""

_ID = re.compile(r"(eni|sg|vpc)-[0-9a-z]{1,32}")
_LINK = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,15}")


@dataclass(frozen=True)
class NetworkSettings:
    """Everything is relative to the network namespace that the process runs in: the host's.

    One driver to a network namespace: its nft table there is always `inet cumulet`.
    """

    state_directory: Path = Path("/run/cumulet/network")
    """Nothing in it is worth keeping through a reboot. dnsmasq's user must be able to come to it."""
    public_interface: str | None = None
    """Where public addresses are answered for; None: guests reach nothing beyond this host."""
    public_pool: list[str] = field(default_factory=list)
    """CIDRs, or FIRST-LAST; Cumulet's alone: it answers for no other address, and for these nobody else does."""
    transit_range: str = "100.64.0.0/16"
    """Addresses of the links to the VPCs; they are never seen outside of the host."""
    tunnel_address: str | None = None
    """This host's address on the underlay, which joins the hosts; None: a VPC reaches no other host."""
    tunnel_mtu: int = 1500 - TUNNEL_OVERHEAD
    """The largest packet of a guest that fits into one of the underlay."""
    vlan_interface: str | None = None
    """The trunk: a VPC that has a VLAN reaches other hosts by that one of it; None: no VPC with a VLAN does."""
    vlan_mtu: int = 1500
    """The largest packet of a guest on the trunk."""
    dns_servers: list[str] = field(default_factory=list)
    """Servers that can be reached from a VPC (not 127.0.0.53); none: guests are offered no DNS."""
    domain: str = "ec2.internal"
    namespace_prefix: str = "cm-"
    lease_seconds: int = 86400

    def __post_init__(self) -> None:
        if self.public_interface is not None and not _LINK.fullmatch(self.public_interface):
            raise Failure(f"the public interface is {self.public_interface!r}, which no link can be called")
        if self.vlan_interface is not None and not _LINK.fullmatch(self.vlan_interface):
            raise Failure(f"the VLANs' interface is {self.vlan_interface!r}, which no link can be called")
        if self.tunnel_address is not None and not _is_address(self.tunnel_address):
            raise Failure(f"the tunnel address is {self.tunnel_address!r}; it is this host's, such as 192.0.2.1")
        if not _PREFIX.fullmatch(self.namespace_prefix):
            raise Failure(f"the prefix of namespaces is {self.namespace_prefix!r}; it is lower case, such as cm-")

    def namespace(self, vpc: str) -> str:
        """The network namespace of a VPC on this host."""
        return self.namespace_prefix + checked_id(vpc).removeprefix("vpc-")[-12:]

    def veth(self, namespace: str) -> str:
        """The host's end of a VPC's link."""
        return VETH_PREFIX + namespace.removeprefix(self.namespace_prefix)


class Metadata(Protocol):
    """What the driver asks of the metadata service; `network` is the name of a VPC's namespace."""

    def is_serving(self, network: str) -> bool:
        """Whether it listens there."""

    def serve(self, network: str, listener: socket.socket) -> None:
        """Answer what comes in by this listening socket; it belongs to the service from now on."""

    def close(self, network: str) -> None:
        """Stop listening there, and forget all documents of this network."""

    def publish(self, network: str, interface: InterfaceSpec) -> None:
        """From now on this is what the guest at `interface.ip` is told."""

    def withdraw(self, network: str, interface: str) -> None:
        """Forget the document of an interface."""


def _is_address(text: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False


def checked_id(id: str) -> str:
    """An id that is safe in a file's name and in a rule; raises `Failure` for another."""
    if not _ID.fullmatch(id):
        raise Failure(f"{id!r} is not an id of a network interface, a security group or a VPC")
    return id
