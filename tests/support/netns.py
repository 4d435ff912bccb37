"""A host in a namespace: network, mounts and processes of its own, with a world outside and a network driver inside.

Nothing of it shows outside, and the kernel ends all its processes with the first one. The driver is a process
(`network_worker.py`), so that it can be killed and started again as in life.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from cumulet.drivers import specs
from cumulet.drivers.contract import Seen
from cumulet.drivers.network.settings import NetworkSettings
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible

HERE = Path(__file__).parent
_BEFORE = """
set -e
mount -n -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns /run/test
ip link set lo up
"""
_WITH_WORLD = """
ip netns add world
ip link add pub0 type veth peer name eth0 netns world
ip address add 198.51.100.1/24 dev pub0
ip link set pub0 up
ip -n world address add 198.51.100.2/24 dev eth0
ip -n world link set eth0 up
ip -n world link set lo up
"""
_AFTER = """
echo ready
sleep infinity &
wait  # and so collect the orphans
"""
HOST_ADDRESS, WORLD_ADDRESS = "198.51.100.1", "198.51.100.2"
SETTINGS = NetworkSettings(
    state_directory=Path("/run/cumulet/network"),
    public_interface="pub0",
    public_pool=["198.51.100.64/26"],
    dns_servers=["198.51.100.2"],
)


class Host:
    """The namespaces; use it in a `with`. `links` is the part of the set-up that makes its links."""

    def __init__(self, links: str = _WITH_WORLD) -> None:
        self._set_up = _BEFORE + links + _AFTER

    def __enter__(self) -> Self:
        flags = ["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        self._unshare = subprocess.Popen(
            ["unshare", *flags, "--", "sh", "-c", self._set_up],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._unshare.stdout is not None and self._unshare.stderr is not None
        if self._unshare.stdout.readline() != "ready\n":
            raise Failure(f"setting up a host in a namespace: {self._unshare.stderr.read()}")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.pid = int(children.read_text().split()[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._unshare.kill()
        self._unshare.communicate(timeout=10)

    def command(self, *arguments: str | Path) -> list[str]:
        """The command that does this inside."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *map(str, arguments)]

    def run(self, *arguments: str, check: bool = True) -> str:
        """What a command inside says."""
        return run(self.command(*arguments), check=check, timeout=20).stdout

    def inventory(self) -> dict[str, list[str]]:
        """All that could be left behind, to be compared; processes that have ended are not, though not reaped yet."""
        lines = self.run("ps", "-e", "-o", "stat=,comm=").splitlines()
        processes = [line.split()[1] for line in lines if not line.startswith("Z")]
        return {
            "namespaces": sorted(self.run("ls", "/run/netns").split()),
            "links": sorted(link["ifname"] for link in json.loads(self.run("ip", "-j", "link"))),
            "routes": sorted(self.run("ip", "route").splitlines()),
            "proxies": sorted(self.run("ip", "neigh", "show", "proxy").splitlines()),
            "addresses": sorted(self.run("ip", "-4", "-o", "address").splitlines()),
            "rules": self.run("nft", "list", "ruleset").splitlines(),
            "files": sorted(
                self.run("find", "/run", "-path", "/run/test", "-prune", "-o", "-type", "f", "-print").split()
            ),
            "servers": [line for line in processes if line == "dnsmasq"],
            "forwarding": self.run("sh", "-c", "grep . /proc/sys/net/ipv4/conf/*/forwarding").split(),
        }


class Process:
    """A Python process inside a host that answers lines of JSON."""

    def __init__(self, host: Host, script: str, *arguments: str) -> None:
        command = host.command(sys.executable, "-P", HERE / script, *arguments)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask_for_line()

    def ask(self, question: str, **arguments: Any) -> Any:
        """The answer to a question; raises what the process raised."""
        self._say({"question": question, **arguments})
        answer = json.loads(self._ask_for_line())
        match answer.get("error"):
            case None:
                return answer["answer"]
            case "Impossible":
                raise Impossible(answer["code"], answer["message"])
        raise Failure(f"{answer['error']}: {answer['message']}")

    def close(self) -> None:
        """End the process in peace."""
        self._stdin.close()
        self._process.wait(timeout=10)
        self._stdout.close()

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._say({"question": "die"})
        self._process.wait(timeout=10)
        self._stdout.close()

    def _say(self, question: dict[str, Any]) -> None:
        self._stdin.write(json.dumps(question) + "\n")
        self._stdin.flush()

    def _ask_for_line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise Failure(f"{' '.join(map(str, self._process.args))}: it ended")  # type: ignore[arg-type]
        return line

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout


class Network(Process):
    """A `LinuxNetwork` with its metadata service, in a process of its own inside a host. It is a driver, too."""

    def __init__(self, host: Host, settings: NetworkSettings = SETTINGS) -> None:
        super().__init__(host, "network_worker.py", json.dumps(asdict(settings), default=str))

    def ensure(self, spec: specs.Spec) -> None:
        self.ask("ensure", spec=specs.encode(spec).decode())

    def remove(self, id: str) -> None:
        self.ask("remove", id=id)

    def observe(self) -> list[Seen]:
        return [Seen(id=id, state=state) for id, state in self.ask("observe")]

    def look(self, id: str) -> Seen | None:
        return Seen(id=id) if self.ask("look", id=id) else None

    def ensure_dying_at(self, step: int, spec: specs.Spec) -> str | None:
        """Ensure, but be dead from the crash point with this number on; gives its name, or None if it never came."""
        return self._text_or_none(self.ask("ensure", spec=specs.encode(spec).decode(), die_at=step))

    def remove_dying_at(self, step: int, id: str) -> str | None:
        return self._text_or_none(self.ask("remove", id=id, die_at=step))

    def ensure_together(self, all_of_them: list[specs.InterfaceSpec]) -> None:
        """Ensure all, from several threads at once."""
        self.ask("together", specs=[specs.encode(spec).decode() for spec in all_of_them])

    def remove_together(self, ids: list[str]) -> None:
        self.ask("remove_together", ids=ids)

    def milliseconds(self, spec: specs.Spec) -> float:
        """How long ensuring takes."""
        return float(self.ask("time", spec=specs.encode(spec).decode()))

    @staticmethod
    def _text_or_none(answer: Any) -> str | None:
        return None if answer is None else str(answer)


@dataclass(frozen=True)
class Vpc:
    """A VPC's ids and ranges, and specs of what is in it."""

    number: int = 1
    cidr: str = "10.0.0.0/16"
    subnet: str = "10.0.0.0/24"
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"vpc-{self.number:017x}")

    @property
    def group_id(self) -> str:
        return f"sg-{self.number:016x}1"

    def interface(self, number: int, **more: Any) -> specs.InterfaceSpec:
        """The interface of guest `number`, at 10.0.0.(10 + number)."""
        ip = f"{self.subnet.rsplit('.', 1)[0]}.{10 + number}"
        id = f"{self.number:x}{number:x}"
        facts: dict[str, Any] = {
            "id": f"eni-{id:0>17}",
            "vpc": self.id,
            "vpc_cidr": self.cidr,
            "subnet_cidr": self.subnet,
            "mac": f"02:00:00:00:{self.number:02x}:{number:02x}",
            "ip": ip,
            "groups": [self.group_id],
            "hostname": f"ip-{ip.replace('.', '-')}.ec2.internal",
            "metadata": specs.MetadataSpec(instance_id=f"i-{id:0>17}", account_id="123456789012", region="us-east-1"),
        }
        return specs.InterfaceSpec(**{**facts, **more})

    def group(self, *ingress: specs.RuleSpec, **more: Any) -> specs.GroupSpec:
        """The VPC's group: what may come in, and everything may go out."""
        facts = {"egress": [specs.RuleSpec(protocol="-1", cidr="0.0.0.0/0")], "members": []}
        return specs.GroupSpec(**{"id": self.group_id, "vpc": self.id, "ingress": list(ingress), **facts, **more})


def allow(protocol: str, port: int = -1, last: int | None = None, **peer: str) -> specs.RuleSpec:
    """A rule for a protocol and a port (or an ICMP type and code); from everywhere, if nothing else is said."""
    to = port if last is None else last
    return specs.RuleSpec(protocol=protocol, from_port=port, to_port=to, **(peer or {"cidr": "0.0.0.0/0"}))
