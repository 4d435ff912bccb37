"""The HTTP server of the AWS endpoint: uvicorn, with a limit on how long a request's head may take."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cumulet.api.direct import NAME, Direct
from cumulet.api.together import Together
from cumulet.lib.errors import Failure

HEAD_SECONDS = 20.0
CONNECTIONS = 1000


class _Protocol(HttpToolsProtocol):
    """A connection that has sent no whole request head in time is closed (uvicorn has no such limit)."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()
        together = Together(self.transport, self.cycle)
        if self.scheme == "http":
            self.scope["extensions"] = {NAME: Direct(self.transport, self.cycle, together.flush)}  # type: ignore[dict-item]

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()


class Server:
    """Serves `app` at `address`; port 0 takes any free port. The socket is open once this is made."""

    def __init__(self, app: Any, address: tuple[str, int]) -> None:
        self._socket = _listen(address)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        config = uvicorn.Config(
            app,
            http=_Protocol,
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve in a thread until `stop`."""
        self._thread = threading.Thread(target=self.run, name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nobody can connect any more, though it was never started."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._socket.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as e:
        listener.close()
        raise Failure(f"listening at {address[0]}:{address[1]}: {e.strerror}; choose another with --listen") from e
    return listener
