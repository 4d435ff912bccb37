"""A site whose hosts share their volumes and stop their guests in time, and whose second host can be lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from crash.site import Site

from cumulet.agent import fence
from cumulet.agent.watchdog import killer
from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus
from cumulet.model import host, host_lease, work
from cumulet.services import Host

FENCE = 30.0
BEAT = 5.0


class FencedSite(Site):
    """The second host is lost by `lose`, and comes back by `bring_back`; leases are by the site's clock."""

    volumes = "volumes"
    fence_seconds = FENCE

    def __init__(self, directory: Path, make_bus: Callable[[], Bus] = MemoryBus) -> None:
        (directory / self.volumes).mkdir(parents=True, exist_ok=True)
        super().__init__(directory, make_bus)

    def open(self) -> None:
        super().open()
        for one in self.hosts.values():
            self._set_clock(one)
        self._cut_off()

    def _set_clock(self, one: Host) -> None:
        assert one.heartbeat.fence is not None
        one.heartbeat.fence.lease.clock = self.clock.now

    def _cut_off(self) -> None:
        for name in self.lost:
            for agent in self.hosts[name].agents.values():
                self.cloud.bus.leave(agent.topic)

    def lose(self) -> None:
        """The second host is not heard any more, stops its guests in time, and then its lease is over."""
        self.lost.add("h2")
        self._cut_off()
        self._wait_for_the_end()

    def start_again(self) -> None:
        super().start_again()
        self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        """The first host is heard for so long that the second one has been silent for too long."""
        for _ in range(int((FENCE + host_lease.MARGIN_SECONDS) / BEAT) + 1):
            self.pass_time(BEAT)
            self.beat()
            self._watch()

    def _watch(self) -> None:
        """What the watchdog of the second host does each second."""
        second = self.hosts["h2"]
        guard = second.heartbeat.fence
        assert guard is not None
        if not guard.lease.is_held():
            killer(self.directory / "h2", "fake")(fence.guests(second.agents["compute"].documents))

    def waiting(self) -> list[Any]:
        """What waits for the lost host only is not waited for, but the end of its lease is."""
        silent = tuple(f"nobody serves {role}.{name}" for name in self.lost for role in self.hosts[name].agents)
        found = [row for row in super().waiting() if not row.error.endswith(silent or ("-",))]
        with self.database.read() as tx:
            still = [row for row in host.named(tx, list(self.lost)) if not row.lost]
            ending = [work.find(tx, "sweep", "lease")] if still else []
        return found + ending

    def bring_back(self) -> None:
        """Its agents start, and it is heard."""
        self.lost.clear()
        self.hosts["h2"] = self._second_host()
        self._set_clock(self.hosts["h2"])
        self.beat()
        self.recover()

    def running(self) -> dict[str, str]:
        """Each guest that runs, and where; none does so twice."""
        found: dict[str, str] = {}
        for name, world in self.worlds.items():
            for id in world.names("domain"):
                if (world.get("domain", id) or {})["state"] == "running":
                    assert id not in found, f"{id} runs on {found[id]} and on {name}"
                    found[id] = name
        return found
