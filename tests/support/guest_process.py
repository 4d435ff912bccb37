"""The process of a fake guest (`guest.FakeGuest`): the tap's other end, and what is tried there.

Arguments: the namespace, and for a guest the tap and the MAC of its eth0.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.answering import answer_questions

from cumulet.drivers.network import namespace
from cumulet.lib.command import run

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_FRAME = 65536


def open_tap(name: str) -> int:
    """Hold a tap, as QEMU does."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return file


class Wire:
    """The tap and the guest's eth0, with every frame that went to the guest."""

    def __init__(self, here: str, tap: str, mac: str) -> None:
        self._tap = open_tap(tap)
        namespace.make(here)
        self._card = namespace.within(here, lambda: open_tap("eth0"))
        namespace.within(here, lambda: [run(["ip", "link", "set", *words]) for words in _set_up(mac)])
        self.heard: deque[bytes] = deque(maxlen=1000)
        threading.Thread(target=self._carry, daemon=True).start()

    def send(self, frame: bytes) -> None:
        os.write(self._tap, frame)

    def _carry(self) -> None:
        other = {self._tap: self._card, self._card: self._tap}
        while True:
            for file in select.select(list(other), [], [])[0]:
                try:
                    frame = os.read(file, _FRAME)
                except OSError:
                    return  # the tap was deleted
                if file == self._tap:
                    self.heard.append(frame)
                try:
                    os.write(other[file], frame)
                except OSError:
                    continue  # the other end is down: the frame is lost, as on a wire


def _set_up(mac: str) -> list[list[str]]:
    return [["eth0", "address", mac], ["lo", "up"], ["eth0", "up"]]


def connect(address: str, port: int, timeout: float) -> str:
    try:
        with socket.create_connection((address, port), timeout) as connection:
            return "from " + connection.recv(100).decode()
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "unreachable"


def listen(port: int) -> None:
    server = socket.create_server(("0.0.0.0", port))

    def serve() -> None:
        while True:
            connection, peer = server.accept()
            with connection:
                connection.sendall(peer[0].encode())

    threading.Thread(target=serve, daemon=True).start()


def echo(port: int, text: str) -> None:
    """Answer each datagram with a text."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", port))

    def serve() -> None:
        while True:
            server.sendto(text.encode(), server.recvfrom(2048)[1])

    threading.Thread(target=serve, daemon=True).start()


def say(address: str, port: int, from_port: int) -> str | None:
    """What a datagram is answered with; it is sent again, as one does with UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("0.0.0.0", from_port))
        client.settimeout(0.3)
        for _ in range(4):
            client.sendto(b"?", (address, port))
            try:
                return client.recvfrom(2048)[0].decode()
            except OSError:
                continue
    return None


def ping(address: str, type: int, code: int, timeout: float) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        body = os.urandom(2) + bytes([0, 1]) + bytes(16)  # an id of its own: no flow is taken for an older one
        head = struct.pack("!BBH", type, code, 0)
        total = sum(struct.unpack("!12H", head + body))
        total = (total & 0xFFFF) + (total >> 16)
        icmp.sendto(struct.pack("!BBH", type, code, ~total & 0xFFFF) + body, (address, 0))
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            icmp.settimeout(left)
            try:
                answer, peer = icmp.recvfrom(2048)
            except TimeoutError:
                return False
            if peer[0] == address and answer[20] in (0, 14) and answer[24:26] == body[:2]:
                return True
    return False


def ask_http(path: str, method: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("169.254.169.254", timeout=3)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode("latin-1")
    connection.close()
    return response.status, dict(response.getheaders()), body


def write_script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def main() -> None:
    here = sys.argv[1]
    wire = Wire(here, sys.argv[2], sys.argv[3]) if len(sys.argv) > 2 else None

    def inside(work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **arguments: namespace.within(here, lambda: work(**arguments))

    def heard() -> list[str]:
        assert wire is not None
        frames = [frame.hex() for frame in list(wire.heard)]
        wire.heard.clear()
        return frames

    answer_questions(
        {
            "connect": inside(connect),
            "listen": inside(listen),
            "echo": inside(echo),
            "say": inside(say),
            "ping": inside(ping),
            "http": inside(ask_http),
            "run": inside(lambda arguments, check=True: run(arguments, check=check).stdout),
            "write": lambda path, text: write_script(Path(path), text),
            "send": lambda frame: wire.send(bytes.fromhex(frame)) if wire else None,
            "heard": heard,
        }
    )
    if wire is not None:
        namespace.delete(here)


if __name__ == "__main__":
    main()
