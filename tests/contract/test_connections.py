"""QEMU's connections to exports on other hosts: the kernel asks by each whether the other end is still there."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from cumulet.demo.process import until
from cumulet.drivers.hypervisor.connections import Connections
from cumulet.lib.command import run


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which a connection is taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def timers(port: int) -> str:
    return run(["ss", "--numeric", "--tcp", "--options", "--no-header", "dst", f"127.0.0.1:{port}"]).stdout


def test_who_waits_for_an_answer_learns_that_nobody_is_there(silent: int) -> None:
    connections = Connections([silent])
    with subprocess.Popen(["qemu-io", "-f", "raw", "-r", f"nbd://127.0.0.1:{silent}/none"]) as client:
        try:
            until(lambda: "ESTAB" in timers(silent), 10, "QEMU to be connected")
            assert "keepalive" not in timers(silent)
            for _ in range(2):
                connections.look_after()
            assert "timer:(keepalive," in timers(silent)
        finally:
            client.kill()


def test_connections_of_others_are_left_alone(silent: int) -> None:
    with socket.create_connection(("127.0.0.1", silent)) as ours:
        Connections([silent]).look_after()
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
