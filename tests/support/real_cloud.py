"""A cloud with real drivers inside a private host, and somebody who uses it: for the system tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cumulet.demo.process import CloudProcess, client, make_world, ssh, until
from cumulet.lib.errors import Failure
from cumulet.lib.private_host import SCRATCH_VARIABLE


class RealCloud:
    """`cumulet up` beside a namespace that plays the world; the tiny image is there."""

    def __init__(self, tiny_image: Path, directory: Path | None = None, **settings: str) -> None:
        make_world()
        self.process = CloudProcess((directory or Path(os.environ[SCRATCH_VARIABLE])) / "cloud", **settings)
        self.process.start()
        self.process.take_in_tiny(tiny_image)
        self.admin = Tenant(self, self.process.environ())

    def tenant(self, name: str) -> Tenant:
        """Somebody else, with an account of their own."""
        self.process.command("account", "create", name)
        return Tenant(self, self.process.environ(name))


class Tenant:
    """An account with a key pair, and SSH and ping open in its default group."""

    def __init__(self, cloud: RealCloud, environ: dict[str, str]) -> None:
        self.environ = environ
        self.ec2: Any = client(environ)
        self.key = cloud.process.state / f"{environ['AWS_ACCESS_KEY_ID']}.pem"
        self.key.touch(mode=0o600)
        self.key.write_text(self.ec2.create_key_pair(KeyName="test", KeyType="ed25519")["KeyMaterial"])
        self.open("tcp", 22, 22)
        self.open("icmp", -1, -1)

    def open(self, protocol: str, low: int, high: int) -> None:
        self.ec2.authorize_security_group_ingress(
            GroupName="default", IpProtocol=protocol, FromPort=low, ToPort=high, CidrIp="0.0.0.0/0"
        )

    def run(self, image: str = "cumulet-tiny", **parameters: Any) -> str:
        """The id of an instance that is running."""
        id = self.launch(image, **parameters)
        self.wait(id, "running")
        return id

    def launch(self, image: str = "cumulet-tiny", **parameters: Any) -> str:
        """The id of an instance that was asked for."""
        given = {"ImageId": self.image(image), "InstanceType": "m1.tiny", "KeyName": "test"}
        made = self.ec2.run_instances(**{**given, "MinCount": 1, "MaxCount": 1, **parameters})
        id: str = made["Instances"][0]["InstanceId"]
        return id

    def image(self, name: str) -> str:
        """The id of an image by its name."""
        id: str = self.ec2.describe_images(Filters=[{"Name": "name", "Values": [name]}])["Images"][0]["ImageId"]
        return id

    def look(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
        return found

    def wait(self, id: str, state: str, seconds: float = 60) -> None:
        until(lambda: self.look(id)["State"]["Name"] == state, seconds, f"{id} to be {state}: {self.look(id)}")

    def wait_for_ssh(self, id: str, seconds: float = 60) -> None:
        until(lambda: self.answers(id), seconds, f"{id} to answer SSH")

    def answers(self, id: str) -> bool:
        try:
            return self.ssh(id, "echo here") == "here\n"
        except Failure:
            return False

    def ssh(self, id: str, command: str, user: str = "root") -> str:
        return ssh(self.key, self.look(id)["PublicIpAddress"], command, user)

    def terminate(self, *ids: str) -> None:
        self.ec2.terminate_instances(InstanceIds=list(ids))
        for id in ids:
            self.wait(id, "terminated")
