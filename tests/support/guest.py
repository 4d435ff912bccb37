"""What stands in for a guest: a process that holds the tap, with a network namespace whose eth0 is the other end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from support.netns import Host, Network, Process

from cumulet.drivers.specs import InterfaceSpec, tap_name

_UDHCPC = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface"
ip route add default via "$router"
echo "ip=$ip mask=$mask router=$router dns=$dns mtu=$mtu hostname=$hostname domain=$domain lease=$lease"
"""


class Place(Process):
    """A namespace in which things can be tried: a guest's, or the world's."""

    def connect(self, address: str, port: int, timeout: float = 1.0) -> str:
        """`from ADDRESS` as the other side sees us, or refused, timeout, unreachable."""
        return str(self.ask("connect", address=address, port=port, timeout=timeout))

    def listen(self, port: int) -> None:
        """Tell whoever connects where he comes from."""
        self.ask("listen", port=port)

    def ping(self, address: str, *, type: int = 8, code: int = 0, timeout: float = 1.0) -> bool:
        """Whether an ICMP request is answered."""
        return bool(self.ask("ping", address=address, type=type, code=code, timeout=timeout))

    def get(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Any, str]:
        """What 169.254.169.254 answers: status, headers, body."""
        status, answered, body = self.ask("http", path=path, method=method, headers=headers or {})
        return status, answered, body

    def run(self, *arguments: str) -> str:
        return str(self.ask("run", arguments=arguments))


class FakeGuest(Place):
    """Use `FakeGuest.started`, which goes the way that a hypervisor and the engine go."""

    def __init__(self, host: Host, spec: InterfaceSpec) -> None:
        self.spec = spec
        self.host = host
        self.name = "guest-" + spec.id[-12:]
        super().__init__(host, "guest_process.py", self.name, tap_name(spec.id), spec.mac)

    @classmethod
    def started(cls, host: Host, network: Network, spec: InterfaceSpec, *, addressed: bool = True) -> FakeGuest:
        """The tap staged, held, moved; and the guest with its address, unless it shall ask for it."""
        network.ensure(spec)
        guest = cls(host, spec)
        network.ensure(spec)
        if addressed:
            guest.address(spec.ip)
        return guest

    def address(self, ip: str) -> None:
        """Set the address and the default route by hand."""
        prefix = self.spec.subnet_cidr.split("/")[1]
        gateway = self.gateway
        self.run("ip", "address", "add", f"{ip}/{prefix}", "dev", "eth0")
        self.run("ip", "route", "replace", "default", "via", gateway, "dev", "eth0")

    @property
    def gateway(self) -> str:
        return self.spec.subnet_cidr.split("/")[0].rsplit(".", 1)[0] + ".1"

    def dhcp(self) -> dict[str, str]:
        """Ask for an address with a real client, and take it; gives what was offered, or nothing."""
        script = Path(f"/run/test/{self.name}-udhcpc")
        self.ask("write", path=str(script), text=_UDHCPC)
        client = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T", "1", "-s", str(script)]
        options = [part for option in ("mtu", "hostname", "domain", "lease") for part in ("-O", option)]
        said = self.ask("run", arguments=[*client, *options], check=False)
        bound = [line for line in said.splitlines() if line.startswith("ip=")]
        return dict(part.split("=", 1) for part in bound[0].split()) if bound else {}

    def send(self, frame: bytes) -> None:
        """Send a whole Ethernet frame, whatever is in it."""
        self.ask("send", frame=frame.hex())

    def heard(self, seconds: float = 0.3) -> list[bytes]:
        """The frames that came to the guest since the last time, and within these seconds."""
        time.sleep(seconds)
        return [bytes.fromhex(frame) for frame in self.ask("heard")]


class World(Place):
    """The outside, on the other end of the host's public interface."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, "guest_process.py", "world")
