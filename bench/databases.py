"""The same cloud on the three databases: launches, reads, and the engine's leases, in turns.

The servers are private ones which write each commit to the disk, as SQLite does for a cloud that is no test's.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.databases import KINDS, Tested, started

from bench.endpoints import Endpoint, fake_cumulet
from bench.figures import Figure, median
from cumulet.model import Database, migrate, work
from cumulet.model.database import retried

CLIENTS, EACH = 8, 5
ROWS, THREADS, AT_ONCE = 960, 4, 16
MANY = 100


def measure(rounds: int) -> list[Figure]:
    """Each round asks all three, so that each has its share of whatever else the machine does."""
    found: dict[tuple[str, str, str], list[float]] = {}
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(started(kind, durable=True)) for kind in KINDS if kind != "sqlite"}
        clouds = {kind: stack.enter_context(_cloud(servers.get(kind))) for kind in KINDS}
        engines = {kind: stack.enter_context(_database(servers.get(kind))) for kind in KINDS}
        for _ in range(rounds):
            for what, unit, look in PARTS:
                for kind in KINDS:
                    found.setdefault((what, unit, kind), []).append(look(clouds[kind]))
            for kind in KINDS:
                found.setdefault(("rows leased and let rest", "/s", kind), []).append(_lease(engines[kind]))
    return [
        Figure(f"{what}, {kind}", median(values), unit, note=f"median of {rounds}")
        for (what, unit, kind), values in found.items()
    ]


@contextmanager
def _cloud(server: Tested | None) -> Iterator[Endpoint]:
    with fake_cumulet(database_url=server.anew("cumulet_bench") if server else "") as cloud:
        yield cloud


@contextmanager
def _database(server: Tested | None) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as directory:
        made = Database(server.anew("cumulet_engine") if server else f"sqlite:///{Path(directory) / 'engine.db'}")
        migrate.upgrade(made)
        yield made
        made.close()


def _answer(cloud: Endpoint) -> float:
    """Milliseconds to the answer of RunInstances, nothing else going on."""
    ec2, times = cloud.client(), []
    image = _image(ec2)
    for _ in range(10):
        begun = time.monotonic()
        made = _launch(ec2, image, 1)
        times.append((time.monotonic() - begun) * 1000)
        _end(ec2, made)
    return median(times)


def _alone(cloud: Endpoint) -> float:
    """Milliseconds from the request of one launch to running."""
    ec2, times = cloud.client(), []
    image = _image(ec2)
    for _ in range(5):
        begun = time.monotonic()
        made = _launch(ec2, image, 1)
        _wait_for(ec2, made, "running", 0.002)
        times.append((time.monotonic() - begun) * 1000)
        _end(ec2, made)
    return median(times)


def _hundred(cloud: Endpoint) -> float:
    """Launches a second, a hundred in one request, to running."""
    ec2 = cloud.client()
    image = _image(ec2)
    begun = time.monotonic()
    made = _launch(ec2, image, MANY)
    _wait_for(ec2, made, "running", 0.1)
    seconds = time.monotonic() - begun
    _end(ec2, made)
    return MANY / seconds


def _together(cloud: Endpoint) -> float:
    """Launches a second to running, asked for by several clients, one after the other each."""
    made: list[str] = []
    clients = [cloud.client() for _ in range(CLIENTS)]
    image = _image(clients[0])

    def launch(ec2: Any) -> None:
        for _ in range(EACH):
            made.extend(_launch(ec2, image, 1))

    begun = time.monotonic()
    _run([lambda ec2=ec2: launch(ec2) for ec2 in clients])  # type: ignore[misc]
    _wait_for(clients[0], made, "running", 0.05)
    seconds = time.monotonic() - begun
    _end(clients[0], made)
    return len(made) / seconds


def _describe(cloud: Endpoint) -> float:
    """Milliseconds of a DescribeInstances by id."""
    ec2, times = cloud.client(), []
    image = _image(ec2)
    made = _launch(ec2, image, 1)
    for _ in range(20):
        begun = time.monotonic()
        ec2.describe_instances(InstanceIds=made)
        times.append((time.monotonic() - begun) * 1000)
    _end(ec2, made)
    return median(times)


PARTS: tuple[tuple[str, str, Callable[[Endpoint], float]], ...] = (
    ("RunInstances answers", "ms", _answer),
    ("RunInstances to running on fakes", "ms", _alone),
    (f"{MANY} launches in one request to running", "/s", _hundred),
    (f"launches by {CLIENTS} clients to running", "/s", _together),
    ("DescribeInstances by id", "ms", _describe),
)


def _lease(database: Database) -> float:
    """Rows a second that four threads lease, a few at once, and let rest."""
    with database.write() as tx:
        for number in range(ROWS):
            work.wake(tx, "thing", f"{number:04}")
    taken: list[str] = []

    def turn(ended: list[Any]) -> list[Any]:
        with database.write() as tx:
            for row in ended:
                work.rest(tx, "thing", row.id, row.epoch, row.wakes)
            return work.lease(tx, "h1", 60.0, AT_ONCE, ["thing"])

    def engine() -> None:
        rows: list[Any] = []
        while rows := retried(lambda: turn(rows)):
            taken.extend(row.id for row in rows)

    begun = time.monotonic()
    _run([engine] * THREADS)
    seconds = time.monotonic() - begun
    if sorted(taken) != [f"{number:04}" for number in range(ROWS)]:
        raise RuntimeError(f"{ROWS} rows were leased {len(taken)} times")
    return ROWS / seconds


def _run(acts: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _image(ec2: Any) -> str:
    return str(ec2.describe_images()["Images"][0]["ImageId"])


def _launch(ec2: Any, image: str, number: int) -> list[str]:
    answer = ec2.run_instances(ImageId=image, InstanceType="t2.nano", MinCount=number, MaxCount=number)
    return [one["InstanceId"] for one in answer["Instances"]]


def _end(ec2: Any, made: list[str]) -> None:
    ec2.terminate_instances(InstanceIds=made)
    _wait_for(ec2, made, "terminated", 0.02)


def _wait_for(ec2: Any, made: list[str], state: str, pause: float) -> None:
    for _ in range(3000):
        found = ec2.describe_instance_status(InstanceIds=made, IncludeAllInstances=True)["InstanceStatuses"]
        if all(one["InstanceState"]["Name"] == state for one in found):
            return
        time.sleep(pause)
    raise RuntimeError(f"the instances are not {state}")
