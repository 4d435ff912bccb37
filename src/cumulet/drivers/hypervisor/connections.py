"""Connections of QEMU to exports on other hosts: each notices within seconds that the other end is gone.

QEMU's NBD client waits for an answer for as long as the connection stands, and lets nobody say how long that is. Where
the other host loses its power after it has taken a request in and before it answers, nothing is under way that TCP
would send again: the guest would wait for ever, though the host is back and serves. So the kernel is told to ask, by
way of a copy of QEMU's socket (pidfd_getfd(2)).
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from cumulet.drivers.specs import EXPORT_PORT, EXPORT_TLS_PORT
from cumulet.lib.errors import Failure

EVERY_SECONDS = 2.0
IDLE_SECONDS = 5
BETWEEN_SECONDS = 2
GONE_SECONDS = 15
"""A connection over which nothing was heard for so long is given up; the guest is paused then, and connects again."""

_PROGRAMS = "qemu-"
_CONNECTED, _CONNECTING = "01", "02"
_PIDFD_GETFD = 438


class Connections:
    """Those of this host to other hosts' exports, at these ports."""

    def __init__(self, ports: Collection[int] = (EXPORT_PORT, EXPORT_TLS_PORT)) -> None:
        self._ports = ports
        self._told: set[str] = set()

    def look_after(self) -> None:
        """Have the kernel ask by each new one whether the other end is there; raises `Failure` where that cannot be."""
        there = set(_sockets(self._ports))
        self._told &= there
        for socket_name, pid, number in _owners(there - self._told):
            try:
                _tell(pid, number)
            except ProcessLookupError:
                continue
            except OSError as e:
                raise Failure(f"telling the kernel to ask by a connection of process {pid}: {e.strerror}") from e
            self._told.add(socket_name)


def _sockets(ports: Collection[int]) -> Iterator[str]:
    """As what processes have them open: proc(5), /proc/net/tcp."""
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
                _, _, there, state, *rest = line.split()
                if state in (_CONNECTED, _CONNECTING) and int(there.rpartition(":")[2], 16) in ports:
                    yield f"socket:[{rest[5]}]"


def _owners(wanted: set[str]) -> Iterator[tuple[str, int, int]]:
    """Each of these sockets, the process of QEMU's that has it, and by which number."""
    if not wanted:
        return
    for entry in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if not entry.read_text().startswith(_PROGRAMS):
                continue
            for file in (entry.parent / "fd").iterdir():
                if (name := str(file.readlink())) in wanted:
                    yield name, int(entry.parent.name), int(file.name)


def _tell(pid: int, number: int) -> None:
    process = os.pidfd_open(pid)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        copy = library.syscall(_PIDFD_GETFD, process, number, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(process)
    with socket.socket(fileno=copy) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, BETWEEN_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_SECONDS * 1000)
