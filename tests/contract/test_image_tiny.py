"""The tiny image as a guest on a network: DHCP, key, host name, user data, SSH."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guests import Guests

from cumulet.drivers.image import tiny
from cumulet.drivers.specs import NicSpec, tap_name
from cumulet.lib.command import run

pytestmark = pytest.mark.private_host

ID = "i-0123456789abcdef0"
NIC = NicSpec(interface="eni-0123456789abcdef0", mac="02:00:00:00:00:01", mtu=1400)
TAP = tap_name(NIC.interface)
INSIDE = ["ip", "netns", "exec", "vpc"]
SCRIPT = "#!/bin/sh\necho \"it is $(hostname)\" >> /dev/console\nprintf 'ran\\0' >> /tmp/ran\n"


class Net:
    """A namespace with DHCP and metadata, in which one guest's tap is to be."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = directory / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key])
        self._processes: list[subprocess.Popen[bytes]] = []
        run(["ip", "netns", "add", "vpc"])
        for command in ("link set lo up", "address add 169.254.169.254/32 dev lo"):
            run(["ip", "-n", "vpc", *command.split()])
        self._serve_metadata()

    def plug(self) -> None:
        """Move the tap here and serve DHCP on it."""
        for command in (
            f"link set {TAP} netns vpc",
            f"-n vpc link set {TAP} up mtu 1400",
            f"-n vpc address add 10.9.0.1/24 dev {TAP}",
        ):
            run(["ip", *command.split()])
        lease = ["--dhcp-range=10.9.0.0,static", f"--dhcp-host={NIC.mac},10.9.0.5", "--dhcp-option=option:mtu,1400"]
        options = [
            "--conf-file=/dev/null",
            "--keep-in-foreground",
            "--port=0",
            f"--dhcp-leasefile={self.directory}/leases",
        ]
        self._start(["dnsmasq", *options, f"--interface={TAP}", "--bind-interfaces", *lease])

    def unplug(self) -> None:
        """End what was started for the tap, and the tap."""
        self._processes.pop().kill()
        run(["ip", "-n", "vpc", "link", "delete", TAP])

    def ssh(self, user: str, command: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=10"]
        given = [argument for option in options for argument in ("-o", option)]
        return run(
            [*INSIDE, "ssh", "-F", "none", "-i", key or self.key, *given, f"{user}@10.9.0.5", command], check=False
        )

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _serve_metadata(self) -> None:
        served = self.directory / "served"
        served.mkdir()
        (served / "latest=meta-data=public-keys=0=openssh-key").write_text(self.key.with_suffix(".pub").read_text())
        (served / "latest=meta-data=local-hostname").write_text("ip-10-9-0-5.ec2.internal")
        (served / "latest=meta-data=instance-id").write_text(ID)
        (served / "latest=user-data").write_text(SCRIPT)
        server = Path(__file__).parents[1] / "support" / "metadata_server.py"
        self._start([sys.executable, str(server), str(served)])

    def _start(self, command: list[str]) -> None:
        self._processes.append(subprocess.Popen([*INSIDE, *command], stdin=subprocess.DEVNULL))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    made = Net(tmp_path_factory.mktemp("net"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory, tiny_image: Path, net: Net) -> Iterator[Guests]:
    """With one guest that has booted on the network."""
    made = Guests(tmp_path_factory.mktemp("host"), tiny_image)
    _start(made, net, 1)
    yield made
    made.remove(ID)
    made.close()


def _start(guests: Guests, net: Net, generation: int) -> None:
    run(["ip", "tuntap", "add", TAP, "mode", "tap"])
    guests.ensure(ID, nics=[NIC], generation=generation)
    net.plug()
    guests.ensure(ID, nics=[NIC], generation=generation)
    guests.wait_until_booted(ID, times=generation)


def test_root_and_cumulet_log_in_with_the_key_and_nobody_without(guests: Guests, net: Net, tmp_path: Path) -> None:
    assert net.ssh("root", "id -u").stdout == "0\n"
    assert net.ssh("cumulet", "id -un; pwd; touch here && echo written").stdout == "cumulet\n/home/cumulet\nwritten\n"
    stranger = tmp_path / "stranger"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger])
    refused = net.ssh("root", "id", key=stranger)
    assert "Permission denied" in refused.stderr


def test_it_has_its_address_name_mtu_and_disk(guests: Guests, net: Net) -> None:
    said = net.ssh("root", "hostname; ip -4 -o addr show eth0; cat /sys/class/net/eth0/mtu /sys/block/vda/size").stdout
    name, address, mtu, sectors = said.splitlines()
    assert name == "ip-10-9-0-5.ec2.internal"
    assert " 10.9.0.5/24 " in address
    assert mtu == "1400"
    assert int(sectors) == 2 * 1024**2


def test_its_host_key_is_on_the_console(guests: Guests, net: Net) -> None:
    scanned = run([*INSIDE, "ssh-keyscan", "-t", "ed25519", "10.9.0.5"]).stdout.split()[-1]
    assert scanned.encode() in guests.hypervisor.console(ID)


def test_user_data_is_run_once_per_instance_also_after_a_restart(guests: Guests, net: Net) -> None:
    assert guests.says(ID, b"it is ip-10-9-0-5.ec2.internal")
    assert guests.says(ID, b"the user data's exit status is 0")
    assert net.ssh("root", "wc -c < /tmp/ran").stdout == "4\n"
    guests.ensure(ID, nics=[NIC], power="off")
    net.unplug()
    _start(guests, net, 2)
    assert guests.says(ID, b"the user data has been run before")
    assert net.ssh("root", "ls /tmp/ran").returncode != 0
    assert guests.hypervisor.console(ID).count(b"running the user data") == 1


def test_the_same_inputs_give_the_same_image_and_no_second_work(tiny_image: Path, tmp_path: Path) -> None:
    said: list[str] = []
    before = time.monotonic()
    assert tiny.build(tiny_image, progress=said.append) == tiny_image
    assert time.monotonic() - before < 1
    assert said == []
    again = tmp_path / "again"
    (again / "packages").mkdir(parents=True)
    for package in (tiny_image / "packages").iterdir():
        (again / "packages" / package.name).hardlink_to(package)
    tiny.build(again, progress=said.append)
    for name in ("kernel", "initrd"):
        digests = {hashlib.sha256((directory / name).read_bytes()).hexdigest() for directory in (again, tiny_image)}
        assert len(digests) == 1
