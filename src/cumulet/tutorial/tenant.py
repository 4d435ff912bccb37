"""A tenant's part of the tutorial: key pair, instance, rules, address, SSH, a volume that moves."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from cumulet.demo.process import WORLD, WORLD_ADDRESS, in_world, ssh, until
from cumulet.demo.report import step
from cumulet.lib.errors import Failure
from cumulet.tutorial.clients import Client
from cumulet.tutorial.installation import ZONE

DEVICE = "/dev/vdb"
WRITE = "mke2fs /dev/vdb > /dev/null 2>&1 && mount /dev/vdb /mnt && head -c 1000000 /dev/urandom > /mnt/data && sync"
SUM = "sha256sum < /mnt/data"
_ACCEPT = f"""
import socket
listener = socket.create_server(('{WORLD_ADDRESS}', 0))
print(listener.getsockname()[1], flush=True)
print(listener.accept()[1][0])
"""


class Tenant:
    """One, with a client; keeps its private key below `directory`."""

    def __init__(self, name: str, client: Client, directory: Path) -> None:
        self.name = name
        self.client = client
        self.instance = ""
        self.address = ""
        self.volume = ""
        self._key = directory / f"{name}.pem"

    def use_everything(self, image: str) -> None:
        """From an image to data that a second instance reads; that instance is there afterwards."""
        with self._step("euca-describe-images, euca-add-keypair k > k.pem"):
            _expect(image in self.client.images(), f"{image} is not among the images")
            self._key.touch(mode=0o600)
            self._key.write_text(self.client.create_key_pair("k"))
        with self._step("euca-run-instances -k k -t m1.tiny ami-…, until euca-describe-instances says running"):
            self._run(image)
        with self._step("euca-allocate-address, euca-associate-address"):
            self.address = self.client.allocate()
            self.client.associate(self.address, self.instance)
            _expect(self.client.look(self.instance).public == self.address, "the instance is not seen at its address")
        with self._step("euca-get-console-output, until it has booted"):
            until(lambda: "ready" in self.client.console(self.instance), 90, "the console to say that it is ready")
        with self._step("before any rule, nothing reaches it from the outside world"):
            self._is_closed()
        with self._step(
            "euca-authorize default -P tcp -p 22, -P icmp -t -1:-1; it answers SSH and ping, and nothing else"
        ):
            self._open()
        with self._step("ssh -i k.pem root@…: the key came from the metadata service"):
            _expect("k" in self._ssh("imds /latest/meta-data/public-keys/"), "the metadata service has no key")
        with self._step("reach the outside world from it, as its public address"):
            _expect(self._seen_outside_as() == self.address, "the world has seen another address")
        with self._step(f"euca-create-volume -s 1 -z {ZONE}, euca-attach-volume -d {DEVICE}"):
            self._create_volume()
            self._attach()
        with self._step("format, mount, write"):
            written = self._ssh(f"{WRITE} && {SUM} && umount /mnt")
        with self._step("euca-detach-volume, euca-terminate-instances"):
            self.client.detach(self.volume)
            until(lambda: self.client.volume(self.volume)[0] == "available", 60, f"{self.volume} to be available")
            self._terminate()
        with self._step("run a second instance, attach the volume: the data is there, byte for byte"):
            self._run(image)
            self.client.associate(self.address, self.instance)
            self._wait_for_ssh()
            self._attach()
            read = self._ssh(f"mount /dev/vdb /mnt && {SUM} && umount /mnt")
            _expect(read == written, f"what was read has another checksum: {read}, not {written}")

    def give_everything_back(self) -> None:
        """Nothing of the tenant's is left."""
        with self._step("terminate, delete the volume, release the address"):
            self._terminate()
            until(lambda: self.client.volume(self.volume)[0] == "available", 60, f"{self.volume} to be available")
            self.client.delete_volume(self.volume)
            self.client.release(self.address)

    def reaches(self, private: str) -> bool:
        """Whether its instance reaches an address by its own network."""
        return "1 packets received" in self._ssh(f"ping -c 1 -W 1 {private} || true")

    def _step(self, text: str) -> AbstractContextManager[None]:
        return step(f"{self.name}, {self.client.name}: {text}")

    def _run(self, image: str) -> None:
        self.instance = self.client.run_instance(image, "k")

        def runs() -> bool:
            seen = self.client.look(self.instance)
            ended = seen.state in ("shutting-down", "terminated")
            _expect(not ended, f"{self.instance} is {seen.state}: {seen.reason}")
            _expect(seen.zone == ZONE, f"{self.instance} is in the zone {seen.zone}")
            return seen.state == "running"

        until(runs, 60, f"{self.instance} to run")

    def _terminate(self) -> None:
        self.client.terminate(self.instance)
        until(lambda: self.client.look(self.instance).state == "terminated", 60, f"{self.instance} to be terminated")

    def _is_closed(self) -> None:
        _expect(not _answers_ping(self.address), "it answers ping, and no rule says so")
        _expect(_connection(self.address, 22) == "dropped", "something answers at port 22, and no rule says so")

    def _open(self) -> None:
        self.client.authorize("tcp", 22, 22)
        self.client.authorize("icmp", -1, -1)
        self._wait_for_ssh()
        _expect(_answers_ping(self.address), "it does not answer ping")
        _expect(_connection(self.address, 23) == "dropped", "something answers at port 23, and no rule says so")

    def _create_volume(self) -> None:
        self.volume = self.client.create_volume(1, ZONE)
        until(lambda: self.client.volume(self.volume)[0] == "available", 60, f"{self.volume} to be available")

    def _attach(self) -> None:
        self.client.attach(self.volume, self.instance, DEVICE)
        until(lambda: self.client.volume(self.volume) == ("in-use", "attached"), 60, f"{self.volume} to be attached")
        until(lambda: "vdb" in self._ssh("cat /proc/partitions"), 30, "the guest to see it")

    def _seen_outside_as(self) -> str:
        command = ["ip", "netns", "exec", WORLD, "python3", "-c", _ACCEPT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as world:
            try:
                assert world.stdout is not None
                port = int(world.stdout.readline())
                self._ssh(f"nc -w 2 {WORLD_ADDRESS} {port} < /dev/null || true")
                return world.communicate(timeout=10)[0].strip()
            finally:
                world.kill()

    def _wait_for_ssh(self) -> None:
        until(lambda: _attempt(lambda: self._ssh("echo here")) == "here\n", 90, "SSH to answer")

    def _ssh(self, command: str) -> str:
        return ssh(self._key, self.address, command)


def _answers_ping(address: str) -> bool:
    return bool(_attempt(lambda: in_world("ping", "-c", "1", "-W", "1", address)))


def _connection(address: str, port: int) -> str:
    """open, refused, or dropped: nobody says anything."""
    try_it = f"timeout 1 bash -c '</dev/tcp/{address}/{port}' 2>&-; echo $?"
    status = in_world("bash", "-c", try_it).strip()
    return {"0": "open", "124": "dropped"}.get(status, "refused")


def _attempt(call: Callable[[], str]) -> str:
    try:
        return call()
    except Failure:
        return ""


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)
