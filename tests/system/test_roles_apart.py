"""The roles in processes of their own, with RabbitMQ between them: machines join, serve, are lost, and come back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rabbitmq import VirtualHost
from support.roles_apart import CUMULET, Apart, await_state, launch, until


@pytest.fixture
def apart(tmp_path: Path, vhost: VirtualHost) -> Iterator[Apart]:
    made = Apart(tmp_path, vhost)
    made.start_controller()
    yield made
    made.stop()
    for log in sorted(tmp_path.glob("*.log")):  # shown where the test has failed
        sys.stdout.write(f"--- {log.name}\n{log.read_text()[-8000:]}\n")


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
