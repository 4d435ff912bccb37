"""`cumulet host` and `cumulet placement`, of a cloud that runs and of one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from support.commands import Run, answered
from support.launching import launched, shown
from support.tested_cloud import TestedCloud


def test_hosts_are_listed_with_what_they_have_promised(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    launched(cloud, ec2, InstanceType="t2.micro")
    (host,) = answered(run, "host", "list")
    assert (host["name"], host["zones"], host["enabled"], host["alive"]) == (
        "h1",
        ["us-east-1a", "us-east-1b"],
        True,
        True,
    )
    assert host["used"] == {"vcpus": 1, "memory_mib": 1024, "disk_gib": 1}
    line = run("host", "list").stdout.splitlines()[1]
    assert "h1" in line
    assert f"1 of {host['limit']['vcpus']:g}" in line


def test_a_host_is_disabled_and_enabled_again(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    assert answered(run, "host", "disable", "h1")[0]["enabled"] is False
    services = {row["binary"]: row["enabled"] for row in answered(run, "service", "list")}
    assert (services["compute"], services["network"]) == (False, True)
    assert shown(ec2, launched(cloud, ec2))["State"]["Name"] == "terminated"
    assert "enabled" in run("host", "enable", "h1").stdout
    assert shown(ec2, launched(cloud, ec2))["State"]["Name"] == "running"


def test_attributes_are_set_and_taken_away(cloud: TestedCloud, run: Run) -> None:
    admin = cloud.admin.id
    assert answered(run, "host", "set", "h1", "ssd=true", "dedicated_to=admin")[0]["attributes"] == {
        "ssd": "true",
        "dedicated_to": admin,
    }
    assert answered(run, "host", "set", "h1", "ssd=", f"dedicated_to={admin}")[0]["attributes"] == {
        "dedicated_to": admin
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["disable", "h9"], "there is no host h9 with a compute service; there are: h1"),
        (["set", "h9", "a=b"], "there is no host h9"),
        (["set", "h1", "ssd"], "'ssd' is not KEY=VALUE, such as ssd=true"),
        (["set", "h1", "two words=b"], "'two words' cannot be an attribute"),
        (["set", "h1", f"a={'b' * 129}"], "would have 129 characters; 128 is the most"),
        (["set", "h1", "dedicated_to=nobody"], "there is no account nobody"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(run: Run, words: list[str], said: str) -> None:
    done = run("host", *words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_why_shows_each_host_with_its_reason(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    id = launched(cloud, ec2)
    lines = run("placement", "why", id).stdout.splitlines()
    assert lines[0].startswith(f"{id} (running) is a m1.tiny in us-east-1a: 1 vCPUs, 512 MiB of memory")
    assert lines[1].startswith("it is on h1: spread: of the hosts that would do, it had most memory left")
    assert "it is here; yes" in lines[-1]
    large = launched(cloud, ec2, InstanceType="m5.24xlarge")
    said = run("placement", "why", large).stdout
    assert "Server.InsufficientInstanceCapacity: There is no room for a m5.24xlarge" in said
    assert "no: it has" in said


def test_why_of_what_is_not_there_says_so(run: Run) -> None:
    assert "there is no instance i-0123" in run("placement", "why", "i-0123").stderr
