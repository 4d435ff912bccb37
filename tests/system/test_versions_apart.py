"""A rolling upgrade for real: the program of another commit on one side of RabbitMQ, this one on the other.

`PREVIOUS=commit` says of which; without it, of the one before.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rabbitmq import VirtualHost
from support.roles_apart import Apart, await_state, launch, until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PREVIOUS = os.environ.get("PREVIOUS", "HEAD~1")


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """Where the program of the other commit is."""
    words = ["git", "-C", str(ROOT), "archive", PREVIOUS, "src"]
    done = subprocess.run(words, capture_output=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"this checkout has no {PREVIOUS}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(tmp_path / "previous", filter="data")
    return tmp_path / "previous" / "src"


@pytest.fixture
def apart(tmp_path: Path, vhost: VirtualHost) -> Iterator[Apart]:
    made = Apart(tmp_path, vhost)
    yield made
    made.stop()


@pytest.mark.parametrize("older", ["h1", "c1"])
def test_a_controller_and_a_host_work_together_whichever_is_upgraded_first(
    apart: Apart, previous: Path, older: str
) -> None:
    if older == "c1" and _other_steps(previous):
        pytest.skip(f"{', '.join(_other_steps(previous))} is not as it was in {PREVIOUS}: it has not been released")
    apart.sources[older] = previous
    apart.start_controller()
    apart.join("h1")
    until(lambda: apart.services().get("compute.h1"), "the host")
    ec2 = apart.ec2()
    until(lambda: ec2.describe_images()["Images"][0]["State"] == "available", "the image")
    ids = launch(ec2, 1)
    await_state(ec2, ids, "running")
    attached = _attach(ec2, ids[0])
    del apart.sources[older]  # what was one apart is upgraded, while the guest runs
    apart.kill(older)
    apart.start_controller() if older == "c1" else apart.start(older)
    ec2 = apart.ec2()
    assert apart.guests("h1") == set(ids)
    ec2.stop_instances(InstanceIds=ids, Force=True)
    await_state(ec2, ids, "stopped")
    ec2.start_instances(InstanceIds=ids)
    await_state(ec2, ids, "running")
    assert apart.guests("h1") == set(ids)
    ec2.terminate_instances(InstanceIds=ids)
    await_state(ec2, ids, "terminated")
    until(lambda: _state(ec2, attached) == "available", "the volume")
    assert not apart.guests("h1")


@pytest.mark.parametrize("older", ["h1", "c1"])
def test_the_whole_life_of_an_instance_with_one_of_the_two_not_upgraded(
    apart: Apart, previous: Path, older: str
) -> None:
    apart.sources[older] = previous
    apart.start_controller()
    apart.join("h1")
    until(lambda: apart.services().get("compute.h1"), "the host")
    ec2 = apart.ec2()
    until(lambda: ec2.describe_images()["Images"][0]["State"] == "available", "the image")
    ids = launch(ec2, 2)
    await_state(ec2, ids, "running")
    attached = _attach(ec2, ids[0])
    ec2.detach_volume(VolumeId=attached)
    until(lambda: _state(ec2, attached) == "available", "the volume")
    ec2.delete_volume(VolumeId=attached)
    ec2.stop_instances(InstanceIds=ids[:1], Force=True)
    await_state(ec2, ids[:1], "stopped")
    ec2.terminate_instances(InstanceIds=ids)
    await_state(ec2, ids, "terminated")
    assert not apart.guests("h1")


def _other_steps(previous: Path) -> list[str]:
    """Steps of the schema that both have, and not the same: `db sync` does not lead from one to the other."""
    steps = "cumulet/model/migrations/versions/*.py"
    now = {path.name: path.read_bytes() for path in (ROOT / "src").glob(steps)}
    return [path.name for path in previous.glob(steps) if now.get(path.name, b"") != path.read_bytes()]


def _attach(ec2: Any, instance: str) -> str:
    id = str(ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"])
    until(lambda: _state(ec2, id) == "available", "the volume")
    ec2.attach_volume(VolumeId=id, InstanceId=instance, Device="/dev/sdf")
    until(lambda: _attachment(ec2, id) == "attached", "the attachment")
    return id


def _state(ec2: Any, volume: str) -> str:
    return str(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"])


def _attachment(ec2: Any, volume: str) -> str:
    (found,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]
    return str(found["State"])
