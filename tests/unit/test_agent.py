"""An agent: what it keeps, what it refuses, what it says when it cannot, and how it recovers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import pytest

from cumulet.agent.agent import Agent
from cumulet.agent.documents import KEPT_SECONDS, Document, Documents
from cumulet.agent.recovery import Recovery
from cumulet.bus.memory import MemoryBus
from cumulet.bus.remote import Remote
from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.drivers.network.fake import FakeNetwork
from cumulet.drivers.specs import InstanceSpec, InterfaceSpec, NicSpec, Spec, VolumeExportSpec, VolumeSpec
from cumulet.drivers.volume.fake import FakeVolumes
from cumulet.lib.errors import Failure, Impossible, Later, Superseded, Unreachable

DISK = VolumeSpec(id="vol-1", size_gib=1)
EXPORT = VolumeExportSpec(id="volattach-1", volume="vol-1")


class Broken:
    """A driver that fails with `error`, each time."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def ensure(self, spec: Spec) -> None:
        raise self.error

    def remove(self, id: str) -> None:
        raise self.error

    def observe(self) -> list[Seen]:
        raise self.error

    def look(self, id: str) -> Seen | None:
        raise self.error


@pytest.fixture
def volumes(tmp_path: Path) -> FakeVolumes:
    return FakeVolumes(FakeWorld(tmp_path / "world"))


def agent_of(driver: FakeVolumes | Broken, tmp_path: Path, *, shares: bool = False) -> tuple[Agent, MemoryBus]:
    agent, bus = Agent("volume.h1", driver, tmp_path / "documents", shares=shares), MemoryBus()
    agent.serve(bus)
    return agent, bus


def test_it_remembers_the_highest_number_after_it_has_been_restarted(volumes: FakeVolumes, tmp_path: Path) -> None:
    _, bus = agent_of(volumes, tmp_path)
    Remote(bus, "volume.h1", epoch=5).ensure(DISK)
    Remote(bus, "volume.h1", epoch=6).remove(DISK.id)
    _, bus = agent_of(volumes, tmp_path)
    with pytest.raises(Superseded, match=r"order 5 for vol-1: order 6 has come before it"):
        Remote(bus, "volume.h1", epoch=5).ensure(DISK)
    assert volumes.observe() == []


def test_the_same_lease_may_order_again(volumes: FakeVolumes, tmp_path: Path) -> None:
    agent, bus = agent_of(volumes, tmp_path)
    remote = Remote(bus, "volume.h1", epoch=5)
    remote.ensure(DISK)
    remote.ensure(VolumeSpec(id="vol-1", size_gib=9))
    document = agent.documents.get("vol-1")
    assert document is not None
    assert msgspec.json.decode(document.spec, type=VolumeSpec).size_gib == 9


def test_orders_for_one_thing_come_one_after_the_other_and_leave_nothing(volumes: FakeVolumes, tmp_path: Path) -> None:
    agent, bus = agent_of(volumes, tmp_path)
    inside: list[int] = []
    makes = volumes.ensure

    def slowly(spec: Spec) -> None:
        inside.append(+1)
        time.sleep(0.02)
        assert sum(inside) == 1
        inside.append(-1)
        makes(spec)

    volumes.ensure = slowly  # type: ignore[method-assign]
    orders = [threading.Thread(target=Remote(bus, "volume.h1", epoch=5).ensure, args=[DISK]) for _ in range(4)]
    for order in orders:
        order.start()
    for order in orders:
        order.join()
    assert inside == [+1, -1] * 4
    assert len(agent._locks) == 0


def test_the_document_is_written_before_the_driver_fails(tmp_path: Path) -> None:
    agent, bus = agent_of(Broken(Failure("no space left")), tmp_path)
    with pytest.raises(Failure, match="no space left"):
        Remote(bus, "volume.h1", epoch=3).ensure(DISK)
    assert agent.documents.living() == ["vol-1"]


@pytest.mark.parametrize(
    ("error", "seen", "said"),
    [
        (Impossible("Server.InternalError", "not a disk"), Impossible, "Server.InternalError: not a disk"),
        (Failure("making vol-1"), Failure, "making vol-1"),
        (Later(2.5, "vol-1 is being filled: 40 %"), Later, "vol-1 is being filled: 40 %"),
        (Superseded("older"), Superseded, "older"),
        (ZeroDivisionError("by zero"), Failure, "ZeroDivisionError: by zero"),
    ],
)
def test_each_way_not_to_succeed_crosses_the_bus(
    error: Exception, seen: type[Exception], said: str, tmp_path: Path
) -> None:
    _, bus = agent_of(Broken(error), tmp_path)
    with pytest.raises(seen, match=said):
        Remote(bus, "volume.h1", epoch=1).ensure(DISK)
    with pytest.raises(seen, match=said):
        Remote(bus, "volume.h1").observe()


def test_the_cause_of_a_failure_is_told_too(tmp_path: Path) -> None:
    failure = Failure("writing vol-1")
    failure.__cause__ = OSError("disk full")
    _, bus = agent_of(Broken(failure), tmp_path)
    with pytest.raises(Failure, match=r"writing vol-1 \(disk full\)"):
        Remote(bus, "volume.h1", epoch=1).ensure(DISK)


def test_what_is_not_an_order_is_answered_too(volumes: FakeVolumes, tmp_path: Path) -> None:
    agent, _ = agent_of(volumes, tmp_path)
    for message in (b"", b"[]", b'{"verb": "explode"}', b'{"verb": "ensure", "id": "vol-1", "spec": {"type": "?"}}'):
        assert b'"failure"' in agent.answer(message)


def test_an_unknown_question_names_the_known_ones(volumes: FakeVolumes, tmp_path: Path) -> None:
    bus = MemoryBus()
    Agent("volume.h1", volumes, tmp_path / "documents", questions={"size": lambda id: b"1"}).serve(bus)
    assert Remote(bus, "volume.h1").ask("size", "vol-1") == b"1"
    with pytest.raises(Failure, match="no question 'colour'; it has size"):
        Remote(bus, "volume.h1").ask("colour", "vol-1")


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"nobody serves volume\.h2"):
        Remote(MemoryBus(), "volume.h2").observe()


def test_a_failing_listener_does_not_keep_a_hint_from_the_others() -> None:
    bus, heard = MemoryBus(), []

    def fail(kind: str, id: str) -> None:
        raise ZeroDivisionError

    bus.on_hint(fail)
    bus.on_hint(lambda kind, id: heard.append((kind, id)))
    bus.hint("instance", "i-1")
    assert heard == [("instance", "i-1")]


def test_recovery_makes_again_what_should_be_and_nothing_that_was_removed(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path / "world")
    agent, bus = agent_of(FakeVolumes(world), tmp_path)
    remote = Remote(bus, "volume.h1", epoch=1)
    remote.ensure(DISK)
    remote.ensure(VolumeSpec(id="vol-2", size_gib=1))
    remote.remove("vol-2")
    world.clear()
    assert agent.recover() == []
    assert world.names("volume") == ["vol-1"]


def test_keys_of_volumes_are_in_no_document_and_what_needs_one_waits_for_the_control_plane(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path / "world")
    agent, bus = agent_of(FakeVolumes(world), tmp_path)
    key = "a-key-of-a-volume"
    spec = msgspec.structs.replace(DISK, key=key)
    Remote(bus, "volume.h1", epoch=1).ensure(spec)
    Remote(bus, "volume.h1", epoch=1).ensure(msgspec.structs.replace(EXPORT, key=key))
    kept = [path.read_text() for path in tmp_path.rglob("*.json") if tmp_path / "world" not in path.parents]
    assert len(kept) == 2
    assert not any(key in text for text in kept)
    world.clear()
    assert agent.recover() == []
    assert world.names("volume") == []
    Remote(bus, "volume.h1", epoch=2).ensure(spec)
    assert world.get("volume", DISK.id) == {"size_gib": 1, "key": key}


def test_recovery_makes_nothing_that_is_shared_since_another_host_may_have_removed_it(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path / "world")
    agent, bus = agent_of(FakeVolumes(world), tmp_path, shares=True)
    Remote(bus, "volume.h1", epoch=5).ensure(DISK)
    world.clear()
    assert agent.recover() == []
    assert world.names("volume") == []
    with pytest.raises(Superseded):
        Remote(bus, "volume.h1", epoch=4).ensure(DISK)


def test_what_is_shared_is_recovered_all_the_same_where_it_does_not_last(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path / "world")
    agent, bus = agent_of(FakeVolumes(world), tmp_path, shares=True)
    for spec in (DISK, EXPORT):
        Remote(bus, "volume.h1", epoch=1).ensure(spec)
    world.remove("volume_export", EXPORT.id)
    assert agent.recover() == []
    assert world.names("volume_export") == [EXPORT.id]


def test_a_host_that_has_rebooted_gets_its_guests_back_with_no_control_plane(tmp_path: Path) -> None:
    world, bus = FakeWorld(tmp_path / "world"), MemoryBus()
    agents = {
        "network": Agent("network.h1", FakeNetwork(world), tmp_path / "network"),
        "compute": Agent("compute.h1", FakeHypervisor(world), tmp_path / "compute"),
    }
    for agent in agents.values():
        agent.serve(bus)
    share = {"vpc": "vpc-1", "vpc_cidr": "10.0.0.0/16", "subnet_cidr": "10.0.0.0/24", "mac": "02:1", "ip": "10.0.0.4"}
    nic = InterfaceSpec(id="eni-1", groups=[], **share)  # type: ignore[arg-type]
    spec = InstanceSpec(id="i-1", generation=1, power="on", nics=[NicSpec(interface="eni-1", mac="02:1")])
    for role, thing in [("network", nic), ("compute", spec), ("network", nic), ("compute", spec)]:
        Remote(bus, f"{role}.h1", epoch=1).ensure(thing)
    world.reboot()
    recovery = Recovery(list(agents.values()))
    recovery.start()
    recovery.stop()
    assert agents["compute"].driver.look("i-1") == Seen(id="i-1", state="running", generation=1)


def test_recovery_goes_on_whatever_is_wrong_with_one_thing(volumes: FakeVolumes, tmp_path: Path) -> None:
    agent, bus = agent_of(volumes, tmp_path)
    others = [msgspec.structs.replace(DISK, id=f"vol-{number}") for number in range(3)]
    for disk in others:
        Remote(bus, "volume.h1", epoch=5).ensure(disk)
        volumes.remove(disk.id)
    makes = volumes.ensure

    def makes_two(spec: Spec) -> None:
        if spec.id == "vol-1":
            raise OSError("no space left")
        makes(spec)

    volumes.ensure = makes_two  # type: ignore[method-assign]
    assert agent.recover() == ["vol-1"]
    assert {seen.id for seen in volumes.observe()} == {"vol-0", "vol-2"}


def test_recovery_tells_what_it_could_not_do(tmp_path: Path) -> None:
    agent, bus = agent_of(Broken(Failure("no")), tmp_path)
    with pytest.raises(Failure):
        Remote(bus, "volume.h1", epoch=1).ensure(DISK)
    assert agent.recover() == ["vol-1"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_shorter_document_takes_the_place_of_a_longer_one(tmp_path: Path, durable: bool) -> None:
    documents = Documents(tmp_path, durable=durable)
    documents.put("vol-1", Document(epoch=1, spec=msgspec.Raw(msgspec.json.encode({"text": "x" * 500}))))
    documents.put("vol-1", Document(epoch=2))
    found = Documents(tmp_path, durable=durable).get("vol-1")
    assert found is not None
    assert (found.epoch, found.living()) == (2, False)
    assert [path.name for path in tmp_path.glob("*.json")] == ["vol-1.json"]


def test_the_mark_of_a_removed_thing_is_kept_for_a_day(tmp_path: Path) -> None:
    import os
    import time

    documents = Documents(tmp_path)
    documents.put("vol-1", Document(epoch=2))
    documents.put("vol-2", Document(epoch=2))
    old = time.time() - KEPT_SECONDS - 60
    os.utime(tmp_path / "vol-1.json", (old, old))
    again = Documents(tmp_path)
    assert again.get("vol-1") is None
    assert again.get("vol-2") is not None


def test_what_is_cleared_is_gone_at_once_and_from_the_disk_afterwards(tmp_path: Path) -> None:
    documents = Documents(tmp_path / "volume")
    documents.put("vol-1", Document(epoch=2))
    documents.clear()
    assert documents.get("vol-1") is None
    documents.put("vol-1", Document(epoch=1))
    for thread in threading.enumerate():
        if thread.name == "gone":
            thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["volume"]
