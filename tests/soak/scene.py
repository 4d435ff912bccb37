"""A laboratory of hosts with fake drivers, on RabbitMQ and PostgreSQL, as the crash tests' checker wants to see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from cumulet.agent.documents import Documents
from cumulet.drivers.fake_world import FakeWorld
from cumulet.lab import underlay
from cumulet.lab.lab import Laboratory
from cumulet.lib.command import run
from cumulet.lib.config import AGENTS
from cumulet.lib.errors import Away
from cumulet.model import Database, image, work

HOSTS = 3
FENCE = 10.0


class Scene:
    """The laboratory, what is on its hosts, and its database.

    The hosts share their volumes, so that what runs on one that is lost is started on another one of its zone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for place in ("volumes", "clocks"):
            (directory / place).mkdir(parents=True)
        self.shared = FakeWorld(directory / "volumes")
        settings: dict[str, str | float] = {
            "drivers": "fake",
            "volume_dir": str(directory / "volumes"),
            "fence_seconds": FENCE,
        }
        self.laboratory = Laboratory(directory, HOSTS, settings, self._clock_of)
        self.laboratory.start()
        hosts = self.laboratory.hosts
        self.worlds = {name: FakeWorld(host.state / "world") for name, host in hosts.items()}
        self.addresses = {name: underlay.address(host.number) for name, host in hosts.items()}
        self.database = Database(self.laboratory.postgres.url)
        self.environ = self.laboratory.environ()
        until(self._has_image, 30, "the image to be taken in")

    def _clock_of(self, host: str) -> dict[str, str]:
        file = self._directory / "clocks" / host
        file.write_bytes(bytes(8))
        return {"LD_PRELOAD": str(self._library()), "CLOCK_AHEAD": str(file)}

    def _library(self) -> Path:
        made = self._directory / "clock.so"
        if not made.exists():
            source = Path(__file__).with_name("clock.c")
            run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", made, source, "-ldl"])
        return made

    def set_clock(self, host: str, ahead: int = 0) -> None:
        """The time of day on a host is so many seconds ahead; clocks that count from its start go on as they do."""
        with (self._directory / "clocks" / host).open("r+b") as file:
            file.write(ahead.to_bytes(8, sys.byteorder))

    def documents(self) -> Iterator[Documents]:
        for host in self.laboratory.hosts.values():
            for role in AGENTS:
                yield Documents(host.state / "agents" / role)

    def image_stores(self) -> list[tuple[tuple[str, ...], FakeWorld]]:
        return [(tuple(self.worlds), FakeWorld(self.laboratory.directory / "images"))]

    def waiting(self) -> list[str]:
        """The work that is due some time, the sweeps aside, with what it waits for.

        The first look after the database's death is by a connection that died with it.
        """
        due = sa.select(work.work).where(work.work.c.due.is_not(None), work.work.c.kind != "sweep")
        try:
            with self.database.read() as tx:
                return [f"{row.kind} {row.id}: {row.error}" for row in tx.all(due)]
        except Away as e:
            return [str(e)]

    def all_heard(self) -> bool:
        wanted = {f"{role}.{name}" for name in self.laboratory.hosts for role in AGENTS}
        return wanted <= self.laboratory.alive()

    def close(self) -> None:
        self.database.close()
        self.laboratory.stop()

    def _has_image(self) -> bool:
        with self.database.read() as tx:
            states = set(tx.connection.scalars(sa.select(image.image_file.c.state)))
        return states == {"available"}


def until(holds: Callable[[], object], seconds: float, what: str, why: Callable[[], object] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}: {why()}"
        time.sleep(0.1)
