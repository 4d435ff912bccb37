"""The roles in processes of their own, with RabbitMQ between them: machines join, serve, are lost, and come back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rabbitmq import ADMINISTRATOR, VirtualHost

from cumulet.demo.process import client

CUMULET = [sys.executable, "-m", "cumulet"]


def until(holds: Callable[[], Any], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


class Apart:
    """A controller with api and scheduler, and hosts with fake drivers, each a process over a directory of its own."""

    def __init__(self, directory: Path, vhost: VirtualHost) -> None:
        self.directory = directory
        self.broker = f"127.0.0.1:{vhost.rabbitmq.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (directory / "c1.toml").write_text(
            f'host_name = "c1"\nroles = ["api", "scheduler"]\nstate_dir = "{directory}/c1"\nlisten = "127.0.0.1:0"\n'
            f'bus_url = "{vhost.url}"\nimage_dir = "{directory}/images"\ndrivers = "fake"\ntest = true\n'
            f'bus_admin_url = "http://{ADMINISTRATOR}@127.0.0.1:{vhost.rabbitmq.management_port}"\n'
            "vcpu_overcommit = 100.0\n"
        )

    def command(self, *words: str, status: int = 0) -> str:
        done = subprocess.run([*CUMULET, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr + done.stdout
        return done.stdout + done.stderr

    def ask(self, *words: str) -> str:
        """A command of the controller."""
        return self.command(*words, "--config", str(self.directory / "c1.toml"))

    def start(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            words = [*CUMULET, "up", "--config", str(self.directory / f"{name}.toml")]
            self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log)

    def start_controller(self) -> None:
        (self.directory / "c1" / "endpoint").unlink(missing_ok=True)
        self.start("c1")
        until((self.directory / "c1" / "endpoint").exists, "the api to answer")

    @property
    def url(self) -> str:
        return (self.directory / "c1" / "endpoint").read_text().strip()

    def ticket(self, name: str) -> str:
        said = self.ask("host", "add", name, "--url", self.url, "--bus", self.broker)
        found = re.search(r"cumulet join \S+ (\S+)", said)
        assert found is not None
        return found[1]

    def join(self, name: str) -> None:
        place = ["--config", str(self.directory / f"{name}.toml"), "--state-dir", str(self.directory / name)]
        own = ["--set", "drivers=fake", "--set", "test=true"]
        self.command("join", self.url, self.ticket(name), *place, *own, "--no-serve")
        self.start(name)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(30)

    def services(self) -> dict[str, bool]:
        """Whether each is alive, by ROLE.HOST."""
        return {
            f"{one['binary']}.{one['host']}": one["alive"] for one in json.loads(self.ask("service", "list", "--json"))
        }

    def ec2(self) -> Any:
        return client(json.loads(self.ask("env", "--json")))

    def guests(self, name: str) -> set[str]:
        """What runs on a host."""
        return {path.stem for path in (self.directory / name / "world" / "domain").glob("i-*.json")}


@pytest.fixture
def apart(tmp_path: Path, vhost: VirtualHost) -> Iterator[Apart]:
    made = Apart(tmp_path, vhost)
    made.start_controller()
    yield made
    made.stop()
    for log in sorted(tmp_path.glob("*.log")):  # shown where the test has failed
        sys.stdout.write(f"--- {log.name}\n{log.read_text()[-8000:]}\n")


def launch(ec2: Any, count: int) -> list[str]:
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, InstanceType="t2.nano", MinCount=count, MaxCount=count)
    return [one["InstanceId"] for one in made["Instances"]]


def await_state(ec2: Any, ids: list[str], state: str, seconds: float = 60) -> None:
    def told() -> list[tuple[str, str]]:
        found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return [
            (one["State"]["Name"], one.get("StateReason", {}).get("Message", ""))
            for reservation in found
            for one in reservation["Instances"]
        ]

    end = time.monotonic() + seconds
    while {name for name, _ in told()} != {state}:
        assert time.monotonic() < end, f"waited {seconds} s for {ids} to be {state}: {told()}"
        time.sleep(0.1)


def test_machines_join_serve_are_lost_and_come_back(apart: Apart) -> None:
    apart.join("h1")
    apart.join("h2")
    alive = {f"{role}.{host}" for host in ("h1", "h2") for role in ("compute", "network", "volume", "image")}
    until(lambda: {name for name, up in apart.services().items() if up} == {*alive, "api.c1", "scheduler.c1"}, "all")
    ec2 = apart.ec2()
    until(lambda: ec2.describe_images()["Images"][0]["State"] == "available", "the image")
    ids = launch(ec2, 4)
    await_state(ec2, ids, "running")
    assert apart.guests("h1") | apart.guests("h2") == set(ids)
    assert apart.guests("h1") and apart.guests("h2")

    lost = apart.guests("h1")
    apart.kill("h1")
    ec2.terminate_instances(InstanceIds=ids)
    await_state(ec2, sorted(set(ids) - lost), "terminated")
    until(lambda: not apart.services()["compute.h1"], "the lost host to be seen as lost", 30)
    apart.kill("c1")
    apart.start_controller()
    apart.start("h1")
    await_state(apart.ec2(), ids, "terminated")
    assert not apart.guests("h1") | apart.guests("h2")


def test_a_ticket_is_good_once_and_for_its_own_host_alone(apart: Apart) -> None:
    ticket = apart.ticket("h1")
    place = ["--config", str(apart.directory / "h1.toml"), "--state-dir", str(apart.directory / "h1")]
    own = ["--set", "drivers=fake", "--no-serve"]
    id, key = ticket.split(".")
    other = apart.ticket("h2").partition(".")[2]
    assert "not whole" in apart.command("join", apart.url, id, *place, *own, status=1)
    assert "not what was sealed" in apart.command("join", apart.url, f"{id}.{other}", *place, *own, status=1)
    assert "not good" in apart.command("join", apart.url, ticket, *place, *own, status=1)
    assert not (apart.directory / "h1.toml").exists()
    apart.command("join", apart.url, apart.ticket("h1"), *place, *own)
    written = apart.directory / "h1.toml"
    assert written.stat().st_mode & 0o777 == 0o600
    assert key not in written.read_text()


def test_a_host_that_was_removed_is_not_heard_any_more(apart: Apart) -> None:
    apart.join("h1")
    until(lambda: apart.services().get("compute.h1"), "the host")
    ec2 = apart.ec2()
    until(lambda: ec2.describe_images()["Images"][0]["State"] == "available", "the image")
    ids = launch(ec2, 1)
    await_state(ec2, ids, "running")
    words = ["host", "remove", "h1", "--config", str(apart.directory / "c1.toml")]
    assert ids[0] in apart.command(*words, status=1)
    ec2.terminate_instances(InstanceIds=ids)
    await_state(ec2, ids, "terminated")
    apart.command(*words)
    time.sleep(6)  # a heartbeat is due within five seconds
    assert "compute.h1" not in apart.services()


def test_roles_apart_without_a_bus_are_refused(tmp_path: Path) -> None:
    environ = {**os.environ, "CUMULET_ROLES": "api", "CUMULET_STATE_DIR": str(tmp_path)}
    done = subprocess.run([*CUMULET, "up"], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "roles apart need RabbitMQ" in done.stderr
