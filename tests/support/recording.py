"""What the processes of a cloud say to one another, and keep on hosts, written down for the programs after this one.

    make record-contract        tests/contract/versions/contract-N.json, of the contract that this program has

A cloud of two hosts with fake drivers goes through the life of two instances, volumes, a snapshot and an image.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from support.launching import one_of
from support.more_hosts import add_host
from support.shapes import Shapes, differences, shapes
from support.tested_cloud import TestedCloud

from cumulet.bus.memory import MemoryBus
from cumulet.lib.contract import CONTRACT
from cumulet.services import Host

DIRECTORY = Path(__file__).parent.parent / "contract" / "versions"
ZONE = "us-east-1a"
HOSTS = ("h1", "h2")


class Said(msgspec.Struct, frozen=True):
    """A question on the bus, and its answer, as they were."""

    topic: str
    message: str
    answer: str


class Record(msgspec.Struct, frozen=True):
    """`documents` are those in the midst of it, after so many questions (`halfway`), by host, role and id."""

    contract: int
    shapes: Shapes
    said: list[Said]
    halfway: int
    documents: dict[str, dict[str, dict[str, str]]]


def kept(contract: int) -> Record | None:
    """What was recorded of that contract."""
    path = DIRECTORY / f"contract-{contract}.json"
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else None


class RecordingBus(MemoryBus):
    """Writes down what is asked, and what is answered; the same question with the same answer once."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[Said, None] = {}

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        answer = super().call(topic, message, timeout)
        self.said[Said(topic, message.decode(), answer.decode())] = None
        return answer


def record(directory: Path) -> Record:
    """Of this program, now."""
    bus = RecordingBus()
    cloud = TestedCloud(directory, bus=bus, tunnel_address="192.0.2.1")
    try:
        second = add_host(cloud, "h2", tunnel_address="192.0.2.2")
        hosts = {"h1": cloud.cloud.host, "h2": second}
        ids = _begin(cloud, hosts)
        halfway = len(_telling(list(bus.said)))
        documents = {
            name: {role: _documents(agent.documents) for role, agent in host.agents.items()}
            for name, host in hosts.items()
        }
        _end(cloud, *ids)
    finally:
        cloud.stop()
    return Record(CONTRACT, shapes(), _telling(list(bus.said)), halfway, documents)


def _begin(cloud: TestedCloud, hosts: dict[str, Host]) -> tuple[str, str, str]:
    """Two instances, on a host each, and a volume of the one that is attached to the other."""
    ec2 = cloud.client()

    def done(answer: dict[str, Any]) -> dict[str, Any]:
        cloud.settle()
        return answer

    def host_of(id: str) -> str:
        return next(name for name, host in hosts.items() if id in host.agents["compute"].documents.living())

    mapping = [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 2}}]
    for host in hosts.values():
        host.heartbeat.beat()
    made = done(ec2.run_instances(**{**one_of(cloud), "MinCount": 2, "MaxCount": 2}, BlockDeviceMappings=mapping))
    first, second = sorted((one["InstanceId"] for one in made["Instances"]), key=host_of)
    done(ec2.associate_address(InstanceId=first, AllocationId=ec2.allocate_address()["AllocationId"]))
    volume = done(ec2.create_volume(AvailabilityZone=ZONE, Size=1))["VolumeId"]
    snapshot = done(ec2.create_snapshot(VolumeId=volume))["SnapshotId"]
    copy = done(ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot))["VolumeId"]
    for id, device in ((volume, "/dev/sdf"), (copy, "/dev/sdg")):
        done(ec2.attach_volume(VolumeId=id, InstanceId=second, Device=device))
    return first, second, volume


def _end(cloud: TestedCloud, first: str, second: str, volume: str) -> None:
    ec2 = cloud.client()
    acts: list[tuple[Any, dict[str, Any]]] = [
        (ec2.detach_volume, {"VolumeId": volume}),
        (ec2.reboot_instances, {"InstanceIds": [second]}),
        (ec2.stop_instances, {"InstanceIds": [first], "Force": True}),
        (ec2.start_instances, {"InstanceIds": [first]}),
        (ec2.terminate_instances, {"InstanceIds": [first, second]}),
        (ec2.delete_volume, {"VolumeId": volume}),
    ]
    for act, values in acts:
        act(**values)
        cloud.settle()


def _documents(kept: Any) -> dict[str, str]:
    return {id: msgspec.json.encode(kept.get(id)).decode() for id in kept.living()}


def _telling(said: list[Said]) -> list[Said]:
    """All orders and reports, and of the other questions to each role the first."""
    found: dict[Any, Said] = {}
    for one in said:
        verb = msgspec.json.decode(one.message).get("verb", "")
        found.setdefault(one if verb in ("ensure", "remove", "") else (one.topic, verb), one)
    return list(found.values())


if __name__ == "__main__":
    before = kept(CONTRACT)
    if before is not None and (found := differences(before.shapes, shapes())):
        sys.exit(f"contract {CONTRACT} is recorded, and means something else now: {'; '.join(found)}")
    with tempfile.TemporaryDirectory() as place:
        now = record(Path(place) / "cloud")
    DIRECTORY.mkdir(exist_ok=True)
    path = DIRECTORY / f"contract-{now.contract}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(now), indent=1) + b"\n")
    sys.stdout.write(f"{path.name}: {len(now.said)} messages\n")
