"""Questions and orders to the kernel by netlink, in the network namespace of the thread that opens the socket.

Layouts: linux/netlink.h. An attribute is a length, a kind and a value, padded to four bytes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_SECONDS = 10


class Kernel:
    """A netlink socket; use it in a `with`, in one thread. What the kernel refuses is an `OSError`."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_SECONDS)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def order(self, type: int, flags: int, body: bytes) -> None:
        """Do something."""
        self._send(type, flags | _REQUEST | _ACK, body)
        for kind, payload in self._messages():
            if kind == _ERROR:
                _raise(payload)
                return
        raise OSError(errno.EPROTO, "the kernel did not acknowledge")

    def ask(self, type: int, body: bytes) -> bytes:
        """The one answer to a question."""
        self._send(type, _REQUEST, body)
        for kind, payload in self._messages():
            if kind != _ERROR:
                return payload
            _raise(payload)
        raise OSError(errno.EPROTO, "the kernel did not answer")

    def dump(self, type: int, body: bytes) -> Iterator[bytes]:
        """All the answers to a question."""
        self._send(type, _REQUEST | _DUMP, body)
        while True:
            for kind, payload in self._messages():
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    _raise(payload)
                yield payload

    def _send(self, type: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), type, flags, self._sequence, 0) + body)

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        received = self._socket.recv(1 << 18)
        while received:
            length, kind, _, sequence, _ = _HEADER.unpack_from(received)
            if sequence == self._sequence:
                yield kind, received[_HEADER.size : length]
            received = received[(length + 3) & ~3 :]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message, or in another attribute."""
    while len(body) >= 4:
        length, kind = struct.unpack_from("=HH", body)
        yield kind & 0x3FFF, body[4:length]
        body = body[(length + 3) & ~3 :] if length >= 4 else b""


def _raise(payload: bytes) -> None:
    code = -struct.unpack_from("=i", payload)[0]
    if code:
        raise OSError(code, os.strerror(code))
