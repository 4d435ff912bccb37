"""The flows that the kernel tracks: forgotten when the address that they belong to is somebody else's from now on.

Otherwise a flow that goes on (a ping, a DNS server's UDP port) would still be translated for the last owner of a
public address, and a new guest with an old one's address would inherit what was allowed to that one.
Numbers: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

from cumulet.drivers.network.kernel import Kernel, attribute, attributes
from cumulet.lib.errors import Failure

_NETLINK_NETFILTER = 12
_GET, _DELETE = 0x0101, 0x0102
_ORIGINAL, _REPLY, _FLOW_ID = 1, 2, 12
_TUPLE_IP = 1
_NESTED = 0x8000
_IPV4 = struct.pack("=BBH", socket.AF_INET, 0, 0)


def forget(*addresses: str) -> None:
    """Forget all flows from and to these addresses, in the namespace of this thread."""
    wanted = {ipaddress.IPv4Address(address).packed for address in addresses}
    try:
        with Kernel(_NETLINK_NETFILTER) as kernel:
            found = [dict(attributes(answer[4:])) for answer in kernel.dump(_GET, _IPV4)]
            for flow in found:
                if wanted & _addresses(flow):
                    _delete(kernel, flow)
    except OSError as e:
        raise Failure(f"forgetting the flows of {', '.join(addresses)}: {e.strerror}") from e


def _addresses(flow: dict[int, bytes]) -> set[bytes]:
    ways = (dict(attributes(flow.get(way, b""))) for way in (_ORIGINAL, _REPLY))
    return {value for way in ways for _, value in attributes(way.get(_TUPLE_IP, b""))}


def _delete(kernel: Kernel, flow: dict[int, bytes]) -> None:
    which = attribute(_ORIGINAL | _NESTED, flow[_ORIGINAL]) + attribute(_FLOW_ID, flow[_FLOW_ID])
    try:
        kernel.order(_DELETE, 0, _IPV4 + which)
    except OSError as e:
        if e.errno != errno.ENOENT:  # it ended meanwhile
            raise
