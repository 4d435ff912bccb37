"""The metadata service: what 169.254.169.254 tells each guest about itself (IMDSv1 and v2).

A guest is known by the network that its connection came in by, and by its source address there, which the firewall
vouches for; no header changes who it is. One thread with one event loop serves the listening sockets of all VPCs;
the network driver makes the sockets inside the VPCs' namespaces and publishes the documents.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cumulet.agent.metadata_answers import Answerer, Guest
from cumulet.agent.metadata_http import Connection
from cumulet.agent.metadata_identity import Identity
from cumulet.agent.metadata_tokens import Tokens
from cumulet.drivers.specs import InterfaceSpec
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log

log = Log("metadata")
_CONNECTIONS_PER_GUEST = 32
_PATIENCE_SECONDS = 10.0


class _Listener(Protocol):
    def close(self) -> None: ...


@dataclass
class _Network:
    """A VPC: its listener while it has one, and what its guests are told."""

    guests: dict[str, Guest] = field(default_factory=dict)
    """By source address."""
    connections: Counter[str] = field(default_factory=Counter)
    open: set[Connection] = field(default_factory=set)
    listener: _Listener | None = None


class MetadataServer:
    """Tokens and keys are kept in `directory`, so that a restart takes nothing from a guest."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._answerer = Answerer(Tokens(directory, clock), Identity(directory, clock))
        self._networks: dict[str, _Network] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metadata", daemon=True)
        self._thread.start()

    def is_serving(self, network: str) -> bool:
        """Whether it listens in this network."""
        with self._lock:
            return network in self._networks and self._networks[network].listener is not None

    def serve(self, network: str, listener: socket.socket) -> None:
        """Answer what comes in by this listening socket; it belongs to the service from now on."""
        listener.setblocking(False)
        self._wait(self._serve(network, listener))

    def close(self, network: str) -> None:
        """Stop listening in this network, end its connections, and forget all documents of it."""
        self._wait(self._close(network))

    def publish(self, network: str, interface: InterfaceSpec) -> None:
        """From now on this is what the guest at `interface.ip` is told."""
        guest = None if interface.metadata is None else Guest(interface, interface.metadata)
        with self._lock:
            guests = self._network(network).guests
            before = guests.get(interface.ip)
            if before is not None and guest is not None and before.interface == interface:
                return
            _forget(guests, interface.id)
            if guest is not None:
                guests[interface.ip] = guest

    def withdraw(self, network: str, interface: str) -> None:
        """Forget the document of an interface."""
        with self._lock:
            if network in self._networks:
                _forget(self._networks[network].guests, interface)

    def stop(self) -> None:
        """Stop serving; the guests' documents are the driver's to publish again."""
        with self._lock:
            networks = list(self._networks)
        for network in networks:
            self.close(network)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()

    async def _serve(self, network: str, listener: socket.socket) -> None:
        with self._lock:
            served = self._network(network)
        if served.listener is not None:
            served.listener.close()
        served.listener = await self._loop.create_server(lambda: self._connection(network, served), sock=listener)
        log.info("serving metadata", network=network)

    async def _close(self, network: str) -> None:
        with self._lock:
            served = self._networks.pop(network, None)
        if served is None:
            return
        if served.listener is not None:
            served.listener.close()
        for connection in list(served.open):
            connection.abort()

    def _connection(self, network: str, served: _Network) -> Connection:
        def opened(connection: Connection, address: str) -> bool:
            served.connections[address] += 1
            served.open.add(connection)
            return served.connections[address] <= _CONNECTIONS_PER_GUEST

        def closed(connection: Connection, address: str) -> None:
            served.open.discard(connection)
            served.connections[address] -= 1
            if served.connections[address] <= 0:
                del served.connections[address]

        def guest(address: str) -> Guest | None:
            with self._lock:
                return served.guests.get(address)

        return Connection(
            lambda address, request: self._answerer.answer(guest(address), request), opened=opened, closed=closed
        )

    def _network(self, network: str) -> _Network:
        return self._networks.setdefault(network, _Network())

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            done.result(_PATIENCE_SECONDS)
        except TimeoutError as e:
            raise Failure(f"the metadata service does not react within {_PATIENCE_SECONDS:g} s") from e


def _forget(guests: dict[str, Guest], interface: str) -> None:
    for address, guest in list(guests.items()):
        if guest.interface.id == interface:
            with suppress(KeyError):
                del guests[address]
