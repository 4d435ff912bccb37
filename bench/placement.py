"""Placement among many hosts: how long one takes, and how many four schedulers make in a second, none too much.

python -m bench.placement                       # 10,000 hosts, 100,000 instances, SQLite in a directory of its own
python -m bench.placement postgresql+psycopg:// # an empty database of another kind
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench.figures import Figure, median, percentile, table
from cumulet.bus.memory import MemoryBus
from cumulet.control import placing
from cumulet.control.fleet import Fleet
from cumulet.control.placement import Wish, choose
from cumulet.engine.engine import Engine, Run
from cumulet.lib import ids, log
from cumulet.lib.config import Config
from cumulet.lib.errors import CumuletError, Impossible
from cumulet.model import Database, Tx, attachment, capacity, host, instance, interface, migrate, volume, work
from cumulet.model.capacity import Amount

HOSTS, INSTANCES = 10_000, 100_000
SCHEDULERS = 4
ZONES = 3
One = TypeVar("One")
VCPUS, MEMORY_MIB, DISK_GIB = 64, 262_144, 4_000
SMALL = Amount(1, 2048, 8)
EPOCH = 1


class Scene(NamedTuple):
    """A database with hosts, instances at rest, and what is to be placed."""

    config: Config
    account: str
    group: str


def measure(rounds: int, url: str = "", hosts: int = HOSTS, instances: int = INSTANCES) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as directory:
        config = Config(state_dir=Path(directory), database_url=url, vcpu_overcommit=4.0)
        scene = Scene(config, ids.account_id(), ids.new("group"))
        _prepare(scene, hosts, instances)
        return [*_alone(scene, 200 * rounds), *_together(scene, 400 * rounds), *_scarce(scene, hosts, 40 * rounds)]


def _alone(scene: Scene, number: int) -> list[Figure]:
    """One scheduler, with nobody beside it."""
    database = Database(scene.config.database())
    begun = time.monotonic()
    fleet = Fleet(scene.config, random.Random(1))
    fleet.refresh(database.read, 0.0)
    first = time.monotonic() - begun
    looks = [_timed(lambda: fleet.refresh(database.read, time.time())) for _ in range(5)]
    wish = Wish(scene.account, "zone-0", SMALL)
    choices = [_timed(lambda: choose(fleet, wish, "spread")) for _ in range(2000)]
    engine = _engine(scene, database)
    times = [_timed(lambda row=row: placing.place(_run(engine, row), row)) for row in _wanted(scene, database, number)]
    database.close()
    return [
        Figure("the choice alone, p50", median(choices) * 1000, "ms", "< 1 ms", "in memory, of what is known"),
        Figure("a placement, p50", median(times) * 1000, "ms", "< 1 ms", f"{number}, each committed"),
        Figure("a placement, p95", percentile(times, 0.95) * 1000, "ms", "", "one in each second looks anew first"),
        Figure(
            "looking anew at all hosts", median(looks) * 1000, "ms", "", "at most each second, and before a refusal"
        ),
        Figure("looking for the first time", first, "s"),
    ]


def _together(scene: Scene, number: int) -> list[Figure]:
    """Four scheduler processes at once, on hosts with room."""
    outcomes, seconds = _race(scene, number)
    _check(scene)
    lacking = outcomes.count("refused")
    rate = (number - lacking) / seconds
    note = f"{number} placed by {SCHEDULERS} processes, none above its capacity"
    return [Figure(f"placements, {SCHEDULERS} schedulers", rate, "/s", ">= 500/s", note)]


def _scarce(scene: Scene, hosts: int, number: int) -> list[Figure]:
    """The same for the last rooms that there are: as many are placed as there is room for, and the others refused."""
    table = host.host
    database = Database(scene.config.database())
    last = [name for index, name in enumerate(_names(hosts)) if index % ZONES == 0][:number]
    with database.write() as tx:
        tx.change(table.update().values(memory_mib=table.c.used_memory_mib, revision=table.c.revision + 1))
        with_room = table.update().where(table.c.name.in_(last))
        tx.change(with_room.values(memory_mib=table.c.used_memory_mib + int(SMALL.memory_mib)))
    database.close()
    outcomes, seconds = _race(scene, number + SCHEDULERS * 5)
    _check(scene)
    placed = outcomes.count("placed")
    if placed != number:
        raise RuntimeError(f"{placed} instances were placed where there was room for {number}: {outcomes}")
    note = f"{number} rooms, {len(outcomes)} wishes, the others refused"
    return [Figure("the last rooms, 4 schedulers", placed / seconds, "/s", "", note)]


def _race(scene: Scene, number: int) -> tuple[list[str], float]:
    """What became of so many new instances, and the seconds from the start of all to the end of the last."""
    database = Database(scene.config.database())
    made = [row.id for row in _wanted(scene, database, number)]
    database.close()
    start = multiprocessing.get_context("spawn")
    ready, answers = start.Barrier(SCHEDULERS + 1), start.Queue()
    shares = [made[first::SCHEDULERS] for first in range(SCHEDULERS)]
    processes = [start.Process(target=_schedule, args=(scene, share, ready, answers)) for share in shares]
    for process in processes:
        process.start()
    ready.wait(120)
    begun = time.monotonic()
    outcomes = [one for _ in processes for one in answers.get(timeout=300)]
    seconds = time.monotonic() - begun
    for process in processes:
        process.join(30)
    return outcomes, seconds


def _schedule(scene: Scene, share: list[str], ready: Any, answers: Any) -> None:
    """One scheduler's process."""
    log.start("error")
    database = Database(scene.config.database())
    engine = _engine(scene, database)
    with database.read() as tx:
        rows = [instance.find(tx, id) for id in share]
    engine.memory["fleet"] = fleet = Fleet(scene.config)
    fleet.refresh(database.read, 0.0)
    ready.wait(120)
    answers.put([_outcome(engine, row) for row in rows])
    database.close()


def _outcome(engine: Engine, row: Any) -> str:
    while True:
        try:
            placing.place(_run(engine, row), row)
        except Impossible:
            return "refused"
        except CumuletError:
            continue  # others were quicker
        return "placed"


def _engine(scene: Scene, database: Database) -> Engine:
    return Engine(database, MemoryBus(), {}, {}, settings=scene.config)


def _run(engine: Engine, row: Any) -> Run:
    return Run(engine, _Leased("instance", row.id, EPOCH, 1, 0))  # type: ignore[arg-type]


class _Leased(NamedTuple):
    kind: str
    id: str
    epoch: int
    wakes: int
    tries: int


def _timed(act: Any) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _check(scene: Scene) -> None:
    """Raises `RuntimeError` where a host has promised more than it may, or counts wrongly."""
    database = Database(scene.config.database())
    with database.read() as tx:
        counted, promised, rows = capacity.counted(tx), capacity.promised(tx), host.all(tx)
    database.close()
    limits = {row.name: capacity.limits(row, scene.config) for row in rows}
    wrong = [name for name, used in counted.items() if used != promised.get(name, capacity.NOTHING)]
    wrong += [name for name in counted if any(map(float.__gt__, map(float, counted[name]), limits[name]))]
    if wrong:
        raise RuntimeError(f"{len(wrong)} hosts have promised what they must not, or count wrongly: {wrong[:5]}")


def _prepare(scene: Scene, hosts: int, instances: int) -> None:
    database = Database(scene.config.database())
    migrate.upgrade(database)
    names = _names(hosts)
    with database.write() as tx:
        for some in _parts(_hosts(names, instances // hosts)):
            tx.insert(host.host, *some)
        for role in host.GUEST_ROLES:
            for part in _parts(names):
                tx.insert(host.service, *({"role": role, "host": name, "heard": tx.now + 1e6} for name in part))
        for wanted in _parts(names[number % hosts] for number in range(instances)):
            _insert(tx, scene, [ids.new("instance") for _ in wanted], wanted)
        tx.change(work.work.update().values(due=None))
    database.close()


def _parts(values: Iterable[One], size: int = 1000) -> Iterator[list[One]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def _names(hosts: int) -> list[str]:
    return [f"h{number:05}" for number in range(hosts)]


def _hosts(names: list[str], guests: int) -> Iterator[dict[str, Any]]:
    """By turns in each zone, forty to a rack, each with as many guests."""
    used = {
        "used_vcpus": guests,
        "used_memory_mib": guests * SMALL.memory_mib,
        "used_disk_gib": guests * SMALL.disk_gib,
    }
    for number, name in enumerate(names):
        yield {
            "name": name,
            "zones": [f"zone-{number % ZONES}"],
            "vcpus": VCPUS,
            "memory_mib": MEMORY_MIB,
            "disk_gib": DISK_GIB,
            "facts": {"attributes": {"rack": f"r{number // 40}", "ssd": "true"}},
            **used,
        }


def _wanted(scene: Scene, database: Database, number: int) -> list[Any]:
    """New instances, leased, with their disks and interfaces."""
    made = [ids.new("instance") for _ in range(number)]
    with database.write() as tx:
        for part in _parts(made):
            _insert(tx, scene, part, [None] * len(part))
        tx.change(work.work.update().where(work.work.c.kind == "instance").values(epoch=EPOCH))
        return [instance.find(tx, id) for id in made]


def _insert(tx: Tx, scene: Scene, made: list[str], places: Sequence[str | None]) -> None:
    """Instances with all that belongs to them, on these hosts or on none yet."""
    where = {id: {"zone": "zone-0", "host": place} for id, place in zip(made, places, strict=True)}
    shared = {"account": scene.account, "vcpus": 1, "memory_mib": int(SMALL.memory_mib), "type": "m1.small"}
    shared |= {"vpc": "vpc-1", "subnet": "subnet-1", "image": "ami-1", "image_file": "imf-1", "reservation": "r-1"}
    guests = ({**shared, **where[id], "id": id, "claimed": where[id]["host"] is not None} for id in made)
    tx.insert(instance.instance, *guests)
    size = {"account": scene.account, "size_gib": int(SMALL.disk_gib)}
    disks = {ids.new("volume"): id for id in made}
    tx.insert(volume.volume, *({**size, **where[owner], "id": id} for id, owner in disks.items()))
    root = {"account": scene.account, "device": "/dev/sda1", "slot": "a", "delete_on_termination": True}
    attachment.add(tx, *({**root, "volume": id, "instance": owner} for id, owner in disks.items()))
    nics = {ids.new("interface"): id for id in made}
    shared = {"account": scene.account, "vpc": "vpc-1", "subnet": "subnet-1", "mac": "", "attachment": ""}
    tx.insert(
        interface.interface,
        *({**shared, **where[owner], "id": nic, "instance": owner, "ip": nic[-15:]} for nic, owner in nics.items()),
    )
    tx.insert(interface.interface_group, *({"interface": nic, "group_id": scene.group} for nic in nics))
    for kind, resources in (("instance", made), ("interface", list(nics))):
        work.wake_new(tx, kind, resources)
    tx.hints.clear()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.placement", description=__doc__)
    parser.add_argument("url", nargs="?", default="", help="SQLAlchemy URL of an empty database; SQLite without it")
    parser.add_argument("--hosts", type=int, default=HOSTS)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(table(measure(chosen.rounds, chosen.url, chosen.hosts, chosen.instances)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
