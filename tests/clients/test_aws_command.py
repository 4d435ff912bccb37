"""The `aws` command, unmodified, with nothing but what `cumulet env` exports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cumulet import testing

AWS = Path(sys.executable).with_name("aws")


class Aws:
    """One home directory without any configuration of AWS's."""

    def __init__(self, environ: dict[str, str], home: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environ = {**clean, **environ, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}

    def __call__(self, *arguments: str) -> Any:
        done = self._run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refusal(self, *arguments: str) -> str:
        """What it says when the cloud refuses."""
        done = self._run(*arguments)
        assert done.returncode != 0
        return done.stderr.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(AWS), *arguments, "--output", "json"]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with testing.cloud() as cloud:
        yield Aws(cloud.environ, tmp_path_factory.mktemp("home"))


def test_who_am_i(aws: Aws) -> None:
    found = aws("sts", "get-caller-identity")
    assert found["Arn"] == f"arn:aws:iam::{found['Account']}:root"


def test_an_afternoon_with_the_aws_command(aws: Aws, tmp_path: Path) -> None:
    key = aws("ec2", "create-key-pair", "--key-name", "k", "--key-type", "ed25519")
    assert "PRIVATE KEY" in key["KeyMaterial"]
    open_ssh = ["--group-name", "default", "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0"]
    assert aws("ec2", "authorize-security-group-ingress", *open_ssh)["Return"]
    image = aws("ec2", "describe-images", "--owners", "self")["Images"][0]["ImageId"]
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\necho hello\n")
    options = ["--image-id", image, "--instance-type", "t3.micro", "--key-name", "k", "--user-data", f"file://{script}"]
    tags = ["--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=web}]"]
    id = aws("ec2", "run-instances", *options, *tags)["Instances"][0]["InstanceId"]
    aws("ec2", "wait", "instance-running", "--instance-ids", id)
    address = aws("ec2", "allocate-address")
    aws("ec2", "associate-address", "--allocation-id", address["AllocationId"], "--instance-id", id)
    found = aws("ec2", "describe-instances", "--filters", "Name=tag:Name,Values=web")["Reservations"][0]["Instances"][0]
    assert found["PublicIpAddress"] == address["PublicIp"]
    assert "start 1" in aws("ec2", "get-console-output", "--instance-id", id)["Output"]
    aws("ec2", "stop-instances", "--instance-ids", id)
    aws("ec2", "wait", "instance-stopped", "--instance-ids", id)
    aws("ec2", "terminate-instances", "--instance-ids", id)
    aws("ec2", "wait", "instance-terminated", "--instance-ids", id)
    aws("ec2", "release-address", "--allocation-id", address["AllocationId"])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["describe-instances", "--instance-ids", "i-0123456789abcdef0"], "InvalidInstanceID.NotFound"),
        (["describe-instances", "--instance-ids", "web"], "InvalidInstanceID.Malformed"),
        (["run-instances", "--image-id", "ami-0123456789abcdef0"], "InvalidAMIID.NotFound"),
        (["delete-security-group", "--group-name", "default"], "CannotDelete"),
        (["describe-vpcs", "--filters", "Name=colour,Values=red"], "InvalidParameterValue"),
        (["create-vpc", "--cidr-block", "10.0.0.0/16"], "UnsupportedOperation"),
        (["describe-regions", "--dry-run"], "DryRunOperation"),
    ],
)
def test_a_mistake_is_answered_with_awss_code_and_at_once(aws: Aws, command: list[str], code: str) -> None:
    assert f"({code})" in aws.refusal("ec2", *command)
