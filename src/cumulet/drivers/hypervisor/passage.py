"""The passage of guests from host to host: libvirt's and QEMU's Unix sockets, carried by TLS.

A guest that leaves has three sockets here: one leads to libvirt on the other host, and two to the sockets on which its
QEMU there waits for the memory and for the disks, which have the same names on both hosts. So neither libvirt nor QEMU
listens on a network. Each end has a certificate of its own, and knows from its order which one the other must have:
nobody else is let in, nor sent anything, and only as long as the guest is awaited.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import ssl
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cumulet.drivers.specs import PASSAGE_PORT
from cumulet.lib import self_signed
from cumulet.lib.errors import Failure

CHANNELS = ("libvirt", "memory", "disks")
_CHUNK = 1 << 20
_PATIENCE = 10.0
_QEMU_USERS = ("libvirt-qemu", "qemu")
"""As whom distributions have QEMU run: it opens sockets here, and makes some."""
_LIBVIRT_SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))


Result = TypeVar("Result")
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Ends(NamedTuple):
    """The sockets of a guest that leaves, and what has gone wrong behind them."""

    libvirt: Path
    memory: Path
    disks: Path
    errors: list[str]


class Passage:
    """This host's end, at `address`; without one nobody comes in. `identity` is the file of its certificate and key."""

    def __init__(self, directory: Path, identity: Path, address: str, port: int = PASSAGE_PORT) -> None:
        self.address = f"{address}:{port}" if address else ""
        self._place = (address, port)
        self._directory = directory
        self._identity = identity
        self._doors: dict[str, str] = {}
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = threading.Lock()
        self._server: ssl.SSLContext | None = None

    @property
    def certificate(self) -> str:
        """PEM."""
        with self._guard:
            return self_signed.have(self._identity)

    def open(self, id: str, certificate: str) -> None:
        """Let the host of this certificate bring the guest; raises `Failure`."""
        if not self.address:
            raise Failure(f"awaiting {id}: the setting tunnel_address is empty: other hosts do not reach this one")
        self._prepare()
        with self._opening:
            if self._server is None:
                context = self._context(ssl.PROTOCOL_TLS_SERVER)
                self._do(self._listen(context), f"listening on {self.address}")
                self._server = context
            self._server.load_verify_locations(cadata=certificate)
        self._doors[id] = certificate

    def close(self, id: str) -> None:
        """Let nobody bring it any more."""
        self._doors.pop(id, None)

    @contextmanager
    def leading_to(self, id: str, address: str, certificate: str) -> Iterator[Ends]:
        """Sockets that lead to the host of this address and certificate, for as long as the context lasts."""
        self._prepare()
        way = _Way(address, ssl.PEM_cert_to_DER_cert(certificate), self._context(ssl.PROTOCOL_TLS_CLIENT))
        way.context.load_verify_locations(cadata=certificate)
        sockets = {channel: self._end(id, channel) for channel in CHANNELS}
        for channel, end in sockets.items():
            end.unlink(missing_ok=True)
            self._do(way.lead(f"{id} {channel}", end), f"opening {end}")
            _give_to_qemu(end)
        try:
            yield Ends(**sockets, errors=way.errors)
        finally:
            self._do(way.close(), f"closing the way of {id}")
            for end in sockets.values():
                end.unlink(missing_ok=True)

    def _end(self, id: str, channel: str) -> Path:
        return self._directory / f"{id}.{channel}"

    def _prepare(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _give_to_qemu(self._directory)

    def _context(self, role: int) -> ssl.SSLContext:
        with self._guard:
            self_signed.have(self._identity)
        context = ssl.SSLContext(role)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # it is known by its certificate, whatever it is called
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._identity)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    async def _listen(self, context: ssl.SSLContext) -> asyncio.Server:
        return await asyncio.start_server(self._meet, *self._place, ssl=context, limit=_CHUNK)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whoever comes has a certificate of somebody who is awaited, and says whom he brings."""
        with suppress(OSError, asyncio.TimeoutError, ValueError):
            async with asyncio.timeout(_PATIENCE):
                id, channel = (await reader.readline()).decode().split()
                known = self._doors.get(id)
                theirs = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                if known is None or channel not in CHANNELS or ssl.PEM_cert_to_DER_cert(known) != theirs:
                    raise ValueError
                target = _libvirt_socket() if channel == "libvirt" else self._end(id, channel)
                there = await asyncio.open_unix_connection(target, limit=_CHUNK)
            await _carry_both((reader, writer), there)
        writer.close()

    def _do(self, what: Coroutine[Any, Any, Result], act: str) -> Result:
        """Do it in the loop's thread; raises `Failure`."""
        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="passage", daemon=True).start()
        try:
            return asyncio.run_coroutine_threadsafe(what, self._loop).result(_PATIENCE)
        except (OSError, NoAnswer) as e:
            raise Failure(act) from e


class _Way:
    """What leads from here to another host; each method is to be called in the loop's thread."""

    def __init__(self, address: str, certificate: bytes, context: ssl.SSLContext) -> None:
        self.context = context
        self.errors: list[str] = []
        self._address = address
        self._certificate = certificate
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def lead(self, says: str, end: Path) -> None:
        """Whoever connects to `end` is connected to the other host, which is told this first."""

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._carry(says, (reader, writer))
            except OSError as e:
                self.errors.append(f"{self._address} does not let it in: {e}")
            except asyncio.CancelledError:
                pass
            finally:
                writer.close()
                self._tasks.discard(task)

        self._servers.append(await asyncio.start_unix_server(meet, end, limit=_CHUNK))

    async def _carry(self, says: str, here: Stream) -> None:
        host, _, port = self._address.rpartition(":")
        opening = asyncio.open_connection(host, int(port), ssl=self.context, limit=_CHUNK)
        there = await asyncio.wait_for(opening, _PATIENCE)
        theirs = there[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
        if theirs != self._certificate:
            there[1].close()
            raise OSError("it has another certificate than it should")
        there[1].write(f"{says}\n".encode())
        await _carry_both(here, there)

    async def close(self) -> None:
        """Nothing leads there any more."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()


async def _carry_both(one: Stream, other: Stream) -> None:
    """Until one of them ends; nothing of what it has said is lost."""
    try:
        await asyncio.gather(_carry(one[0], other[1]), _carry(other[0], one[1]))
    finally:
        other[1].close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def _libvirt_socket() -> Path:
    return next((path for path in _LIBVIRT_SOCKETS if path.exists()), _LIBVIRT_SOCKETS[0])


def _give_to_qemu(path: Path) -> None:
    for name in _QEMU_USERS:
        with suppress(KeyError):
            os.chown(path, pwd.getpwnam(name).pw_uid, -1)
            return
