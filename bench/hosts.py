"""Many hosts on RabbitMQ and PostgreSQL: what they cost while nothing happens, and launches with a million at rest.

The control plane is a process of its own, and so are the hosts, whose agents have fake drivers; heartbeats, sweeps and
orders are real: `python -m bench.hosts hosts DIRECTORY` serves those that the standard input names, with their places
on the bus. What the broker and the database use is in the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from support.databases import started
from support.rabbitmq import RabbitMQ

from bench.endpoints import Endpoint, served
from bench.figures import Figure, median, percentile
from bench.processor import cpu_seconds
from cumulet.cli import calls
from cumulet.lib.s3_link import Signer
from cumulet.model import attachment, instance, interface, servers, volume

HOSTS = 1000
TOGETHER = 100
"""Hosts that are threads of one process."""
IDLE_SECONDS = 60.0
MANY, SINGLE = 100, 20
AT_REST, PAGE = 1_000_000, 1000
KIND = {"InstanceType": "m1.tiny"}


class Scene(NamedTuple):
    """The cloud, and the first processes of each part."""

    cloud: Endpoint
    parts: Mapping[str, Sequence[int]]
    database: str


def measure(rounds: int, at_rest: int = AT_REST) -> list[Figure]:
    with _scene(4) as scene:
        found = _launches(scene, rounds)
        found += _with_many_at_rest(scene, rounds, at_rest)
    with _scene(HOSTS) as scene:
        return found + _idle(scene)


def _idle(scene: Scene) -> list[Figure]:
    """Shares of a core while nothing happens, for a thousand hosts."""
    time.sleep(90)  # all have been swept once
    before = _used(scene)
    time.sleep(IDLE_SECONDS)
    used = {part: each - before[part] for part, each in _used(scene).items()}
    times = 100 / IDLE_SECONDS
    note = f"for {IDLE_SECONDS:g} s"
    aims = {"control plane": "< 10"}
    return [
        Figure(f"idle, 1,000 hosts: {part}", seconds * times, "% of a core", target=aims.get(part, ""), note=note)
        for part, seconds in used.items()
        if part != "hosts"
    ]


def _launches(scene: Scene, rounds: int) -> list[Figure]:
    """A hundred to running, by a request for each and by one for all; and what each part used for one."""
    ec2 = scene.cloud.client()
    _single(ec2, 3)
    name = f"{MANY} launches on 4 hosts by RabbitMQ and PostgreSQL"
    ways: dict[str, Callable[[], object]] = {
        "a request for each": lambda: _by_many(scene.cloud, _image(ec2)),
        "one request for all": lambda: ec2.run_instances(ImageId=_image(ec2), **KIND, MinCount=MANY, MaxCount=MANY),
    }
    figures = []
    for way, ask in ways.items():
        rates, shares = [], []
        for _ in range(rounds):
            before, begun = _used(scene), time.monotonic()
            ask()
            _until_none(ec2, "pending")
            rates.append(MANY / (time.monotonic() - begun))
            shares.append({part: 1000 * (each - before[part]) / MANY for part, each in _used(scene).items()})
            _terminate(ec2, _running(ec2))
        figures.append(Figure(f"{name}, {way}", median(rates), "/s", "≥ 50", f"median of {rounds}"))
        for part in shares[0]:
            value = median([share[part] for share in shares])
            figures.append(Figure(f"of which for one: {part}", value, "ms of processor"))
    return figures


def _by_many(cloud: Endpoint, image: str) -> None:
    """Four users ask for a quarter each, one after the other, in as little of their own time as can be."""
    user = calls.Client(Signer(cloud.key, cloud.secret, "", cloud.region), cloud.url, cloud.url)
    asked = {"ImageId": image, **KIND, "MinCount": "1", "MaxCount": "1"}

    def ask() -> None:
        for _ in range(MANY // 4):
            calls.ec2(user, "RunInstances", **asked)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _running(ec2: Any) -> list[str]:
    found = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
    return [str(one["InstanceId"]) for reservation in found for one in reservation["Instances"]]


def _with_many_at_rest(scene: Scene, rounds: int, at_rest: int) -> list[Figure]:
    ec2 = scene.cloud.client()
    before = _single(ec2, SINGLE)
    one = _fill(scene.database, ec2, at_rest)
    after = _single(ec2, SINGLE)
    by_id = _answers(ec2, 20 * rounds, InstanceIds=[one])
    page = _answers(ec2, 4 * rounds, MaxResults=PAGE)
    name = f"with {at_rest:,} at rest in PostgreSQL"
    return [
        Figure("launch to running, with none at rest", 1000 * median(before), "ms", note=f"median of {SINGLE}"),
        Figure(f"launch to running, {name}", median(after) / median(before), "times as long", "≤ 1.2"),
        Figure(f"DescribeInstances by id, {name}", 1000 * median(by_id.plain), "ms", "< 10", by_id.note()),
        Figure(f"DescribeInstances, first {PAGE}, {name}", 1000 * median(page.plain), "ms", "< 150", page.note()),
    ]


class Answers(NamedTuple):
    """Seconds until an answer's last byte, and until boto3 has made objects of one."""

    plain: list[float]
    read: list[float]

    def note(self) -> str:
        return f"p95 {1000 * percentile(self.plain, 0.95):.0f}; with boto3's reading {1000 * median(self.read):.0f}"


def _answers(ec2: Any, times: int, **asked: Any) -> Answers:
    url = ec2.generate_presigned_url("describe_instances", Params=asked, HttpMethod="GET")
    found = Answers([], [])
    for _ in range(times):
        found.plain.append(_seconds(lambda: urllib.request.urlopen(url, timeout=60).read()))
        found.read.append(_seconds(lambda: ec2.describe_instances(**asked)))
    return found


def _seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _single(ec2: Any, count: int) -> list[float]:
    """Seconds from the request to running, one after the other."""
    found, ids = [], []
    for _ in range(count):
        begun = time.monotonic()
        ids.append(_run(ec2))
        while _states(ec2, ids[-1:]) != {"running"}:
            time.sleep(0.005)
        found.append(time.monotonic() - begun)
    _terminate(ec2, ids)
    return found


def _terminate(ec2: Any, ids: list[str]) -> None:
    ec2.terminate_instances(InstanceIds=ids)
    _until_all(ec2, ids, "terminated")


def _run(ec2: Any) -> str:
    made = ec2.run_instances(ImageId=_image(ec2), **KIND, MinCount=1, MaxCount=1)
    return str(made["Instances"][0]["InstanceId"])


@cache
def _image(ec2: Any) -> str:
    return str(ec2.describe_images(Owners=["self"])["Images"][0]["ImageId"])


def _states(ec2: Any, ids: list[str]) -> set[str]:
    found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    return {one["State"]["Name"] for reservation in found for one in reservation["Instances"]}


def _until_none(ec2: Any, state: str) -> None:
    """Asks for a few of those that are in it, so that asking takes little of what is measured."""
    asked = {"Filters": [{"Name": "instance-state-name", "Values": [state]}], "MaxResults": 5}
    while ec2.describe_instances(**asked)["Reservations"]:
        time.sleep(0.05)


def _until_all(ec2: Any, ids: list[str], state: str) -> None:
    """One after the other, so as to ask little."""
    for id in ids:
        while _states(ec2, [id]) != {state}:
            time.sleep(0.05)


def _fill(url: str, ec2: Any, number: int) -> str:
    """So many stopped instances, each with its disk and its interface, a thousand to an account; gives one's id."""
    model = _run(ec2)
    _until_all(ec2, [model], "running")
    ec2.stop_instances(InstanceIds=[model], Force=True)
    _until_all(ec2, [model], "stopped")
    ids = {kind: f"'{prefix}-' || lpad(to_hex(n), 17, '0')" for kind, prefix in PREFIXES.items()}
    account = f"CASE WHEN n < {PAGE} THEN t.account ELSE lpad((n / {PAGE})::text, 12, '0') END"
    place = {
        name: f"CASE WHEN n < {PAGE} THEN t.{name} ELSE '{name}-' || (n / {PAGE}) END" for name in ("vpc", "subnet")
    }
    ip = "'10.' || (n >> 16) || '.' || ((n >> 8) & 255) || '.' || (n & 255)"
    sources = {
        instance.instance: ("t.id = :model", {**place, "id": ids["instance"], "reservation": ids["reservation"]}),
        interface.interface: (
            "t.instance = :model",
            {**place, "id": ids["interface"], "instance": ids["instance"], "ip": ip},
        ),
        volume.volume: (
            "t.id = (SELECT volume FROM attachment WHERE instance = :model)",
            {"id": ids["volume"], "host": "'elsewhere'"},  # the hosts here have none of them, and would be told so
        ),
        attachment.attachment: (
            "t.instance = :model",
            {"id": ids["attachment"], "volume": ids["volume"], "instance": ids["instance"]},
        ),
    }
    engine = servers.engine(url, durable=False)
    with engine.begin() as connection:
        for table, (which, values) in reversed(sources.items()):
            chosen = {column.name: f"t.{column.name}" for column in table.c} | {"account": account} | values
            source = f"FROM {table.name} t, generate_series(1, {number}) n WHERE {which}"
            text = f"INSERT INTO {table.name} ({', '.join(chosen)}) SELECT {', '.join(chosen.values())} {source}"
            connection.execute(sa.text(text.replace("::", r"\:\:")), {"model": model})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return model


PREFIXES = {"instance": "i", "reservation": "r", "interface": "eni", "volume": "vol", "attachment": "volattach"}


def _used(scene: Scene) -> dict[str, float]:
    """Seconds of processor that each part has used so far, with all of its processes."""
    return {part: cpu_seconds(pids) for part, pids in scene.parts.items()}


@contextmanager
def _scene(hosts: int) -> Iterator[Scene]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cumulet-bench-")))
        server = stack.enter_context(started("postgresql", durable=True))
        quotas = {f"quota_{name}": "1000000" for name in ("instances", "vcpus", "memory_gib", "volumes", "volume_gib")}
        (directory / "rabbitmq").mkdir()
        rabbitmq = RabbitMQ(directory / "rabbitmq")
        stack.callback(rabbitmq.kill)
        rabbitmq.start()
        vhost = rabbitmq.make()
        url = server.anew("cumulet_bench")
        settings = {
            "database_url": url,
            "bus_url": vhost.url,
            "roles": "api,scheduler",
            "public_pool": "198.18.0.0/16",
            **quotas,
        }
        cloud = stack.enter_context(served(directory / "control", settings | {"image_dir": str(directory / "images")}))
        places = {f"h{number}": vhost.host(f"h{number}") for number in range(1, hosts + 1)}
        family = stack.enter_context(_hosts(directory, places))
        parts = {"control plane": [cloud.pid], "hosts": family}
        parts |= {"RabbitMQ": [rabbitmq.pid or 0], "PostgreSQL": [server.pid or 0]}
        while not _has_image(cloud.client()):
            time.sleep(0.5)
        yield Scene(cloud, parts, url)


def _has_image(ec2: Any) -> bool:
    return [one["State"] for one in ec2.describe_images(Owners=["self"])["Images"]] == ["available"]


@contextmanager
def _hosts(directory: Path, places: dict[str, str]) -> Iterator[list[int]]:
    """The processes of the hosts, once all of them are heard."""
    with ExitStack() as stack:
        several = [stack.enter_context(_process(directory, some)) for some in _in_parts(places)]
        for process in several:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield [process.pid for process in several]


def _in_parts(places: dict[str, str]) -> list[dict[str, str]]:
    pairs = list(places.items())
    return [dict(pairs[first : first + TOGETHER]) for first in range(0, len(pairs), TOGETHER)]


@contextmanager
def _process(directory: Path, places: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "bench.hosts", "hosts", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(places).encode())
            process.stdin.close()
            yield process
        finally:
            process.kill()


def _serve(directory: Path) -> None:
    from cumulet.lib import log
    from cumulet.lib.config import AGENTS, Config
    from cumulet.services import Cloud

    log.start("error")
    places: dict[str, str] = json.load(sys.stdin)
    for name, url in places.items():
        state = directory / "hosts" / name
        state.mkdir(parents=True)
        shared = {"image_dir": str(directory / "images"), "drivers": "fake", "test": True, "roles": list(AGENTS)}
        Cloud(Config(state_dir=state, host_name=name, bus_url=url, **shared)).start()  # type: ignore[arg-type]
        time.sleep(0.02)  # they do not all beat at the same moment
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["hosts"]:
        _serve(Path(sys.argv[2]))
    else:
        from bench.figures import table

        print(table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3)))
