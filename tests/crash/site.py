"""A cloud over a directory, with fake drivers and a clock of its own, that can die and be started again.

It has two hosts: h1 takes in the images and serves both zones, h2 serves the second one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from support import databases

from cumulet.agent.agent import Agent
from cumulet.agent.documents import Documents
from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.engine.engine import LEASE_SECONDS, Engine
from cumulet.lib import log
from cumulet.lib.clock import TestClock
from cumulet.lib.config import Config
from cumulet.model import Database, account, image, tables, work
from cumulet.parts import drivers
from cumulet.services import Cloud, Host, heartbeat_of

MOST_ROUNDS = 2000
ZONES = ("us-east-1a", "us-east-1b")
A_SWEEP_OF_ALL = 301.0
"""Seconds after which each role of each host has been swept."""


class Site:
    """The engine runs in the test's thread; time moves only here, to when something is due next."""

    volumes = ""
    """The directory of volumes that both hosts share, and images with them; empty: each has its own."""
    fence_seconds = 0.0

    def __init__(self, directory: Path, make_bus: Callable[[], Bus] = MemoryBus) -> None:
        log.start("error")
        self.directory = directory
        self.make_bus = make_bus
        self.clock = TestClock()
        self.config = Config(
            state_dir=directory,
            database_url=databases.noted(directory),
            drivers="fake",
            test=True,
            host_name="h1",
            tunnel_address="192.0.2.1",
            vlan_interface="trunk0",
            object_url="http://192.0.2.1:8773",
            vcpu_overcommit=100.0,
            volume_dir=str(directory / self.volumes) if self.volumes else "",
            image_dir=str(directory / "images") if self.volumes else "",
            fence_seconds=self.fence_seconds,
        )
        self.second = msgspec.structs.replace(
            self.config, state_dir=directory / "h2", host_name="h2", tunnel_address="192.0.2.2", zones=[ZONES[1]]
        )
        self.lost: set[str] = set()
        self.worlds = {"h1": FakeWorld(directory / "world"), "h2": FakeWorld(directory / "h2" / "world")}
        self.world = self.worlds["h1"]
        self.open()
        self.cloud.prepare()
        self.beat()
        self.settle()
        with self.database.read() as tx:
            found = account.named(tx, "admin")
            assert found is not None
            self.account: str = found.id
            self.image: str = image.visible(tx, found.id)[0].id

    @classmethod
    def copy(cls, template: Path, directory: Path, make_bus: Callable[[], Bus] = MemoryBus) -> Site:
        """A site that begins as the one at `template`, which is closed."""
        shutil.copytree(template, directory, symlinks=True)
        databases.restore(directory)
        return cls(directory, make_bus)

    def open(self) -> None:
        self.cloud = Cloud(self.config, clock=self.clock, bus=self.make_bus())
        self.cloud.bus.start()
        self.engine: Engine = self.cloud.engine
        self.hosts = {"h1": self.cloud.host, "h2": self._second_host()}

    def _second_host(self) -> Host:
        parts = drivers(self.second, lambda id: None)
        return Host(self.second, self.cloud.bus, parts, heartbeat_of(self.second, self.cloud.bus))

    @property
    def shared(self) -> FakeWorld | None:
        """The volumes that both hosts share; None: each has its own."""
        return FakeWorld(self.directory / self.volumes) if self.volumes else None

    def beat(self) -> None:
        """The hosts are heard that are not lost."""
        for name, host in self.hosts.items():
            if name not in self.lost:
                host.heartbeat.beat()

    def renumber(self, address: str) -> None:
        """The second host has another address from now on."""
        self.second = msgspec.structs.replace(self.second, tunnel_address=address)
        self.hosts["h2"].heartbeat.address = address
        self.beat()

    @property
    def database(self) -> Database:
        return self.cloud.database

    @property
    def hypervisor(self) -> FakeHypervisor:
        driver = self.cloud.parts["compute"].driver
        assert isinstance(driver, FakeHypervisor)
        return driver

    def close(self) -> None:
        self.cloud.bus.stop()
        self.database.close()

    def start_again(self) -> None:
        """The process has died; another one begins once the leases of the first have run out."""
        self.close()
        self.pass_time(LEASE_SECONDS + 1)
        self.open()
        self.beat()
        self.recover()

    def recover(self) -> None:
        """What the agents do by themselves after a start."""
        for _ in range(2):
            for agent in self.agents():
                agent.recover()

    def agents(self) -> Iterator[Agent]:
        """Those of the hosts that are not lost."""
        for name, host in self.hosts.items():
            if name not in self.lost:
                yield from host.agents.values()

    def documents(self) -> Iterator[Documents]:
        for agent in self.agents():
            yield agent.documents

    @property
    def addresses(self) -> dict[str, str]:
        return {name: host.heartbeat.address for name, host in self.hosts.items()}

    def image_stores(self) -> list[tuple[tuple[str, ...], FakeWorld]]:
        if self.volumes:
            return [(tuple(self.worlds), FakeWorld(self.directory / "images"))]
        return [((name,), world) for name, world in self.worlds.items()]

    def another_engine(self) -> Engine:
        """One more scheduler on the same database and bus."""
        first = self.engine
        return Engine(
            self.database, first.bus, first.reconcilers, first.give_up, settings=self.config, clock=self.clock
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def settle(self, engine: Engine | None = None) -> None:
        """Run what is due, and let time pass to what is due next, until everything but the sweeps rests."""
        engine = engine or self.engine
        for _ in range(MOST_ROUNDS):
            if engine.run_due():
                continue
            waiting = self.waiting()
            if not waiting:
                return
            next_time = min(max(row.due, row.lease or 0.0) for row in waiting)
            self.pass_time(max(next_time - self.clock.now(), 0.0) + 0.01)
            self.beat()
        raise AssertionError(f"no rest: {self.waiting()}")

    def sweep(self) -> None:
        """Let each role be swept, and settle."""
        self.pass_time(A_SWEEP_OF_ALL)
        self.beat()
        self.settle()

    def waiting(self) -> list[Any]:
        """The work that is due some time, the sweeps aside."""
        table = work.work
        with self.database.read() as tx:
            return tx.all(sa.select(table).where(table.c.due.is_not(None), table.c.kind != "sweep"))

    def everything(self) -> dict[str, Any]:
        """All that is written down anywhere: rows, documents, and the outside world."""
        found: dict[str, Any] = {
            str(path.relative_to(self.directory)): path.read_bytes()
            for place in ("world", "agents", "h2")
            for path in sorted((self.directory / place).rglob("*.json"))
        }
        with self.database.read() as tx:
            for table in tables.metadata.sorted_tables:
                found[table.name] = sorted(map(repr, tx.connection.execute(sa.select(table))))
        return found


def prepared(kind: type[Site], directory: Path, server: databases.Tested | None) -> Path:
    """The directory of a site of this kind, which is closed: what `kind.copy` begins from."""
    made = directory / "site"
    if server is not None:
        databases.note(made, server.emptied("cumulet_template"))
    kind(made).close()
    databases.keep(made)
    return made
