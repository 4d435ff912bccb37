"""An installation as in the tutorial: MariaDB, RabbitMQ, one host with every role, and a `nova.conf` that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cumulet.demo.process import CloudProcess
from cumulet.lab.servers import MariaDB, RabbitMQ
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.tutorial.further_host import FurtherHost

ADDRESS = "127.0.0.1"
ZONE = "nova"
NOVA_CONF = """\
--daemonize=1
--dhcpbridge_flagfile=/etc/nova/nova.conf
--dhcpbridge=/usr/bin/nova-dhcpbridge
--logdir=/var/log/nova
--state_path={state}
--lock_path=/var/lock/nova
--libvirt_type=qemu
--sql_connection={database}
--s3_host={address}
--rabbit_host={address}
--ec2_host={address}
--fixed_range=10.0.0.0/8
--network_size=64
--num_networks=2
--public_interface=pub0
--vlan_start=100
--vlan_interface=pub0
--iscsi_helper=tgtadm
--node_availability_zone={zone}
"""


class Installation:
    """The servers, the cloud's process, and its administrator's command."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        directory.chmod(0o755)
        self.flags = directory / "nova.conf"
        self._directory = directory
        self._starting = ThreadPoolExecutor(2)  # a server ends with the thread that has started it
        self._mariadb = MariaDB(directory / "mariadb", ADDRESS)
        self._rabbitmq = RabbitMQ(directory / "rabbitmq", ADDRESS)
        state = directory / "nova"
        configuration = directory / "cumulet.toml"
        own = {"public_pool": "", "emulation": "tcg", "bus_admin_url": self._rabbitmq.management}
        own |= {"tunnel_address": ADDRESS, "guest_mtu": "1500"}
        self.cloud = CloudProcess(state, config=str(configuration), **own)
        self.second = FurtherHost(directory / "node2", "node2", "image", ADDRESS)
        self.storage = FurtherHost(directory / "storage", "storage", "volume", ADDRESS)
        database = self._mariadb.url.replace("mariadb+pymysql", "mysql")
        self.flags.touch(mode=0o600)
        self.flags.write_text(NOVA_CONF.format(state=state, database=database, address=ADDRESS, zone=ZONE))
        configuration.touch(mode=0o600)
        configuration.write_text(self.nova_manage("config", "convert"))

    def logs(self) -> list[Path]:
        """What the cloud's processes say."""
        return [self.cloud.log, self.second.log, self.storage.log]

    def start_servers(self) -> None:
        for started in [self._starting.submit(server.start) for server in (self._mariadb, self._rabbitmq)]:
            started.result()

    def stop(self) -> None:
        """The cloud ends, and then what it needs."""
        self.second.kill()
        self.storage.stop()
        self.cloud.stop()
        self._rabbitmq.stop()
        self._mariadb.stop()
        self._starting.shutdown()

    def join(self, host: FurtherHost) -> None:
        """That host is one of the cloud's, by a ticket."""
        where = ["--bus", self._rabbitmq.place, "--url", (self.cloud.state / "endpoint").read_text().strip()]
        host.join(self.cloud.command("host", "add", host.name, "--roles", host.roles, "--zone", ZONE, *where))
        host.start()

    def nova_manage(self, *words: str) -> str:
        """What `nova-manage` prints; raises `Failure` when it fails."""
        return run(self._command(words), timeout=60).stdout

    def refused(self, *words: str) -> str:
        """Why `nova-manage` does not do it; raises `Failure` when it does."""
        done = subprocess.run(self._command(words), capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            raise Failure(f"nova-manage {' '.join(words)} went well, which it must not: {done.stdout}")
        return done.stderr.strip().splitlines()[-1]

    def _command(self, words: tuple[str, ...]) -> list[str]:
        settings = [f"{name}={value}" for name, value in self._own().items()]
        return ["env", *settings, sys.executable, "-m", "cumulet.nova_manage", f"--flagfile={self.flags}", *words]

    def _own(self) -> dict[str, str]:
        """What the flags of 2012 do not say: there is no other pool than that of `floating create`."""
        return {"CUMULET_PUBLIC_POOL": "", "CUMULET_LISTEN": "127.0.0.1:8773", "HOME": os.environ.get("HOME", "/root")}


def sourced(novarc: Path) -> dict[str, str]:
    """The environment after `source novarc`, with no edit, in a shell that has nothing else."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    clean = ["env", "-i", f"PATH={path}", f"HOME={novarc.parent}"]
    said = run([*clean, "bash", "-c", '. "$0" && env -0', novarc]).stdout
    return dict(line.split("=", 1) for line in said.split("\0") if "=" in line)
