"""Hosts with fake drivers that share their volumes, stop their guests in time, and can be lost and come back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from support.tested_cloud import TestedCloud

from cumulet.agent import fence
from cumulet.agent.watchdog import killer
from cumulet.drivers.fake_world import FakeWorld
from cumulet.parts import drivers
from cumulet.services import Host, heartbeat_of

STEP = 1.0
BEAT = 5.0


class FencedHosts:
    """Hosts of a tested cloud, each in a world of its own; the cloud's own host takes no instances."""

    def __init__(self, cloud: TestedCloud, names: Iterable[str], **settings: Any) -> None:
        self.cloud = cloud
        self.settings = settings
        self.hosts: dict[str, Host] = {}
        self.worlds: dict[str, FakeWorld] = {}
        self.silent: set[str] = set()
        for name in names:
            self.add(name)

    def add(self, name: str, **settings: Any) -> None:
        """A host that is heard."""
        place = self._state(name)
        place.mkdir(parents=True, exist_ok=True)
        values = {**self.settings, **settings, "host_name": name, "state_dir": place}
        config = msgspec.structs.replace(self.cloud.config, **values)
        host = Host(config, self.cloud.cloud.bus, drivers(config, lambda id: None), heartbeat_of(config, self._bus))
        assert host.heartbeat.fence is not None
        host.heartbeat.fence.lease.clock = self.cloud.clock.now
        self.hosts[name], self.worlds[name] = host, FakeWorld(place / "world")
        host.heartbeat.beat()

    @property
    def _bus(self) -> Any:
        return self.cloud.cloud.bus

    def _state(self, name: str) -> Path:
        return self.cloud.config.state_dir / "hosts" / name

    def lose(self, name: str) -> None:
        """It is cut off, or its agents are dead; its guests go on."""
        self.silent.add(name)
        for agent in self.hosts[name].agents.values():
            self._bus.leave(agent.topic)

    def bring_back(self, name: str, *, rebooted: bool = False) -> None:
        """Its agents start, and it is heard; where it has been rebooted, no guest has outlived that."""
        if rebooted:
            self.worlds[name].reboot()
        self.silent.discard(name)
        self.add(name)
        self.hosts[name].heartbeat.beat()
        self.recover(name)

    def recover(self, name: str) -> list[str]:
        """What its agents do at their start; gives what they could not."""
        return [id for _ in range(2) for agent in self.hosts[name].agents.values() for id in agent.recover()]

    def watch(self, name: str) -> None:
        """What the watchdog of a host does each second."""
        host = self.hosts[name]
        guard = host.heartbeat.fence
        assert guard is not None
        if not guard.lease.is_held():
            killer(self._state(name), "fake")(fence.guests(host.agents["compute"].documents))

    def pass_time(self, seconds: float) -> None:
        """Hosts beat, watch and are swept meanwhile; no guest ever runs twice."""
        steps = int(seconds / STEP)
        for step in range(steps):
            self.cloud.clock.ahead += STEP
            for name in self.hosts:
                if name not in self.silent and step % int(BEAT) == 0:
                    self.hosts[name].heartbeat.beat()
                self.watch(name)
            if step % int(BEAT) == 0:
                self.cloud.cloud.host.heartbeat.beat()
            self.cloud.settle()
            self.running()

    def running(self) -> dict[str, str]:
        """Each guest that runs, and where; none does so twice."""
        found: dict[str, str] = {}
        for name, world in self.worlds.items():
            for id in world.names("domain"):
                domain = world.get("domain", id) or {}
                if domain["state"] != "off" and domain["boot"] == world.boot():
                    assert id not in found, f"{id} runs on {found[id]} and on {name}"
                    found[id] = name
        return found
