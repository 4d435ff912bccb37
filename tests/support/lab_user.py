"""A laboratory with real guests, and somebody who uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cumulet.demo.process import client, ssh, until
from cumulet.lab import underlay
from cumulet.lab.lab import Laboratory
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.lib.private_host import SCRATCH_VARIABLE


class Lab:
    """The laboratory, and somebody who uses it; `settings` are its own.

    `prepare` is called when there are cables and nothing else, and what it gives is closed with the laboratory.
    """

    def __init__(
        self,
        tiny_image: Path,
        hosts: int,
        settings: Mapping[str, str | float] = MappingProxyType({}),
        prepare: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.laboratory = Laboratory(Path(os.environ[SCRATCH_VARIABLE]) / "lab", hosts, settings)
        self._beside = prepare()
        self.beside = self._beside.__enter__()
        try:
            self.laboratory.start()
            shutil.copytree(tiny_image, self.laboratory.controller.state / "tiny", dirs_exist_ok=True)
            self.laboratory.ask("image", "build-tiny")
            self.ec2: Any = client(self.laboratory.environ())
            self.key = self.laboratory.directory / "test.pem"
            self.key.touch(mode=0o600)
            self.key.write_text(self.ec2.create_key_pair(KeyName="test", KeyType="ed25519")["KeyMaterial"])
        except BaseException:
            self.stop()
            raise
        for protocol, low, high in (("tcp", 22, 22), ("icmp", -1, -1)):
            self.ec2.authorize_security_group_ingress(
                GroupName="default", IpProtocol=protocol, FromPort=low, ToPort=high, CidrIp="0.0.0.0/0"
            )

    def stop(self) -> None:
        self.laboratory.stop()
        self._beside.__exit__(None, None, None)

    def run(self, zone: str, *, encrypted: bool = False, image: str = "") -> str:
        image = image or self.ec2.describe_images()["Images"][0]["ImageId"]
        kind = {"ImageId": image, "InstanceType": "m1.tiny", "KeyName": "test", "MinCount": 1, "MaxCount": 1}
        root = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": encrypted}}
        made = self.ec2.run_instances(**kind, Placement={"AvailabilityZone": zone}, BlockDeviceMappings=[root])
        return str(made["Instances"][0]["InstanceId"])

    def look(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
        return found

    def wait(self, id: str, state: str, seconds: float = 90) -> None:
        until(lambda: self.look(id)["State"]["Name"] == state, seconds, f"{id} to be {state}")

    def volume(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]
        return found

    def shell(self, id: str, command: str, timeout: float = 30) -> str:
        return ssh(self.key, self.look(id)["PublicIpAddress"], command, timeout=timeout)

    @contextmanager
    def listening(self, id: str) -> Iterator[list[float]]:
        """When each word of a guest was heard that speaks twenty times a second, over one connection of SSH."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        speak = "while echo word; do sleep 0.05; done"
        words = ["ssh", *options, "-i", str(self.key), f"root@{self.look(id)['PublicIpAddress']}", speak]
        inside = ["ip", "netns", "exec", underlay.WORLD]
        heard: list[float] = []
        with subprocess.Popen([*inside, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as session:
            assert session.stdout is not None
            lines = session.stdout
            listener = threading.Thread(target=lambda: heard.extend(time.monotonic() for _ in lines), daemon=True)
            listener.start()
            try:
                until(lambda: bool(heard), 30, "the guest to speak")
                yield heard
            finally:
                session.kill()

    def answers(self, id: str) -> bool:
        try:
            return self.shell(id, "echo here") == "here\n"
        except Failure:
            return False

    def wait_for_ssh(self, id: str, seconds: float = 90) -> None:
        until(lambda: self.answers(id), seconds, f"{id} to answer SSH")

    def boot(self, id: str) -> str:
        """Another one after each start of the guest."""
        return self.shell(id, "cat /proc/sys/kernel/random/boot_id")

    def has_booted_since(self, id: str, boot: str) -> bool:
        """Whether it answers, in a later start; a guest that goes down may hang up on us."""
        try:
            return self.boot(id) != boot
        except Failure:
            return False


def export_daemon(host: str) -> int:
    """The process that exports a host's volumes."""
    (found,) = _processes(host, "qemu-storage")
    return found


def guests_of(host: str) -> list[int]:
    """The processes of the guests that a host runs."""
    return _processes(host, "qemu-system")


def _processes(host: str, name: str) -> list[int]:
    found = []
    for pid in run(["ip", "netns", "pids", host]).stdout.split():
        with suppress(FileNotFoundError):
            if name in Path(f"/proc/{pid}/comm").read_text():
                found.append(int(pid))
    return found
