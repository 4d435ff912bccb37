"""`cumulet up --drivers fake --test` as a process, and the commands that talk to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cumulet.testing import RunningCloud, cloud

pytest_plugins = ["cumulet.testing.fixtures"]


def command(state: Path, *words: str, status: int = 0) -> str:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CUMULET_")}
    line = [sys.executable, "-m", "cumulet", *words, "--state-dir", str(state)]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.01)


def launch(ec2: Any, number: int = 1) -> list[str]:
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, MinCount=number, MaxCount=number, InstanceType="m1.tiny")
    return [instance["InstanceId"] for instance in made["Instances"]]


def states(ec2: Any) -> list[str]:
    found = ec2.describe_instances()["Reservations"]
    return [instance["State"]["Name"] for one in found for instance in one["Instances"]]


def test_an_instance_runs_and_the_next_test_does_not_see_it(cumulet_cloud: RunningCloud) -> None:
    ec2 = cumulet_cloud.client("ec2")
    launch(ec2)
    until(lambda: states(ec2) == ["running"])
    ec2.create_key_pair(KeyName="mine")
    cumulet_cloud.reset()
    assert states(ec2) == []
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1
    launch(ec2)
    until(lambda: states(ec2) == ["running"])


def test_the_fixture_gives_an_empty_cloud(cumulet_cloud: RunningCloud) -> None:
    ec2 = cumulet_cloud.client("ec2")
    assert states(ec2) == []
    assert [image["Name"] for image in ec2.describe_images()["Images"]] == ["cumulet-tiny"]


def test_this_machine_does_not_limit_how_many_run(cumulet_cloud: RunningCloud) -> None:
    ec2 = cumulet_cloud.client("ec2")
    number = 4 * (os.cpu_count() or 1) + 2
    launch(ec2, number)
    until(lambda: states(ec2) == ["running"] * number)


def test_a_reset_in_the_midst_of_a_launch_leaves_nothing(cumulet_cloud: RunningCloud) -> None:
    ec2 = cumulet_cloud.client("ec2")
    launch(ec2, 20)
    cumulet_cloud.reset()
    assert states(ec2) == []
    launch(ec2)
    until(lambda: states(ec2) == ["running"])


def test_its_environment_is_that_of_the_aws_command(cumulet_cloud: RunningCloud) -> None:
    assert cumulet_cloud.environ == {
        "AWS_ACCESS_KEY_ID": cumulet_cloud.access_key,
        "AWS_SECRET_ACCESS_KEY": cumulet_cloud.secret_key,
        "AWS_REGION": cumulet_cloud.region,
        "AWS_DEFAULT_REGION": cumulet_cloud.region,
        "AWS_ENDPOINT_URL": cumulet_cloud.url,
    }


def test_a_cloud_takes_settings_and_ends_with_its_block() -> None:
    with cloud(region="eu-west-1") as running:
        zones = running.client("ec2").describe_availability_zones()["AvailabilityZones"]
        assert [zone["ZoneName"] for zone in zones] == ["eu-west-1a", "eu-west-1b"]
        url = running.url
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/_cumulet/health", timeout=5)


_USES_A_CLOUD = """
import sys, time
from cumulet import testing
with testing.cloud() as cloud:
    print(cloud.url, flush=True)
    time.sleep(60)
"""


def test_a_cloud_ends_with_the_process_that_uses_it_however_that_ends(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    user = subprocess.Popen([sys.executable, "-c", _USES_A_CLOUD], stdout=subprocess.PIPE, text=True, env=environ)
    assert user.stdout is not None
    url = user.stdout.readline().strip()
    assert answers(url)
    user.kill()
    user.wait()
    until(lambda: not answers(url))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_cumulet/health", timeout=5):
            return True
    except OSError:
        return False


def test_a_cloud_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="the setting threads is 'many'"), cloud(threads="many"):
        pass


def test_the_commands_find_the_running_cloud(tmp_path: Path) -> None:
    state = tmp_path / "state"
    line = [sys.executable, "-m", "cumulet", "up", "--drivers", "fake", "--test", "--listen", "127.0.0.1:0"]
    environ = {**os.environ, "CUMULET_REGION": "eu-west-1"}
    process = subprocess.Popen([*line, "--state-dir", str(state)], env=environ, stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: (state / "endpoint").exists() or process.poll() is not None, 30)
        found = json.loads(command(state, "status", "--json"))
        assert (found["running"], found["pid"]) == (True, process.pid)
        exported = json.loads(command(state, "env", "--json"))
        assert (exported["AWS_ENDPOINT_URL"], exported["AWS_REGION"]) == (found["url"], "eu-west-1")
        assert "runs for" in command(state, "up", "--drivers", "fake", status=1)
        taken = ["--drivers", "fake", "--listen", found["url"].removeprefix("http://")]
        said = command(tmp_path / "other", "up", *taken, status=1)
        assert (said.count("\n"), "choose another with --listen" in said) == (1, True)
        for id in ("not an id", "../é"):
            assert f"cumulet: {id} is not the id of an instance" in command(state, "explain", id, status=1)
        disk = tmp_path / "disk.raw"
        disk.write_bytes(b"x")
        assert "is available" in command(state, "image", "import", str(disk))
        assert "the cloud has ended" in command(state, "down")
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert f"ready at {found['url']}" in process.stdout.read()
        assert not (state / "endpoint").exists()
        command(state, "status", status=3)
        assert "no cloud runs" in command(state, "down")
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None


def test_a_database_that_does_not_answer_is_one_line_without_its_password(tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text('database_url = "postgresql+psycopg://me:geheim@127.0.0.1:1/cloud"\ndrivers = "fake"\n')
    said = command(tmp_path / "state", "up", "--config", str(file), status=1)
    assert said.startswith("cumulet: the database postgresql+psycopg://me:***@127.0.0.1:1/cloud: connection failed")
    assert said.count("\n") == 1


def test_the_plugin_costs_pytest_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import cumulet.testing; print(len(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = "import sys, cumulet.testing; print(sorted({'boto3', 'sqlalchemy', 'pytest', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert int(loaded.stdout) < 150
