"""The metadata service's HTTP: a small HTTP/1.1 server for small answers, which does not trust who asks.

A request has at most 16 KiB, and 5 seconds to arrive; an answer has 5 seconds to be taken; a connection may stay idle
for 5 seconds. Bodies are ignored.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

REQUEST_BYTES = 16 * 1024
SECONDS = 5.0
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}
_ERROR_BODY = """\
<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""


@dataclass(frozen=True)
class Request:
    """What a guest asks; the names of headers are in lower case."""

    method: str
    path: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Response:
    """What it is answered. `hop_limit` becomes the IP time to live of this connection's packets."""

    status: int
    body: bytes
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    hop_limit: int | None = None


def error(status: int) -> Response:
    """A refusal, with a page such as AWS sends."""
    title = f"{status} - {_REASONS[status]}"
    return Response(status, _ERROR_BODY.format(title=title).encode(), "text/html")


class Connection(asyncio.Protocol):
    """One connection of a guest. `opened` says whether it is welcome; `closed` is called once for each `opened`."""

    def __init__(
        self,
        answer: Callable[[str, Request], Response],
        *,
        opened: Callable[[Connection, str], bool],
        closed: Callable[[Connection, str], None],
    ) -> None:
        self._answer = answer
        self._opened, self._closed = opened, closed
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._size = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address = transport.get_extra_info("peername")[0]
        self._limit_time()
        if not self._opened(self, self._address):
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._closed(self, self._address)

    def data_received(self, received: bytes) -> None:
        self._size += len(received)
        if self._size > REQUEST_BYTES:
            self._send(error(431), keep=False)
            return
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserUpgrade:
            return  # it has been answered as if it had not asked for another protocol
        except httptools.HttpParserError:
            self._send(error(400), keep=False)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, self._url, self._headers)
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._send(self._answer(self._address, request), keep=keep, bodiless=method == "HEAD")

    def on_message_begin(self) -> None:
        """A request that follows another on the same connection."""
        self._url, self._headers = b"", {}

    def _send(self, response: Response, *, keep: bool, bodiless: bool = False) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if response.hop_limit is not None:
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, socket.IP_TTL, response.hop_limit)
        transport.write(_head(response, keep) + (b"" if bodiless else response.body))
        self._size = 0
        self._limit_time()
        if not keep:
            transport.close()

    def _limit_time(self) -> None:
        """However slowly the bytes come and go, the next whole request must be there in time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self.abort)


def _head(response: Response, keep: bool) -> bytes:
    headers = {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Connection": "keep-alive" if keep else "close",
        "Server": "EC2ws",
        **response.headers,
    }
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
