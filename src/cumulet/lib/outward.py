"""Requests to URLs that a stranger may have named: they lead to the outside world, whatever a redirect says.

Each connection is made to an address that was looked at just before: neither a redirect nor a name that changes in the
meantime leads to this machine, its networks, or the metadata service.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Sequence
from typing import Any

_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)
"""urllib's own; not those that open files or FTP, to which a redirect could lead."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Inward(OSError):
    """It leads to an address that is not of the outside world."""


def opener(allowed: Sequence[str]) -> urllib.request.OpenerDirector:
    """Opens http and https. `allowed`: ranges (CIDR) that may be connected to though they are not public.

    Raises `Inward`, within urllib's URLError, for any other such address; of a proxy it is the proxy's that counts.
    """
    ranges = [ipaddress.ip_network(text) for text in allowed]
    made = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        made.add_handler(handler())

    def connect(address: tuple[str, int], timeout: Any = None, source: Any = None) -> socket.socket:
        return _connected(address, timeout, ranges)

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            self._create_connection = connect
            super().connect()

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            self._create_connection = connect
            super().connect()

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, request)

    made.add_handler(Http())
    made.add_handler(Https())
    return made


def _connected(address: tuple[str, int], timeout: Any, ranges: list[Any]) -> socket.socket:
    """A connection to the first of the name's addresses that answers, all of which must be of the outside."""
    host, port = address
    found = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        if not may_be_asked(str(text), ranges):
            name = f"{host} is {text}, which" if text != host else host
            raise Inward(f"{name} is no public address; the setting import_ranges may allow its range")
    failed: OSError = OSError(f"{host} has no address")
    for text in dict.fromkeys(found):
        try:
            return socket.create_connection((str(text), port), timeout)
        except OSError as e:
            failed = e
    raise failed


def may_be_asked(text: str, ranges: Sequence[Any] = ()) -> bool:
    """Whether it is a public address, or in one of these ranges."""
    address = _inside(ipaddress.ip_address(text.partition("%")[0]))
    if any(address in one for one in ranges if one.version == address.version):
        return True
    return address.is_global and not address.is_multicast


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4 or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in ipaddress.IPv6Network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
