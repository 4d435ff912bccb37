"""Carrying a laboratory's AWS endpoint to the outside: TCP here, a Unix socket between, TCP inside.

The file system is the only thing that a laboratory and the machine have in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Meet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHUNK = 1 << 16


def outside(address: tuple[str, int], socket: Path) -> None:
    """From now on, whoever connects to `address` is connected to the socket."""
    _in_thread(
        lambda meet: asyncio.start_server(meet, *address),
        lambda: asyncio.open_unix_connection(socket),
    )


def inside(socket: Path, address: tuple[str, int]) -> None:
    """From now on, whoever connects to the socket is connected to `address`."""
    socket.unlink(missing_ok=True)
    _in_thread(
        lambda meet: asyncio.start_unix_server(meet, socket),
        lambda: asyncio.open_connection(*address),
    )


def _in_thread(serve: Callable[[Meet], Awaitable[asyncio.Server]], connect: Callable[[], Awaitable[Ends]]) -> None:
    ready: list[BaseException | None] = []
    begun = threading.Event()

    async def run() -> None:
        try:
            server = await serve(meet)
            ready.append(None)
        except OSError as e:
            ready.append(e)
            return
        finally:
            begun.set()
        await server.serve_forever()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await connect()
            await asyncio.gather(_carry(reader, back), _carry(there, writer))
        writer.close()

    threading.Thread(target=lambda: asyncio.run(run()), name="forward", daemon=True).start()
    begun.wait()
    if ready[0] is not None:
        raise ready[0]


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()
