"""The body of an answer by sendfile(2), past the HTTP server: no byte of it is copied into this process.

The server has sent the head, is told of what was sent here, and ends the answer. The socket is used by a descriptor of
its own, since an event loop lets nobody wait for one that it has given to a transport.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

NAME = "cumulet.direct"
"""Of the extension in an ASGI scope that holds a `Direct`."""
LOOK_SECONDS = 0.005


class Source(Protocol):
    """What can be sent so."""

    def send_to(self, socket: int) -> int | None:
        """Send so many of the next bytes as the socket takes now; gives how many, 0 for none, None at the end."""


class Direct:
    """The way past the server for one answer; `flush` has it send what it has kept back."""

    def __init__(self, transport: asyncio.Transport, cycle: Any, flush: Callable[[], None]) -> None:
        self._transport = transport
        self._flush = flush
        self._cycle = cycle

    async def send(self, source: Source, run: Callable[..., Awaitable[Any]], idle_seconds: float) -> AsyncIterator[int]:
        """Send all of it, and give the sizes of its pieces. `run` calls what may wait for a disk, in a thread.

        Raises TimeoutError for a client that takes nothing for so long, OSError for one that is gone.
        """
        self._flush()
        async with asyncio.timeout(idle_seconds):
            while self._transport.get_write_buffer_size():
                await asyncio.sleep(LOOK_SECONDS)
        socket = os.dup(self._transport.get_extra_info("socket").fileno())
        try:
            while (sent := await run(source.send_to, socket)) is not None:
                if not sent:
                    async with asyncio.timeout(idle_seconds):
                        await _writable(socket)
                self._cycle.expected_content_length -= sent
                yield sent
        finally:
            os.close(socket)


async def _writable(socket: int) -> None:
    loop = asyncio.get_running_loop()
    can = asyncio.Event()
    loop.add_writer(socket, can.set)
    try:
        await can.wait()
    finally:
        loop.remove_writer(socket)
