"""Which role starts what: the only file that knows all the layers."""

from __future__ import annotations

import msgspec

from cumulet.agent.agent import Agent
from cumulet.agent.heartbeat import Beat, Heartbeat
from cumulet.agent.recovery import Recovery
from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus
from cumulet.bus.names import may_speak_for
from cumulet.bus.remote import Remote
from cumulet.control import GIVE_UP, RECONCILERS
from cumulet.engine.engine import Engine
from cumulet.lib.clock import Clock
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.model import Database, Tx, account, bootstrap, host, image, migrate, work
from cumulet.parts import Part, drivers

log = Log("services")
CHANGED = "changed"
"""The hint of an agent: this guest is not as it was."""
ROLES = ("image", "volume", "network", "compute")
"""In the order in which their things need each other."""


class Host:
    """The agents of one host, in this process."""

    def __init__(self, config: Config, bus: Bus, parts: dict[str, Part], *, durable: bool = True) -> None:
        self.agents = {
            role: Agent(
                f"{role}.{config.host()}",
                parts[role].driver,
                config.state_dir / "agents" / role,
                questions=parts[role].questions,
                durable=durable,
            )
            for role in ROLES
        }
        for agent in self.agents.values():
            agent.serve(bus)
        roles = ["api", "scheduler", *ROLES]
        self.heartbeat = Heartbeat(bus, config.host(), roles, config.zone_names(), config.state_dir)
        self._recovery = Recovery(list(self.agents.values()))

    def start(self) -> None:
        self._recovery.start()
        self.heartbeat.start()

    def stop(self) -> None:
        self.heartbeat.stop()
        self._recovery.stop()


class Cloud:
    """One process with every role: the database, the engine, and this host's agents.

    `parts` gives each role's driver, and `bus` the bus; by default those that the configuration names.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        parts: dict[str, Part] | None = None,
        bus: Bus | None = None,
    ) -> None:
        config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        durable = not config.test
        self.config = config
        self.bus = bus or bus_of(config)
        self.database = Database(config.database(), clock=clock, durable=durable)
        self.database.hint = self.bus.hint
        self.engine = Engine(
            self.database,
            self.bus,
            RECONCILERS,
            GIVE_UP,
            settings=config,
            clock=clock,
            threads=config.threads,
        )
        self.parts = parts or drivers(config, lambda id: self.bus.hint(CHANGED, id))
        self.host = Host(config, self.bus, self.parts, durable=durable)
        self.bus.serve("scheduler", self._hear)
        self.bus.on_hint(self._hear_hint)

    def prepare(self) -> None:
        """The tables and the first account are there; with fake drivers an image too."""
        prepare(self.database, self.config)

    def start(self) -> None:
        """The agents recover and are heard, and the engine runs.

        Where the bus is this process's own, whatever is still leased was leased by a process that has died.
        """
        if not self.config.bus_url:
            with self.database.write() as tx:
                work.free_all(tx)
        self.bus.start()
        self.host.start()
        self.engine.start()

    def stop(self) -> None:
        """Nothing more is begun; guests go on."""
        self.engine.stop()
        self.host.stop()
        self.bus.stop()
        self.database.close()

    def ask(self, role: str, host_name: str, question: str, id: str) -> bytes:
        """A read-only question to an agent; raises `Failure`."""
        return self.remote(role, host_name).ask(question, id)

    def remote(self, role: str, host_name: str) -> Remote:
        """A host's driver, for questions; its orders are older than any lease's."""
        return Remote(self.bus, f"{role}.{host_name}", timeout=10.0)

    def _hear_hint(self, kind: str, id: str) -> None:
        """An agent says that a guest has changed by itself."""
        if kind == CHANGED:
            with self.database.write() as tx:
                if work.find(tx, "instance", id) is not None:
                    work.wake(tx, "instance", id)

    def _hear(self, message: bytes, sender: str) -> bytes:
        """A host's heartbeat; raises `Failure` for one in another host's name."""
        beat = msgspec.json.decode(message, type=Beat)
        if not may_speak_for(sender, beat.host):
            log.warning("refused a heartbeat", host=beat.host, sender=sender)
            raise Failure(f"{sender} may not send the heartbeat of {beat.host}")
        with self.database.write() as tx:
            hear(tx, beat)
        return b"null"


def bus_of(config: Config) -> Bus:
    """The bus that the configuration names."""
    if not config.bus_url:
        return MemoryBus()
    from cumulet.bus.amqp import AmqpBus

    return AmqpBus(config.bus_url, config.bus_ca_file)


def prepare(database: Database, config: Config) -> None:
    """Give a database its tables, the first account, and with fake drivers an image."""
    migrate.upgrade(database, quick=config.test)
    with database.write() as tx:
        if account.named(tx, config.account) is None:
            first = bootstrap.create_account(tx, config, config.account)
            if config.drivers == "fake":
                values = {"name": "cumulet-tiny", "location": "cumulet/tiny", "source": "/", "declared": "kernel"}
                image.take_in(tx, {**values, "account": first.id, "public": True})


def hear(tx: Tx, beat: Beat) -> None:
    """Write down a heartbeat, and see to it that what the host has is swept."""
    values = {"zones": beat.zones, "vcpus": beat.vcpus, "memory_mib": beat.memory_mib, "disk_gib": beat.disk_gib}
    host.describe(tx, beat.host, {**values, "facts": beat.facts})
    for role in beat.roles:
        host.heard(tx, role, beat.host, beat.zones[0] if beat.zones else "", beat.contract)
    swept = [f"{role}.{beat.host}" for role in beat.roles if role in ROLES]
    for id in [*swept, "cloud"]:
        if work.find(tx, "sweep", id) is None:
            work.wake(tx, "sweep", id)
