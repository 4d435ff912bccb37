"""What a host says by itself: that its roles are there, what it can carry, and which guest has changed.

A report that nobody hears is not sent again: the next heartbeat is on its way, and the sweep asks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cumulet.agent.fence import Fence
from cumulet.agent.measured import Measured
from cumulet.bus.contract import Bus
from cumulet.lib.contract import CONTRACT
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.repeating import Repeating

log = Log("heartbeat")
EVERY_SECONDS = 5.0
HEARD_SECONDS = 5.0
SEEN_SECONDS = 0.2


class Beat(msgspec.Struct, kw_only=True, tag="beat"):
    """One heartbeat of all the roles of a process; what its host can carry where one of them runs guests."""

    host: str
    roles: list[str]
    zones: list[str]
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    disk_exact: bool = False
    """Volumes have all their room at once: no more can be promised than there is."""
    contract: int = 1
    """Which the process understands (`lib.contract`)."""
    facts: dict[str, Any] = {}
    address: str = ""
    """The host's on the underlay that joins hosts; empty: it has none."""
    guest_mtu: int = 1500
    store: str = ""
    """The name of the directory of volumes, where it is one that hosts share."""
    lease: int | None = None
    """The number of the host's lease (`agent.lease`); None: the process that runs guests is another one."""
    fence_seconds: float = 0.0
    """So long after this heartbeat was sent, the host stops its guests if nobody has answered; 0: it does not."""
    seen: dict[str, str] = {}
    """What each role has, as a digest (`agent.watching`); the older ones say nothing of that."""


class Room(NamedTuple):
    """What a host has for volumes, as its heartbeat says it."""

    disk_gib: int
    disk_exact: bool


class Heard(msgspec.Struct, kw_only=True):
    """The answer to a beat: the number of the host's lease. If it is not the beat's own, the host is not heard."""

    lease: int = 0


class Changed(msgspec.Struct, kw_only=True, tag="changed"):
    """A guest of this host is not as it was, by itself."""

    host: str
    instance: str


Report = Beat | Changed


class Heartbeat:
    """Beats in a thread of its own until it is stopped."""

    def __init__(self, bus: Bus, host: str, roles: list[str], zones: list[str], directory: Path) -> None:
        self._bus = bus
        self._host, self._roles, self._zones = host, roles, zones
        self._directory = directory
        # a full disk, on which the lease is kept, is no reason to be silent for good
        self._beats = Repeating("heartbeat", EVERY_SECONDS, self.beat, failed="a heartbeat failed")
        self.facts: dict[str, Any] = {}
        self.awaiting_keys: Callable[[], list[str]] = list
        """The guests that start when they are ordered with the keys of their volumes."""
        self.address = ""
        self.guest_mtu = 1500
        self.store = ""
        self.room: Callable[[], Room] | None = None
        """That of volumes, where they are not in the file system of `directory`; raises `Failure`."""
        self.fence: Fence | None = None
        self.seen: Callable[[], dict[str, str]] | None = None
        """The digests of what the roles have."""

    def start(self) -> None:
        """The first beat is sent before this returns, if anybody hears it."""
        if self.seen is not None:
            self.seen = Measured(self.seen, SEEN_SECONDS)  # a driver that does not answer keeps no beat back
        self.beat()
        self._beats.start()

    def stop(self) -> None:
        self._beats.stop()

    def beat(self) -> None:
        """Say it once; once more where the host has another lease from now on."""
        if self._beat():
            self._beat()

    def _beat(self) -> bool:
        fence = self.fence
        sent, promised = (fence.lease.clock(), fence.promise()) if fence is not None else (0.0, 0.0)
        message = Beat(
            host=self._host,
            roles=self._roles,
            zones=self._zones,
            contract=CONTRACT,
            **self._capacity(),
            facts=self._facts(),
            address=self.address,
            guest_mtu=self.guest_mtu,
            store=self.store,
            lease=fence.lease.number if fence is not None else None,
            fence_seconds=promised,
            seen=self._seen(),
        )
        answer = self._report(message)
        heard = msgspec.json.decode(answer, type=Heard | None) if answer is not None else None
        return heard is not None and fence is not None and fence.answered(heard.lease, sent, promised)

    def _facts(self) -> dict[str, Any]:
        locked = self.awaiting_keys()
        return {**self.facts, "awaiting_keys": locked} if locked else self.facts

    def _seen(self) -> dict[str, str]:
        try:
            return self.seen() if self.seen is not None else {}
        except Failure:  # nothing has been seen yet
            return {}

    def _capacity(self) -> dict[str, Any]:
        found = capacity(self._directory)
        if self.room is None:
            return found
        try:
            return found | self.room()._asdict()
        except Failure as e:
            log.warning("nobody knows what room volumes have", error=e)
            return found | {"disk_gib": 0}

    def say_changed(self, instance: str) -> None:
        """This guest is not as it was."""
        self._report(Changed(host=self._host, instance=instance))

    def _report(self, report: Report) -> bytes | None:
        try:
            return self._bus.call("scheduler", msgspec.json.encode(report), HEARD_SECONDS)
        except Failure as e:
            log.warning("a report was not heard", error=e)
        except Exception:  # noqa: BLE001 - whoever reports goes on, whatever became of whoever should hear
            log.exception("a report failed")
        return None


def capacity(directory: Path) -> dict[str, Any]:
    """The host's vCPUs, MiB of memory, and GiB of disk where `directory` is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = shutil.disk_usage(directory).total
    return {"vcpus": os.cpu_count() or 1, "memory_mib": memory >> 20, "disk_gib": disk >> 30}
