"""Who asks a store of objects: threads of one process, with requests that were made before, over connections that stay.

Only what has to be is done between a request and the next, so that it is the server that is measured.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PIECE = 1 << 20
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One that has been made: where it goes, and the whole of its head."""

    address: tuple[str, int]
    head: bytes


@dataclass(frozen=True)
class Store:
    """A store of objects that is to be measured: `request(method, key, size)` makes one; a PUT sends `size` bytes."""

    name: str
    request: Callable[[str, str, int], Request]


def request(method: str, url: str, size: int = 0, headers: Mapping[str, str] | None = None) -> Request:
    """GET, or PUT of `size` bytes."""
    parts = urlsplit(url)
    lines = [f"{method} {parts.path}{'?' if parts.query else ''}{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"Content-Length: {size}"] if method == "PUT" else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    assert parts.hostname is not None
    return Request((parts.hostname, parts.port or 80), ("\r\n".join(lines) + "\r\n\r\n").encode())


def presigned(s3: Any, bucket: str) -> Callable[[str, str, int], Request]:
    """The requests of an S3 store, by URLs that boto3 has signed."""

    def made(method: str, key: str, size: int) -> Request:
        name = "put_object" if method == "PUT" else "get_object"
        return request(method, s3.generate_presigned_url(name, Params={"Bucket": bucket, "Key": key}), size)

    return made


def seconds(requests: Sequence[Request], body: bytes, clients: int) -> float:
    """How long so many clients take for these, each with one connection. Raises RuntimeError for an answer not 2xx."""
    shares = [share for number in range(clients) if (share := requests[number::clients])]
    with ThreadPoolExecutor(len(shares)) as pool:
        began = time.perf_counter()
        list(pool.map(lambda share: _ask(share, body), shares))
        return time.perf_counter() - began


def _ask(requests: Sequence[Request], body: bytes) -> None:
    with socket.create_connection(requests[0].address, timeout=120) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        room = bytearray(PIECE)
        for one in requests:
            if len(body) <= 64 << 10:
                connection.sendall(one.head + body)
            else:
                connection.sendall(one.head)
                connection.sendall(body)
            read_answer(connection, one, room)


def read_answer(connection: socket.socket, asked: Request, room: bytearray) -> int:
    """Take in an answer; gives the size of its body. Raises RuntimeError if it is not 2xx."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(64 << 10)
        if not piece:
            raise RuntimeError(f"{asked.address} closed the connection before it answered")
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    status, length = _STATUS.match(head), _LENGTH.search(head)
    if status is None or status[1][:1] != b"2" or (length is None and status[1] != b"204"):
        raise RuntimeError(f"{asked.head[:200]!r} was answered {got[:1000]!r}")
    size = int(length[1]) if length else 0
    left = size - len(rest)
    while left > 0:
        count = connection.recv_into(room)
        if not count:
            raise RuntimeError(f"{asked.address} closed the connection {left} bytes before the end")
        left -= count
    return size
