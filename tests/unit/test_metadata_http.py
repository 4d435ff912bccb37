"""The metadata service's HTTP server against guests that do not behave."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cumulet.agent.metadata import MetadataServer
from cumulet.drivers.specs import InterfaceSpec, MetadataSpec

GUEST = "127.0.0.1"
INTERFACE = InterfaceSpec(
    id="eni-1",
    vpc="vpc-1",
    vpc_cidr="127.0.0.0/8",
    subnet_cidr="127.0.0.0/24",
    mac="02:00:00:00:00:01",
    ip=GUEST,
    groups=[],
    metadata=MetadataSpec(instance_id="i-1", account_id="1", image_id="ami-1"),
)
GET = b"GET /latest/meta-data/ami-id HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    server = MetadataServer(tmp_path)
    listener = socket.create_server((GUEST, 0), backlog=128)
    number: int = listener.getsockname()[1]
    server.publish("cm-1", INTERFACE)
    server.serve("cm-1", listener)
    yield number
    server.stop()


def said(port: int, *sent: bytes) -> bytes:
    """All that is answered to these bytes until the connection ends."""
    with socket.create_connection((GUEST, port), 8) as connection:
        for part in sent:
            connection.sendall(part)
        return until_the_end(connection)


def until_the_end(connection: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def test_a_connection_serves_one_request_after_another(port: int) -> None:
    last = GET.replace(b"Host: x", b"Connection: close")
    assert said(port, GET + GET, last).count(b"200 OK") == 3


def test_an_old_client_is_answered_and_let_go(port: int) -> None:
    answer = said(port, b"GET /latest/meta-data/ami-id HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nami-1")


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_400(port: int, rubbish: bytes) -> None:
    assert said(port, rubbish).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_would_rather_speak_http2_is_answered_in_http1(port: int) -> None:
    answer = said(port, GET.replace(b"Host: x", b"Connection: upgrade\r\nUpgrade: h2c"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer


def test_a_request_of_more_than_16_kib_is_refused(port: int) -> None:
    assert said(port, b"GET / HTTP/1.1\r\nX: " + b"a" * 17000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert said(port, b"GET /" + b"a" * 17000).startswith(b"HTTP/1.1 431 ")


def test_a_request_that_trickles_is_cut_off_after_five_seconds(port: int) -> None:
    start = time.monotonic()
    with socket.create_connection((GUEST, port), 0.4) as connection:
        while time.monotonic() - start < 10:
            try:
                connection.sendall(b"X-Slow: 1\r\n" if time.monotonic() - start > 0.1 else GET[:-2])
                assert connection.recv(100) == b""
                break
            except TimeoutError:
                continue
            except OSError:
                break
    assert 4 < time.monotonic() - start < 7


def test_a_guest_has_at_most_32_connections_and_gets_new_ones_for_old(port: int) -> None:
    held = [socket.create_connection((GUEST, port), 3) for _ in range(32)]
    assert said(port, GET) == b""
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 2
    answer = b""
    while not answer and time.monotonic() < deadline:
        with suppress(OSError):
            answer = said(port, GET.replace(b"Host: x", b"Connection: close"))
    assert answer.endswith(b"ami-1")


def test_closing_a_network_ends_its_connections(tmp_path: Path) -> None:
    server = MetadataServer(tmp_path)
    listener = socket.create_server((GUEST, 0))
    server.publish("cm-1", INTERFACE)
    server.serve("cm-1", listener)
    assert server.is_serving("cm-1")
    with socket.create_connection(listener.getsockname(), 3) as connection:
        connection.sendall(GET)
        assert b"ami-1" in connection.recv(65536)
        server.close("cm-1")
        assert until_the_end(connection) == b""
    assert not server.is_serving("cm-1")
    server.stop()
