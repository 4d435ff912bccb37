"""S3 over ASGI: bodies stream in and out, no thread waits for a client, and none of them may be slow for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from cumulet.api.direct import NAME, Direct
from cumulet.api.s3 import forwarded
from cumulet.api.s3.call import Answer, House, Stream
from cumulet.api.s3.exchange import Exchange
from cumulet.lib.log import Log
from cumulet.lib.threads import Threads
from cumulet.wire.request import Request

log = Log("s3")
SMALL = 128 << 10
"""A body up to this size is read before a thread is asked."""
PIECE = 1 << 20
IDLE_SECONDS = 60.0
MAX_HEADERS = 32 << 10
THREADS = 32
AT_WORK = 2
"""So many of them where the database is in this process: they only compute, and step aside to wait for a disk."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class _Gone(Exception):
    """The client closed the connection, or was idle for too long."""


class S3:
    """The ASGI app of S3."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._threads = Threads(THREADS, "s3", AT_WORK if house.database.is_embedded else THREADS)
        self._disk = Threads(THREADS, "s3-disk")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        address, secure = (scope.get("client") or ("",))[0], scope.get("scheme") == "https"
        passed_on = forwarded.read(self.house.database.keys, scope["headers"], self.house.database.clock.now())
        if passed_on is not None:
            address, secure = passed_on.address, passed_on.secure
        path, query = scope["raw_path"], scope["query_string"]
        request = Request.of(scope["method"], path, query, scope["headers"], None, address, secure=secure)
        length = request.header("content-length") or "0"
        has_body = length != "0" or request.header("transfer-encoding") is not None
        exchange, begun = Exchange(self.house, request, has_body=has_body), time.monotonic()
        try:
            if has_body:
                answer = await self._answer(exchange, request, receive)
            else:
                answer = await self._run(exchange.whole, b"")
        except _Gone:
            await self._run(exchange.abort)
            return
        turned = time.monotonic() - (exchange.received or begun)
        direct = (scope.get("extensions") or {}).get(NAME)
        sent = await self._send(scope["method"], answer, receive, send, direct)
        times = time.monotonic() - begun, turned
        exchange.count(answer, sent, times)
        if exchange.logs():
            await self._run(exchange.log, answer, sent, times)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return self._threads.run(function, *arguments)

    async def _answer(self, exchange: Exchange, request: Request, receive: Receive) -> Answer:
        length = request.header("content-length") or ""
        expects = request.header("expect") is not None
        if not expects and length.isdigit() and 0 < int(length) <= SMALL:
            return await self._run(exchange.whole, await _all(receive))  # type: ignore[no-any-return]
        answer = await self._run(exchange.begin)
        if answer is not None:
            answer.close = expects  # the client may now leave out the body that it announced
            return answer  # type: ignore[no-any-return]
        return await self._feed(exchange, receive)

    async def _feed(self, exchange: Exchange, receive: Receive) -> Answer:
        """One piece is written while the next one comes."""
        pieces: list[bytes] = []
        size = 0
        writing: Awaitable[Any] | None = None
        more = True
        while more:
            piece, more = await _receive(receive)
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE or not more:
                answer = await writing if writing is not None else None
                if answer is not None:
                    return answer  # type: ignore[no-any-return]
                writing = self._disk.run(exchange.feed, pieces)
                pieces, size = [], 0
        answer = await writing if writing is not None else None
        exchange.received = time.monotonic()
        return answer or await self._run(exchange.end)  # type: ignore[no-any-return]

    async def _send(
        self, method: str, answer: Answer, receive: Receive, send: Send, direct: Direct | None = None
    ) -> int:
        """Gives how many bytes of the body were sent."""
        sent = 0
        headers = [(name.lower().encode("latin-1"), _bytes(value)) for name, value in answer.headers]
        length = answer.stream.length if answer.stream is not None else len(answer.body)
        named = {name for name, _ in headers}
        if b"content-length" not in named and answer.status not in (204, 304):
            headers.append((b"content-length", str(length).encode()))
        if answer.close:
            headers.append((b"connection", b"close"))
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            if answer.stream is not None and method != "HEAD":
                pieces = self._stream(answer.stream, receive, send)
                if direct is not None and answer.stream.can_send:
                    pieces = self._directly(answer.stream, direct, send)
                async for count in pieces:
                    sent += count
            else:
                body = b"" if method == "HEAD" or answer.status in (204, 304) else answer.body
                await _send(send, body, more=False)
                sent = len(body)
        except (_Gone, OSError, TimeoutError):
            pass
        finally:
            if answer.stream is not None:
                await self._disk.run(answer.stream.close)
        return sent

    async def _directly(self, stream: Stream, direct: Direct, send: Send) -> AsyncIterator[int]:
        async for count in direct.send(stream, self._disk.run, IDLE_SECONDS):
            yield count
        await _send(send, b"", more=False)

    async def _stream(self, stream: Stream, receive: Receive, send: Send) -> AsyncIterator[int]:
        """The next piece is read while one is sent, as long as there is somebody to send to; gives their sizes."""
        gone = asyncio.ensure_future(_disconnected(receive))
        reading = self._disk.run(stream.read)
        try:
            while (piece := await reading) and not gone.done():
                reading = self._disk.run(stream.read)
                await _send(send, piece, more=True)
                yield len(piece)
            if not piece:
                await _send(send, b"", more=False)
        finally:
            gone.cancel()
            await asyncio.wait([reading])


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": more})
    except TimeoutError:
        raise _Gone from None


async def _receive(receive: Receive) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            message = await receive()
    except TimeoutError:
        raise _Gone from None
    if message["type"] == "http.disconnect":
        raise _Gone
    return message.get("body", b""), bool(message.get("more_body"))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _all(receive: Receive) -> bytes:
    pieces = []
    more = True
    while more:
        piece, more = await _receive(receive)
        pieces.append(piece)
    return b"".join(pieces)


def _bytes(value: str) -> bytes:
    """A header's value; what HTTP cannot hold is sent as UTF-8."""
    return value.replace("\r", " ").replace("\n", " ").encode()
