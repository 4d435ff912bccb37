"""S3 where this process has no objects: requests are passed on to one that has, as they come and without a copy aside.

So a client needs one URL. The request stays as it was signed; for whom it is passed on, a header says
(`forwarded`). Bodies stream in both directions; what the other process answers early, the client hears early.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import h11

from cumulet.api.s3 import errors, forwarded
from cumulet.api.s3.call import HOST_ID
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.lib.log import Log
from cumulet.model import Database

log = Log("s3")
PIECE = 256 << 10
IDLE_SECONDS = 75.0
"""More than those after which the other gives a client up."""
CONNECT_SECONDS = 5.0
KEPT, KEPT_SECONDS = 32, 30.0
"""Connections kept, and for how long: less than the other keeps them."""
KEEP_ALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 30,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 10,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
}
"""An answer may take as long as it likes to begin, for copies do; that the other's host has gone, its silence tells."""
_OURS = frozenset([b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", forwarded.HEADER])
"""Headers of one connection (RFC 9110, 7.6.1), and ours."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Elsewhere:
    """The ASGI app; `url` is http://HOST:PORT of a process with the role `object`, or empty where none is known."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self._database = database
        self._kept: list[_Connection] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        keys, now = self._database.keys, self._database.clock.now()
        if not self.url:
            await _refuse(scope, send, _unreachable("object_url does not say where objects are"))
            return
        if forwarded.read(keys, scope["headers"], now) is not None:
            await _refuse(scope, send, _unreachable("object_url is of a process that has no objects"))
            return
        address = (scope.get("client") or ("",))[0]
        client = forwarded.said(keys, address, scope.get("scheme") == "https", now)
        passing = _Passing(scope, receive, send)
        try:
            connection = await self._connection()
            await passing.through(connection, client)
        except (OSError, TimeoutError, h11.RemoteProtocolError) as e:
            log.error("a request could not be passed on", to=self.url, error=e)
            if not passing.answered:
                await _refuse(scope, send, _unreachable("the objects cannot be reached at the moment"))
        except Refusal as e:
            await _refuse(scope, send, e)
        except _Gone:
            pass
        else:
            self._keep(connection)

    async def _connection(self) -> _Connection:
        while self._kept:
            kept = self._kept.pop()
            if kept.is_good():
                return kept
            kept.close()
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if secure else 80), ssl=secure or None, limit=PIECE
            )
        for option, value in KEEP_ALIVE.items():
            writer.get_extra_info("socket").setsockopt(*option, value)
        return _Connection(reader, writer)

    def _keep(self, connection: _Connection) -> None:
        if len(self._kept) < KEPT and connection.begin_anew():
            self._kept.append(connection)
        else:
            connection.close()


class _Gone(Exception):
    """The client went away, or its request ended early; the connection is closed."""


class _Connection:
    """To the other process; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._used = time.monotonic()

    def is_good(self) -> bool:
        return not self._reader.at_eof() and time.monotonic() - self._used < KEPT_SECONDS

    def begin_anew(self) -> bool:
        """Whether it is good for another request."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._used = time.monotonic()
        return True

    def close(self) -> None:
        self._writer.close()

    async def send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        for part in self._http.send_with_data_passthrough(event) or []:
            self._writer.write(part)
        async with asyncio.timeout(IDLE_SECONDS):
            await self._writer.drain()

    async def next(self) -> h11.Event:
        """What the other says next."""
        while True:
            event = self._http.next_event()
            if event is h11.PAUSED:
                return h11.EndOfMessage()
            if event is not h11.NEED_DATA:
                assert isinstance(event, h11.Event)
                return event
            self._http.receive_data(await self._reader.read(PIECE))


class _Passing:
    """One request on its way to the other process, and the answer on its way back."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.answered = False

    async def through(self, connection: _Connection, client: bytes) -> None:
        """Raises `_Gone` if the connection is not to be used any more; it is closed then, and whenever this raises."""
        try:
            await self._through(connection, client)
        except BaseException:
            connection.close()
            raise

    async def _through(self, connection: _Connection, client: bytes) -> None:
        headers = [(name, value) for name, value in self._scope["headers"] if name not in _OURS]
        query = self._scope["query_string"]
        target = self._scope["raw_path"] + (b"?" + query if query else b"")
        headers.append((forwarded.HEADER, client))
        try:
            asked = h11.Request(method=self._scope["method"], target=target, headers=headers)
        except h11.LocalProtocolError as e:
            raise Refusal("BadRequest", f"An error occurred when parsing the HTTP request: {e}", 400) from None
        await connection.send(asked)
        names = {name for name, _ in headers}
        first: h11.Event | None = None
        if b"expect" in names and isinstance(first := await connection.next(), h11.ConnectionClosed):
            raise ConnectionResetError("it closed the connection without an answer")
        body = None
        if not isinstance(first, h11.Response):
            body = asyncio.ensure_future(self._body(connection, has_one=bool(names & _OF_BODIES)))
        try:
            await self._answer(connection, first, body)
        finally:
            if body is not None and not body.done():
                body.cancel()
            if body is not None:
                with contextlib.suppress(asyncio.CancelledError, OSError, TimeoutError, _Gone):
                    await body

    async def _body(self, connection: _Connection, *, has_one: bool) -> None:
        """The client's body, to its end."""
        async for piece in _pieces(self._receive) if has_one else _nothing():
            await connection.send(h11.Data(data=piece))
        await connection.send(h11.EndOfMessage())

    async def _answer(
        self, connection: _Connection, first: h11.Event | None, body: asyncio.Future[None] | None
    ) -> None:
        event = first if isinstance(first, h11.Response) else await self._head(connection, body)
        early = body is None or not body.done()
        headers = [(name, value) for name, value in event.headers if name not in _OURS]
        headers += [(b"connection", b"close")] if early else []
        self.answered = True
        await self._send({"type": "http.response.start", "status": event.status_code, "headers": headers})
        gone = asyncio.ensure_future(_disconnected(self._receive)) if not early else None
        try:
            while isinstance(piece := await connection.next(), h11.Data):
                if gone is not None and gone.done():
                    raise _Gone
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._send({"type": "http.response.body", "body": bytes(piece.data), "more_body": True})
        finally:
            if gone is not None:
                gone.cancel()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if early:
            raise _Gone

    async def _head(self, connection: _Connection, body: asyncio.Future[None] | None) -> h11.Response:
        """The answer's; it may come before the body has gone. Raises `_Gone` if the client ends its request early."""
        coming = asyncio.ensure_future(self._response(connection))
        try:
            if body is not None:
                both: list[asyncio.Future[Any]] = [coming, body]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if body.done():
                    body.result()
            return await coming
        finally:
            coming.cancel()

    @staticmethod
    async def _response(connection: _Connection) -> h11.Response:
        while not isinstance(event := await connection.next(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("it closed the connection without an answer")
        return event


_OF_BODIES = frozenset([b"content-length", b"transfer-encoding"])


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        more = bool(message.get("more_body"))
        if piece := message.get("body", b""):
            yield piece


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _unreachable(why: str) -> Refusal:
    return Refusal("ServiceUnavailable", f"Service is unable to handle request: {why}.", 503)


async def _refuse(scope: dict[str, Any], send: Send, refusal: Refusal) -> None:
    path = scope["raw_path"].decode("latin-1")
    body = errors.error_body(refusal, path, ids.token(16).upper(), HOST_ID)
    headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
