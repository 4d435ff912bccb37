"""The lease on a host: until when it is held, what is not started without it, and how the next one is taken up."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cumulet.agent import heartbeat
from cumulet.agent.agent import Agent
from cumulet.agent.fence import Fence, lease_of
from cumulet.agent.heartbeat import Beat, Heard, Heartbeat
from cumulet.agent.lease import Lease
from cumulet.agent.watchdog import Watchdog, killer
from cumulet.bus.memory import MemoryBus
from cumulet.bus.remote import Remote
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.drivers.hypervisor.killing import Killed, Killer
from cumulet.drivers.specs import InstanceSpec, domain_uuid
from cumulet.lib.errors import Failure, Superseded

LEASED = InstanceSpec(id="i-1", generation=1, power="on", lease=0)
ALONE = InstanceSpec(id="i-2", generation=1, power="on")


class Host:
    """One with a guest that may be started elsewhere and one that may not; its control plane answers with `number`."""

    def __init__(self, state: Path) -> None:
        self.state, self.now, self.number, self.answers = state, 100.0, 0, True
        self.beats: list[Beat] = []
        self.bus = MemoryBus()
        self.world = FakeWorld(state / "world")
        self.lease = Lease(state / "fence" / "lease.json", clock=lambda: self.now, boot_id_file=state / "boot")
        (state / "boot").write_text("1")
        self.agent = Agent("compute.h1", FakeHypervisor(self.world), state / "agents/compute", check=self.lease.check)
        self.agent.serve(self.bus)
        self.heartbeat = Heartbeat(self.bus, "h1", ["compute"], ["a"], state)
        kill = killer(state, "fake")
        self.heartbeat.fence = Fence(self.lease, self.agent.documents, kill, 60.0, lambda: True)
        self.bus.serve("scheduler", self._answer)

    def _answer(self, message: bytes, sender: str) -> bytes:
        self.beats.append(msgspec.json.decode(message, type=Beat))
        self.now += 2.0  # the answer takes its time, which the host must not count
        if not self.answers:
            raise Failure("lost")
        return msgspec.json.encode(Heard(lease=self.number))

    def order(self, spec: InstanceSpec, epoch: int = 1) -> None:
        Remote(self.bus, "compute.h1", epoch).ensure(spec)

    def running(self) -> list[str]:
        return [seen.id for seen in FakeHypervisor(self.world).observe() if seen.state != "off"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_it_is_held_for_as_long_as_was_promised_from_before_the_heartbeat(host: Host) -> None:
    assert not host.lease.is_held()
    host.heartbeat.beat()
    assert (host.beats[-1].lease, host.beats[-1].fence_seconds) == (0, 60.0)
    host.now = 159.9
    assert host.lease.is_held()
    host.now = 160.0
    assert not host.lease.is_held()


def test_a_heartbeat_that_is_not_answered_renews_nothing(host: Host) -> None:
    host.heartbeat.beat()
    host.now, host.answers = 150.0, False
    host.heartbeat.beat()
    host.now = 160.0
    assert not host.lease.is_held()


def test_it_does_not_outlive_a_start_of_the_host(host: Host) -> None:
    host.heartbeat.beat()
    (host.state / "boot").write_text("2")
    assert not host.lease.is_held()


def test_without_it_no_guest_is_started_that_may_run_elsewhere(host: Host) -> None:
    with pytest.raises(Failure, match="lease 0 of this host is not held"):
        host.order(LEASED)
    host.order(ALONE)
    assert host.running() == ["i-2"]
    host.heartbeat.beat()
    host.order(LEASED)
    host.world.reboot()
    host.now = 1000.0
    assert host.agent.recover() == ["i-1"]
    assert host.running() == ["i-2"]
    host.heartbeat.beat()
    assert host.agent.recover() == []
    assert host.running() == ["i-1", "i-2"]


def test_the_next_one_is_taken_up_when_the_guests_of_the_last_are_dead(host: Host) -> None:
    host.heartbeat.beat()
    host.order(LEASED)
    host.order(ALONE)
    host.number = 1
    host.heartbeat.beat()
    assert host.running() == ["i-2"]
    assert [beat.lease for beat in host.beats[-2:]] == [0, 1]
    assert host.lease.is_held()
    assert host.agent.recover() == [], "what it was ordered under an older lease is not started again, and not tried"
    assert host.running() == ["i-2"]
    with pytest.raises(Superseded):
        host.order(LEASED, epoch=2)
    host.order(msgspec.structs.replace(LEASED, lease=1), epoch=2)
    assert host.running() == ["i-1", "i-2"]


def test_the_next_one_is_not_taken_up_while_a_guest_does_not_die(host: Host) -> None:
    host.heartbeat.beat()
    host.order(LEASED)
    host.heartbeat.fence = Fence(host.lease, host.agent.documents, list, 60.0, lambda: True)
    host.number = 1
    host.heartbeat.beat()
    assert host.lease.number == 0


def test_nothing_is_promised_while_nobody_watches(host: Host) -> None:
    host.heartbeat.fence = Fence(host.lease, host.agent.documents, list, 60.0, lambda: False)
    host.heartbeat.beat()
    assert host.beats[-1].fence_seconds == 0
    host.now = 10000.0
    assert host.lease.is_held()


@pytest.fixture
def watchdog(tmp_path: Path) -> Iterator[Watchdog]:
    made = Watchdog(tmp_path, "fake")
    yield made
    os.kill(pid_of(tmp_path), signal.SIGKILL)


def pid_of(state: Path) -> int:
    return int((state / "fence" / "watchdog").read_text() or 0)


def test_the_watchdog_stops_guests_with_no_agent_there(tmp_path: Path, watchdog: Watchdog) -> None:
    host = Host(tmp_path)
    host.heartbeat.beat()
    host.order(LEASED)
    host.order(ALONE)
    lease_of(tmp_path).renew(time.clock_gettime(time.CLOCK_BOOTTIME) + 2)
    assert watchdog.watches()
    first = pid_of(tmp_path)
    assert watchdog.watches() and pid_of(tmp_path) == first
    assert host.running() == ["i-1", "i-2"]
    until(lambda: host.running() == ["i-2"])
    os.kill(first, signal.SIGKILL)
    until(lambda: watchdog.watches() and pid_of(tmp_path) not in (0, first))


def test_a_guest_is_killed_by_what_its_command_line_says(tmp_path: Path) -> None:
    name = tmp_path / "qemu-system-x86_64"
    name.symlink_to(sys.executable)
    sleep = [str(name), "-c", "import time; time.sleep(60)", "-uuid"]
    mine, others = (subprocess.Popen([*sleep, domain_uuid(id)]) for id in ("i-1", "i-2"))
    try:
        until(lambda: b"uuid" in Path(f"/proc/{mine.pid}/cmdline").read_bytes())
        assert Killer(tmp_path / "killed")(["i-1", "i-3"]) == []
        assert mine.wait(5) == -signal.SIGKILL
        assert others.poll() is None
        killed = Killed(tmp_path / "killed")
        assert [killed.has(id) for id in ("i-1", "i-2", "i-3")] == [True, False, False]
    finally:
        for process in (mine, others):
            process.kill()
            process.wait()


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_disk_that_was_full_for_a_moment_does_not_silence_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 0.01)
    host, failed = Host(tmp_path), threading.Event()
    renew = host.lease.renew

    def full(until: float | None) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    host.heartbeat.start()
    monkeypatch.setattr(host.lease, "renew", full)
    assert failed.wait(10)
    monkeypatch.setattr(host.lease, "renew", renew)
    heard, end = len(host.beats), time.monotonic() + 10
    while len(host.beats) < heard + 3:
        assert time.monotonic() < end, "nothing is heard any more"
        time.sleep(0.01)
    host.heartbeat.stop()
