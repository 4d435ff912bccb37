"""What a user does in an afternoon, with boto3 and ssh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cumulet.demo.process import WORLD_ADDRESS, client, in_world, ssh, until
from cumulet.demo.report import shown, step
from cumulet.lib.errors import Failure

_IN_GUEST = (
    "echo I am $(hostname), $(imds /latest/meta-data/instance-id), a $(imds /latest/meta-data/instance-type) "
    "at $(imds /latest/meta-data/local-ipv4) and $(imds /latest/meta-data/public-ipv4); "
    "echo my user data: $(imds /latest/user-data | tail -1)"
)


class User:
    """Signs with the keys of `environ`; keeps the private key below `directory`."""

    def __init__(self, environ: dict[str, str], directory: Path) -> None:
        self._ec2: Any = client(environ)
        self._key = directory / "demo.pem"
        self._instance = ""
        self._address: dict[str, str] = {}

    def do_everything(self) -> None:
        """From no key to a terminated instance; raises when a step does not do what it should."""
        with step("create a key pair"):
            self._create_key()
        with step("open TCP 22 and ICMP in the default group"):
            self._open_group()
        with step("run an instance (m1.tiny) until it is running"):
            self._run()
        with step("allocate a public address and associate it"):
            self._associate()
        with step("until the guest answers SSH at it, from the outside world"):
            self._wait_for_ssh()
        with step("log in and read the metadata"):
            shown(self._ssh(_IN_GUEST))
        with step("reach the outside world from the guest"):
            self._ssh(f"ping -c 1 -W 5 {WORLD_ADDRESS}")
        with step("ping the guest from the outside world"):
            in_world("ping", "-c", "1", "-W", "5", self._address["PublicIp"])
        with step("show the console output"):
            shown(self._console(), 6)
        with step("reboot, until it answers SSH again"):
            self._reboot()
        with step("stop"):
            self._ec2.stop_instances(InstanceIds=[self._instance])
            self._wait("stopped")
        with step("start, until it answers SSH again"):
            self._ec2.start_instances(InstanceIds=[self._instance])
            self._wait("running")
            self._wait_for_ssh()
        with step("terminate, and release the address"):
            self._terminate()

    def _create_key(self) -> None:
        key = self._ec2.create_key_pair(KeyName="demo", KeyType="ed25519")
        self._key.touch(mode=0o600)
        self._key.write_text(key["KeyMaterial"])

    def _open_group(self) -> None:
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        icmp = {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self._ec2.authorize_security_group_ingress(GroupName="default", IpPermissions=[ssh, icmp])

    def _run(self) -> None:
        image = self._ec2.describe_images(Filters=[{"Name": "name", "Values": ["cumulet-tiny"]}])["Images"][0]
        made = self._ec2.run_instances(
            ImageId=image["ImageId"],
            InstanceType="m1.tiny",
            MinCount=1,
            MaxCount=1,
            KeyName="demo",
            UserData="#!/bin/sh\necho the user data has been run",
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "demo"}]}],
        )
        self._instance = made["Instances"][0]["InstanceId"]
        self._wait("running")

    def _associate(self) -> None:
        self._address = self._ec2.allocate_address(Domain="vpc")
        self._ec2.associate_address(AllocationId=self._address["AllocationId"], InstanceId=self._instance)

    def _reboot(self) -> None:
        before = self._ssh("cat /proc/sys/kernel/random/boot_id")
        self._ec2.reboot_instances(InstanceIds=[self._instance])
        until(lambda: self._try_ssh("cat /proc/sys/kernel/random/boot_id") not in ("", before), 90, "a new boot")

    def _terminate(self) -> None:
        self._ec2.terminate_instances(InstanceIds=[self._instance])
        self._wait("terminated")
        self._ec2.release_address(AllocationId=self._address["AllocationId"])

    def _console(self) -> str:
        def read() -> str:
            answer = self._ec2.get_console_output(InstanceId=self._instance, Latest=True)
            return str(answer.get("Output", ""))

        until(lambda: "ready" in read(), 20, "the console to say that the guest is ready")
        return read()

    def _wait(self, state: str) -> None:
        def there() -> bool:
            found = self._ec2.describe_instances(InstanceIds=[self._instance])["Reservations"][0]["Instances"][0]
            if state == "running" and found["State"]["Name"] in ("shutting-down", "terminated"):
                raise Failure(f"the instance is {found['State']['Name']}: {found.get('StateReason', {})}")
            return bool(found["State"]["Name"] == state)

        until(there, 90, f"the instance to be {state}")

    def _wait_for_ssh(self) -> None:
        until(lambda: self._try_ssh("echo here") == "here\n", 90, "SSH to answer")

    def _try_ssh(self, command: str) -> str:
        try:
            return self._ssh(command)
        except Failure:
            return ""

    def _ssh(self, command: str) -> str:
        return ssh(self._key, self._address["PublicIp"], command)
