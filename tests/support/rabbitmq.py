"""A RabbitMQ of the tests' own: free ports on the loopback, a directory, and processes that end with the tests.

It runs in a process namespace, so that its port mapper (epmd) and whatever else it starts end with it, and it ends
when the process of the tests does, however that ends. A test gets a virtual host of its own.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from cumulet.bus.broker import Broker
from cumulet.lab.authority import Authority

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
PATIENCE_SECONDS = 120.0
ADMINISTRATOR = "guest:guest"
"""Exists from the beginning, and may come from the loopback only."""


@dataclass(frozen=True)
class VirtualHost:
    """One of the broker's, and how to get in: `url` is the control plane's, `host(name)` a host's."""

    rabbitmq: RabbitMQ
    name: str
    broker: Broker
    user: str
    url: str

    def host(self, name: str) -> str:
        """Make a host's user, and give its URL."""
        return self.rabbitmq.url(f"host-{name}", self.broker.add_host(name), self.name)

    def queues(self) -> list[str]:
        """The names of all that are there."""
        return [queue["name"] for queue in json.loads(self.rabbitmq.look(f"/api/queues/{self.name}")[1])]


class RabbitMQ:
    """A broker over a directory; it can be stopped, killed and started again on the same ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.tls_port, self.management_port, *inner = _free_ports(5)
        self.ca_file = directory / "ca-cert.pem"
        self._output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = self._configure(*inner)

    def _configure(self, distribution_port: int, mapper_port: int) -> dict[str, str]:
        Authority(days=1).certify(self.directory, "127.0.0.1", ["server"])
        (self.directory / "plugins").write_text("[rabbitmq_management].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.ca_file}\n"
            f"ssl_options.certfile = {self.directory}/server-cert.pem\n"
            f"ssl_options.keyfile = {self.directory}/server-key.pem\n"
            "management.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {self.management_port}\n"
        )
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": f"cumulet-{secrets.token_hex(4)}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    @property
    def pid(self) -> int | None:
        """The first process of it."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Returns when it answers."""
        inside = ["unshare", "--kill-child", "--pid", "--fork", "--mount-proc", "--", SERVER]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *inside],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"RabbitMQ does not start: {self._output.read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it says that it is complete (its management is there a little earlier), and its management does."""
        try:
            return "... completed" in self._output.read_text() and self.look("/api/whoami")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def look(self, path: str, login: str = ADMINISTRATOR, method: str = "GET") -> tuple[int, bytes]:
        """What the management answers: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.management_port, timeout=30)
        try:
            headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def cut(self, vhost: str, user: str) -> int:
        """End the connections of a user; gives how many are known and were ended."""
        found = json.loads(self.look(f"/api/vhosts/{vhost}/connections")[1])
        names = [quote(one["name"], safe="") for one in found if one["user"] == user]
        for name in names:
            self.look(f"/api/connections/{name}", method="DELETE")
        return len(names)

    def stop(self) -> None:
        """As an operator does: it says good-bye to its clients."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGTERM)
        self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def set_memory_limit(self, share: float) -> None:
        """Of the machine's memory; above it, the broker takes no more messages."""
        command = [CONTROL, "set_vm_memory_high_watermark", f"{share:.3f}"]
        subprocess.run(command, env=self._environ, check=True, capture_output=True, timeout=PATIENCE_SECONDS)

    def url(self, user: str, password: str, vhost: str, *, tls: bool = False) -> str:
        scheme, port = ("amqps", self.tls_port) if tls else ("amqp", self.port)
        return f"{scheme}://{user}:{password}@127.0.0.1:{port}/{vhost}"

    def broker(self, vhost: str) -> Broker:
        return Broker(f"http://{ADMINISTRATOR}@127.0.0.1:{self.management_port}", vhost)

    def make(self) -> VirtualHost:
        """A virtual host with nothing in it, and a user of the control plane for it."""
        name = f"cumulet-{secrets.token_hex(4)}"
        user, broker = f"control-{name}", self.broker(name)
        broker.prepare()
        return VirtualHost(self, name, broker, user, self.url(user, broker.add_control(user), name))


def _free_ports(count: int) -> list[int]:
    """Different from each other, because all are held until all are found."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """The broker of this run of the tests."""
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def vhost(rabbitmq: RabbitMQ) -> Iterator[VirtualHost]:
    """A virtual host of this test's own."""
    made = rabbitmq.make()
    yield made
    made.broker.remove()
    made.broker.remove_user(made.user)
