"""The passage of guests between hosts: what is said at one end is heard at the other, and nobody else comes in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from cumulet.drivers.hypervisor.passage import Passage

GUEST = "i-0123456789abcdef0"


class Hosts(NamedTuple):
    """The host that a guest leaves, and the one that it comes to, where its QEMU waits at a socket."""

    left: Passage
    reached: Passage
    waiting: socket.socket


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def passage(place: Path, address: str = "127.0.0.1") -> Passage:
    return Passage(place / "run", place / "identity.pem", address, free_port())


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    left, reached = passage(tmp_path / "a"), passage(tmp_path / "b")
    reached.open(GUEST, left.certificate)
    with closing(socket.socket(socket.AF_UNIX)) as waiting:
        waiting.bind(str(tmp_path / "b" / "run" / f"{GUEST}.memory"))
        waiting.listen()
        waiting.settimeout(10)
        yield Hosts(left, reached, waiting)


def connected(end: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    made.connect(str(end))
    return made


def has_ended(here: socket.socket) -> bool:
    """Whether the other side closed it, be it before it had read all."""
    try:
        return here.recv(1) == b""
    except ConnectionResetError:
        return True


def is_heard(hosts: Hosts, speaker: Passage, certificate: str) -> bool:
    """Whether what the host says reaches the guest's socket on the other one."""
    with (
        speaker.leading_to(GUEST, hosts.reached.address, certificate) as ends,
        closing(connected(ends.memory)) as here,
    ):
        with suppress(BrokenPipeError):  # it may be known already that nobody is let in
            here.sendall(b"memory")
        hosts.waiting.settimeout(0.3)
        try:
            there = hosts.waiting.accept()[0]
        except TimeoutError:
            assert has_ended(here)
            return False
        with closing(there):
            return there.recv(6) == b"memory"


def test_all_that_is_said_arrives_at_either_end(hosts: Hosts) -> None:
    text = bytes(range(256)) * 40_000
    with hosts.left.leading_to(GUEST, hosts.reached.address, hosts.reached.certificate) as ends:
        here = connected(ends.memory)
        there = hosts.waiting.accept()[0]
        there.settimeout(10)
        there.sendall(b"ready")
        assert here.recv(5) == b"ready"
        here.sendall(text)
        here.close()
        assert b"".join(iter(lambda: there.recv(1 << 16), b"")) == text
        there.close()
    assert not ends.memory.exists()


def test_nobody_comes_in_but_the_host_that_is_awaited(hosts: Hosts, tmp_path: Path) -> None:
    other = passage(tmp_path / "c")
    assert is_heard(hosts, hosts.left, hosts.reached.certificate)
    assert not is_heard(hosts, other, hosts.reached.certificate)
    hosts.reached.open("i-0123456789abcdef1", other.certificate)
    assert not is_heard(hosts, other, hosts.reached.certificate), "it may bring another guest, not this one"
    hosts.reached.close(GUEST)
    assert not is_heard(hosts, hosts.left, hosts.reached.certificate)


def test_nothing_is_sent_to_a_host_that_is_not_the_one_meant(hosts: Hosts, tmp_path: Path) -> None:
    other = passage(tmp_path / "c")
    with hosts.left.leading_to(GUEST, hosts.reached.address, other.certificate) as ends:
        with closing(connected(ends.memory)) as here:
            assert has_ended(here)
        assert "does not let it in" in ends.errors[0]


def test_a_certificate_is_made_once_with_a_key_for_its_owner_alone(tmp_path: Path) -> None:
    first = passage(tmp_path).certificate
    assert passage(tmp_path).certificate == first
    assert (tmp_path / "identity.pem").stat().st_mode & 0o777 == 0o600
