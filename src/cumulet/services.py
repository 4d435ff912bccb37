"""Which role starts what: the only file that knows all the layers."""

from __future__ import annotations

from cumulet.agent import fence, watchdog
from cumulet.agent.agent import Agent
from cumulet.agent.documents import Documents
from cumulet.agent.fence import Fence
from cumulet.agent.heartbeat import Heartbeat
from cumulet.agent.lease import Lease
from cumulet.agent.recovery import Recovery
from cumulet.agent.watching import Watch
from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus
from cumulet.bus.remote import Remote
from cumulet.control import GIVE_UP, RECONCILERS
from cumulet.control.object_keeper import Keeper
from cumulet.drivers.blob.directory import DirectoryBlobs
from cumulet.drivers.hypervisor import connections
from cumulet.drivers.hypervisor.connections import Connections
from cumulet.drivers.volume.shared import identity
from cumulet.engine.engine import Engine
from cumulet.hearing import Hearing
from cumulet.lib.blobs import Blobs
from cumulet.lib.clock import Clock
from cumulet.lib.config import AGENTS, Config
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.repeating import Repeating
from cumulet.model import (
    Database,
    Tx,
    account,
    bootstrap,
    image,
    migrate,
    secret,
)
from cumulet.parts import Part, drivers, guest_mtu, volume_store

log = Log("services")


class Host:
    """The agents of one host in this process, and what they say by themselves."""

    def __init__(self, config: Config, bus: Bus, parts: dict[str, Part], heartbeat: Heartbeat) -> None:
        lease = fence.lease_of(config.state_dir)
        self.agents = {
            role: Agent(
                f"{role}.{config.host()}",
                parts[role].driver,
                config.state_dir / "agents" / role,
                questions=parts[role].questions,
                durable=not config.test,
                check=lease.check,
                shares=config.shares_volumes(),
            )
            for role in AGENTS
            if role in config.role_names()
        }
        for agent in self.agents.values():
            agent.serve(bus)
        self.heartbeat = heartbeat
        heartbeat.seen = Watch({role: agent.driver for role, agent in self.agents.items()}).look
        if "volume" in parts:
            heartbeat.room = parts["volume"].room
        if "compute" in self.agents:
            heartbeat.facts = {**parts["compute"].facts, **parts["volume"].facts, "attributes": config.host_attributes}
            heartbeat.awaiting_keys = self.agents["compute"].awaiting_keys
            heartbeat.store = parts["volume"].store
            if config.volume_dir:
                heartbeat.store = identity(config.volume_directory(), volume_store(config))
            heartbeat.fence = fence_of(config, lease, self.agents["compute"].documents)
        self._recovery = Recovery(list(self.agents.values()))
        failed = "guests may wait for ever for a volume of a host that loses its power"
        look_after = Connections().look_after
        self._connections = Repeating("connections", connections.EVERY_SECONDS, look_after, failed=failed)
        self._looks_after_connections = "compute" in self.agents and config.drivers != "fake"

    def start(self) -> None:
        self._recovery.start()
        self.heartbeat.start()
        if self._looks_after_connections:
            self._connections.start()

    def stop(self) -> None:
        self._connections.stop()
        self.heartbeat.stop()
        self._recovery.stop()


class Control:
    """What thinks: the database, and the engine where this process is a scheduler."""

    def __init__(self, config: Config, bus: Bus, clock: Clock | None) -> None:
        self.database = Database(config.database(), clock=clock, durable=not config.test, keys=config.keyring())
        self.database.hint = bus.hint
        self.engine: Engine | None = None
        if "scheduler" in config.role_names():
            self.engine = Engine(
                self.database,
                bus,
                RECONCILERS,
                GIVE_UP,
                settings=config,
                clock=clock,
                threads=config.threads,
                holder=config.host(),
            )
            bus.serve_together("scheduler", Hearing(self.database).answer)

    def start(self) -> None:
        """The engine runs."""
        if self.engine is not None:
            self.engine.start()

    def stop(self) -> None:
        """The engine rests; the database is still there for the reports of this process's agents."""
        if self.engine is not None:
            self.engine.stop()


class ObjectStore:
    """The role `object`: the blobs, and who keeps them in order."""

    def __init__(self, config: Config, database: Database) -> None:
        self.blobs = blobs_of(config, database)
        self.keeper = Keeper(database, self.blobs, config)


class Cloud:
    """One process with the roles that the configuration gives it: all of them, by default.

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
        roles = config.role_names()
        self.config = config
        self.bus = bus or bus_of(config)
        self.control = Control(config, self.bus, clock) if {"api", "scheduler", "object"} & set(roles) else None
        self.objects = ObjectStore(config, self.control.database) if self.control and "object" in roles else None
        heartbeat = heartbeat_of(config, self.bus)
        self.parts: dict[str, Part] = {}
        if set(AGENTS) & set(roles):
            self.parts = parts or drivers(config, heartbeat.say_changed)
        self.host = Host(config, self.bus, self.parts, heartbeat)

    @property
    def database(self) -> Database:
        """Raises `Failure` in a process that has agents only."""
        return self._thinking().database

    @property
    def engine(self) -> Engine:
        """Raises `Failure` in a process that is no scheduler."""
        if (engine := self._thinking().engine) is None:
            raise Failure("this process has not the role scheduler, so it has no engine")
        return engine

    def prepare(self) -> None:
        """The tables and the first account are there; with fake drivers an image too."""
        if self.control is not None:
            prepare(self.database, self.config)

    def start(self) -> None:
        """The agents recover and are heard, and the engine runs."""
        self.bus.start()
        self.host.start()
        if self.control is not None:
            self.control.start()
        if self.objects is not None:
            self.objects.keeper.start()

    def stop(self) -> None:
        """Nothing more is begun; guests go on."""
        if self.objects is not None:
            self.objects.keeper.stop()
        if self.control is not None:
            self.control.stop()
        self.host.stop()
        self.bus.stop()
        if self.control is not None:
            self.control.database.close()

    def ask(self, role: str, host_name: str, question: str, id: str) -> bytes:
        """A read-only question to an agent; raises `Failure`."""
        return self.remote(role, host_name).ask(question, id)

    def remote(self, role: str, host_name: str) -> Remote:
        """A host's driver, for questions; its orders are older than any lease's."""
        return Remote(self.bus, f"{role}.{host_name}", timeout=10.0)

    def _thinking(self) -> Control:
        if self.control is None:
            raise Failure(f"this process has agents only ({', '.join(self.config.role_names())}) and no database")
        return self.control


def fence_of(config: Config, lease: Lease, documents: Documents) -> Fence:
    """What stops guests of this host; a test sees to the time by itself."""
    kill = watchdog.killer(config.state_dir, config.drivers)
    watched = (lambda: True) if config.test else watchdog.Watchdog(config.state_dir, config.drivers).watches
    return Fence(lease, documents, kill, config.fence_seconds, watched)


def heartbeat_of(config: Config, bus: Bus) -> Heartbeat:
    """What a process with this configuration says of itself."""
    roles = config.role_names()
    made = Heartbeat(bus, config.host(), list(roles), config.zone_names(), config.state_dir)
    if set(AGENTS) & set(roles):  # any of them may be alone on its host, and volumes are fetched from there too
        made.address, made.guest_mtu = config.tunnel_address, guest_mtu(config)
    return made


def blobs_of(config: Config, database: Database) -> Blobs:
    """The store of blobs that the configuration names."""
    if config.object_driver == "directory":
        return DirectoryBlobs(config.object_directories(), copies=config.object_copies, durable=not config.test)
    from cumulet.drivers.blob.rados import RadosBlobs, space_of

    def cloud() -> str:
        with database.write() as tx:
            return secret.of(tx, "cloud", 16).hex()

    return RadosBlobs(space_of(config), cloud)


def bus_of(config: Config) -> Bus:
    """The bus that the configuration names."""
    if not config.bus_url:
        return MemoryBus()
    from cumulet.bus.amqp import AmqpBus

    return AmqpBus(config.bus_url, config.bus_ca_file)


def prepare(database: Database, config: Config) -> None:
    """Give a database its tables, the first account, and with fake drivers an image."""
    migrate.upgrade(database)
    with database.alone(), database.write() as tx:
        if account.named(tx, config.account) is None:
            first = bootstrap.create_account(tx, config, config.account, administrator=True, cidr=config.vpc_cidr)
            if config.drivers == "fake":
                take_in_fake(tx, first.id)


def take_in_fake(tx: Tx, owner: str) -> None:
    """The image that there is with fake drivers."""
    values = {"name": "cumulet-tiny", "location": "cumulet/tiny", "source": "/", "declared": "kernel"}
    image.take_in(tx, {**values, "account": owner, "public": True})
