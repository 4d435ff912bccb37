"""A laboratory as a whole: servers, a controller and hosts, each of which can be killed, cut off and brought back.

A host is a network, mount and process namespace with a libvirtd of its own. To be used in a private host, so that
nothing outlives whoever made it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cumulet.lab import underlay
from cumulet.lab.authority import Authority
from cumulet.lab.servers import Postgres, RabbitMQ
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

CUMULET = [sys.executable, "-m", "cumulet"]
VHOST = "cumulet"
CERTIFICATES = "/etc/libvirt/nbd"
"""Where libvirt of a private host has QEMU look for its certificates."""
AGAIN = 'while :; do "$@"; sleep 0.5; done'
"""A process that ends is started again, as systemd does it."""


class Machine:
    """What runs `cumulet up` again and again, over a configuration and a state directory of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.file = directory / f"{name}.toml"
        self.state = directory / name
        self.log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The first process of it; None: it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, process_group=0)

    def command(self) -> list[str]:
        return ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", AGAIN, "sh", *self.up()]

    def up(self) -> list[str]:
        return [*CUMULET, "up", "--config", str(self.file)]

    def kill_cumulet(self) -> None:
        """Its process dies at once, and is started again; guests go on."""
        wanted = "\0".join(self.up()[-4:]).encode()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().rstrip(b"\0")
            except OSError:
                continue
            if command.endswith(wanted) and b"private_host" not in command and not command.startswith(b"sh\0"):
                os.kill(int(entry.parent.name), signal.SIGKILL)

    def kill(self) -> None:
        """All of it dies at once, as in a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, seconds: float = 60.0) -> None:
        """It ends as it would by itself."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None


class Host(Machine):
    """A machine that runs guests, with two cables."""

    def __init__(self, name: str, number: int, directory: Path, join: list[str], variables: Mapping[str, str]) -> None:
        super().__init__(name, directory)
        self.number = number
        self.zone = zone_of(number)
        self._certificates = directory / f"{name}-certificates"
        self._join = join
        self._variables = [f"{name}={value}" for name, value in variables.items()]

    def start(self) -> None:
        underlay.plug(self.name, self.number)
        super().start()

    def command(self) -> list[str]:
        first = " ".join(self._join) if not self.file.exists() else "true"
        certified = f"cp {shlex.quote(str(self._certificates))}/* {CERTIFICATES}"
        inside = ["sh", "-c", f"{certified}; {first}; {AGAIN}", "sh", "env", *self._variables, *self.up()]
        private = [sys.executable, "-m", "cumulet.lib.private_host", "--keep-network", "--", *inside]
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *private]

    def kill(self) -> None:
        super().kill()
        underlay.unplug(self.name)

    def stop(self, seconds: float = 60.0) -> None:
        super().stop(seconds)
        underlay.unplug(self.name)

    def cut(self) -> None:
        underlay.cut(self.name)

    def heal(self) -> None:
        underlay.heal(self.name)


def zone_of(number: int) -> str:
    """Hosts are in two zones by turns."""
    return "us-east-1a" if number % 2 else "us-east-1b"


class Laboratory:
    """Everything; `settings` are the controller's and all hosts'.

    `variables` gives the environment of the `cumulet` of a host, by the host's name. `durable`: the database waits for
    the disk at each commit.
    """

    def __init__(
        self,
        directory: Path,
        hosts: int,
        settings: Mapping[str, str | float] = MappingProxyType({}),
        variables: Callable[[str], Mapping[str, str]] = lambda host: {},
        *,
        durable: bool = False,
    ) -> None:
        self.directory = directory
        self._variables = variables
        self.settings = settings
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)  # dnsmasq and PostgreSQL, which are not root, must come by here
        underlay.make()
        self._authority = authority = Authority()
        self.postgres = Postgres(directory / "postgresql", underlay.CONTROLLER, durable=durable, authority=authority)
        self.rabbitmq = RabbitMQ(directory / "rabbitmq", underlay.CONTROLLER, authority)
        self.controller = Machine("c1", directory)
        self.hosts: dict[str, Host] = {}
        self._count = hosts

    def start(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Returns when all hosts are heard."""
        say("PostgreSQL")
        self.postgres.start()
        say("RabbitMQ")
        self.rabbitmq.start()
        say("the controller")
        self._configure()
        self.controller.start()
        _until((self.controller.state / "endpoint").exists, "the api to answer")
        for number in range(1, self._count + 1):
            say(f"host h{number}")
            self.add_host(number)
        say("all hosts to be heard")
        try:
            _until(lambda: self.alive() >= {f"compute.{name}" for name in self.hosts}, "the hosts to be heard")
        except Failure as e:
            raise Failure(f"{e}; {self._last_words()}") from None

    def _last_words(self) -> str:
        """The last line of each host's log."""
        said = {name: host.log.read_text().strip().rpartition("\n")[2] for name, host in self.hosts.items()}
        return "; ".join(f"{name}: {line or 'says nothing'}" for name, line in said.items())

    def add_host(self, number: int) -> Host:
        """One more host, which joins as a user's would."""
        name = f"h{number}"
        said = self.ask("host", "add", name, "--zone", zone_of(number))
        found = re.search(r"cumulet join (\S+) (\S+)", said)
        if found is None:
            raise Failure(f"`cumulet host add {name}` printed no command: {said}")
        place = ["--config", str(self.directory / f"{name}.toml"), "--state-dir", str(self.directory / name)]
        address = underlay.address(number)
        own: dict[str, str | float] = {"public_interface": "pub0", "tunnel_address": address, "emulation": "tcg"}
        own |= {"volume_certificate_dir": CERTIFICATES, **self.settings}
        words = [*CUMULET, "join", *found.groups(), *place, "--no-serve"]
        words += [word for key, value in own.items() for word in ("--set", f"{key}={value}")]
        self._authority.certify(self.directory / f"{name}-certificates", address)
        self.hosts[name] = Host(name, number, self.directory, words, self._variables(name))
        self.hosts[name].start()
        return self.hosts[name]

    def readdress(self, name: str, number: int) -> None:
        """A host that does not run comes back at the address of this number, certified for it."""
        host, address = self.hosts[name], underlay.address(number)
        self._authority.certify(self.directory / f"{name}-certificates", address)
        text = host.file.read_text()
        host.file.write_text(text.replace(f'"{underlay.address(host.number)}"', f'"{address}"'))
        host.number = number

    def stop(self) -> None:
        """Everything ends, the hosts first."""
        for host in self.hosts.values():
            host.stop()
        self.controller.stop()
        self.rabbitmq.stop()
        self.postgres.stop()

    def ask(self, *words: str) -> str:
        """What a command says on the controller; raises `Failure` when it fails."""
        return run([*CUMULET, *words, "--config", self.controller.file], timeout=120).stdout

    def environ(self) -> dict[str, str]:
        """What `cumulet env` exports."""
        found: dict[str, str] = json.loads(self.ask("env", "--json"))
        return found

    def alive(self) -> set[str]:
        """The services that are heard, as ROLE.HOST."""
        listed: list[dict[str, Any]] = json.loads(self.ask("service", "list", "--json"))
        return {f"{one['binary']}.{one['host']}" for one in listed if one["alive"]}

    def _configure(self) -> None:
        from cumulet.bus.broker import Broker

        authority = self.directory / "authority.pem"
        authority.write_bytes(self._authority.certificate)
        broker = Broker(self.rabbitmq.management, VHOST)
        broker.prepare()
        password = broker.add_control("control")
        values: dict[str, Any] = {
            "host_name": "c1",
            "roles": ["api", "scheduler"],
            "state_dir": str(self.controller.state),
            "listen": f"{underlay.CONTROLLER}:8773",
            "database_url": self.postgres.url,
            "bus_url": f"amqps://control:{password}@{self.rabbitmq.place}/{VHOST}",
            "bus_ca_file": str(authority),
            "bus_admin_url": self.rabbitmq.management,
            "public_pool": [underlay.POOL],
            "volume_export": "nbd-tls",
            **({"image_dir": str(self.directory / "images")} if "volume_dir" in self.settings else {}),
            **self.settings,
        }
        self.controller.file.touch(mode=0o600)
        self.controller.file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))


def _until(holds: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)
