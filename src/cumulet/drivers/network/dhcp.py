"""DHCP, and DNS where there are servers to ask, by one dnsmasq in each VPC's namespace.

A guest is a file in a directory that dnsmasq watches; a file that goes or changes takes a SIGHUP. There are no tags in
it: dnsmasq 2.90 dies of those at a SIGHUP (docs/decisions/0039-no-tags-for-dnsmasq.md). A subnet is a line of the
configuration, and so is the largest packet, which is the same for all guests of a host: the first guest in a subnet
starts dnsmasq anew. It outlives this process, and is known again by its pid file.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from cumulet.drivers.network import namespace
from cumulet.drivers.network.settings import TAP_PREFIX, NetworkSettings
from cumulet.drivers.specs import InterfaceSpec
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_STOP_SECONDS = 5.0


class Dhcp:
    """The DHCP servers of this host's VPCs."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings

    def put(self, network: str, spec: InterfaceSpec) -> None:
        """The guest is offered its address, and the server is running."""
        directory = self._directory(network)
        hosts = directory / "hosts"
        hosts.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._check_reachable(hosts)
        configuration = directory / "dnsmasq.conf"
        text = self._configuration(directory, spec, configuration.read_text() if configuration.exists() else "")
        if _write(configuration, text):
            self._stop(network)
        known = hosts / spec.id
        was_known = known.exists()
        if _write(known, _host(spec, self._settings.lease_seconds)) and was_known:
            self._tell(network)
        crash.point("network.dhcp.written")
        self._start(network)

    def drop(self, network: str, interface: str) -> None:
        """The guest is offered nothing any more."""
        known = self._directory(network) / "hosts" / interface
        if known.exists():
            known.unlink()
            self._tell(network)

    def is_served(self, network: str) -> bool:
        """Whether the VPC's server is running."""
        return self._pid(network) is not None

    def close(self, network: str) -> None:
        """No server and no file of the VPC any more."""
        self._stop(network)
        shutil.rmtree(self._directory(network), ignore_errors=True)

    def networks(self) -> list[str]:
        """The networks that there are files of."""
        prefix = self._settings.namespace_prefix
        return [entry.name for entry in self._settings.state_directory.glob(f"{prefix}*") if entry.is_dir()]

    def _directory(self, network: str) -> Path:
        return self._settings.state_directory / network

    def _check_reachable(self, hosts: Path) -> None:
        shut = [parent for parent in hosts.resolve().parents if not parent.stat().st_mode & 0o001]
        if shut:
            where = ", ".join(map(str, shut))
            raise Failure(f"dnsmasq's user cannot come to {hosts}: {where} must be open to all (chmod o+x)")

    def _configuration(self, directory: Path, spec: InterfaceSpec, before: str) -> str:
        subnet = ipaddress.IPv4Network(spec.subnet_cidr)
        ranges = set(re.findall(r"^dhcp-range=.*$", before, re.MULTILINE))
        ranges.add(f"dhcp-range={subnet.network_address},static,{subnet.netmask},{self._settings.lease_seconds}")
        mtu = f"dhcp-option=option:mtu,{spec.mtu}"
        names = {f"synth-domain={self._settings.domain},{ipaddress.IPv4Network(spec.vpc_cidr)},ip-"}
        lines = [*_FIXED, *self._locations(directory), *sorted(ranges), mtu]
        return "\n".join([*lines, *(self._dns(names) if self._settings.dns_servers else _NO_DNS)]) + "\n"

    def _locations(self, directory: Path) -> list[str]:
        return [
            f"pid-file={directory}/dnsmasq.pid",
            f"dhcp-hostsdir={directory}/hosts",
            f"domain={self._settings.domain}",
        ]

    def _dns(self, names: set[str]) -> list[str]:
        servers = [f"server={server}" for server in self._settings.dns_servers]
        return [*servers, *sorted(names), f"local=/{self._settings.domain}/", "dhcp-option=option:dns-server,0.0.0.0"]

    def _start(self, network: str) -> None:
        if self._pid(network) is None:
            arguments = ["dnsmasq", f"--conf-file={self._directory(network) / 'dnsmasq.conf'}"]
            namespace.within(network, lambda: run(arguments))

    def _tell(self, network: str) -> None:
        pid = self._pid(network)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def _stop(self, network: str) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        while (pid := self._pid(network)) is not None:
            if time.monotonic() > deadline:
                raise Failure(f"the dnsmasq of {network} (pid {pid}) does not end")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.005)

    def _pid(self, network: str) -> int | None:
        """The process of the VPC's server, where it is alive and the pid is not somebody else's by now."""
        directory = self._directory(network)
        try:
            pid = int((directory / "dnsmasq.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"--conf-file={directory / 'dnsmasq.conf'}".encode() in command.split(b"\0") else None


_FIXED = [
    f"interface={TAP_PREFIX}*",
    "except-interface=lo",
    "bind-dynamic",
    "no-hosts",
    "no-resolv",
    "no-ping",
    "domain-needed",
    "bogus-priv",
    "leasefile-ro",
    "dhcp-authoritative",
    "dhcp-ignore=tag:!known",
    "quiet-dhcp",
]
_NO_DNS = ["port=0", "dhcp-option=option:dns-server"]


def _host(spec: InterfaceSpec, lease_seconds: int) -> str:
    name = spec.hostname.split(".")[0] or "ip-" + spec.ip.replace(".", "-")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,63}", name):
        raise Failure(f"the host name {spec.hostname!r} of {spec.id} cannot be offered by DHCP")
    return f"{spec.mac},{spec.ip},{name},{lease_seconds}\n"


def _write(file: Path, text: str) -> bool:
    """Make the file say this; whether it did not. dnsmasq overlooks names that begin with a dot."""
    if file.exists() and file.read_text() == text:
        return False
    aside = file.with_name("." + file.name)
    aside.write_text(text)
    aside.chmod(0o644)
    aside.replace(file)
    return True
