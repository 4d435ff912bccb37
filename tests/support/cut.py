"""A relay in front of a database server, which cuts connections at the moment that a test has chosen."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """Listens at `port` and passes everything on to the server at `server_port`, both on the loopback."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._cut: tuple[bytes, bool] | None = None
        self._unheard: set[socket.socket] = set()
        """The servers whose answers do not come through any more."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, statement: str, *, done: bool) -> None:
        """The next connection on which this is said is cut: when it has been `done`, or before the server hears it."""
        self._cut = (statement.encode(), done)

    def cut_all(self) -> None:
        """All connections end, as when the server has been started anew."""
        for each in self._open:
            _end(each)
        self._open = []

    def close(self) -> None:
        _end(self._listener)
        self.cut_all()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:  # nobody listens there
                    _end(client)
                    continue
                self._open += [client, server]
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while message := client.recv(65536):
                if self._cut is not None and self._cut[0] in message:
                    _, done = self._cut
                    self._cut = None
                    if done:  # the client is cut when the server ends, which is when it has done what it was told
                        self._unheard.add(server)
                        server.sendall(message)
                        server.shutdown(socket.SHUT_WR)
                        return
                    break
                server.sendall(message)
        _end(client)
        _end(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while message := server.recv(65536):
                if server not in self._unheard:
                    client.sendall(message)
        _end(client)
        _end(server)


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
