"""The network driver and the metadata service as a process; run by `netns.Network` inside a host."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.answering import answer_questions

from cumulet.agent.metadata import MetadataServer
from cumulet.drivers import specs
from cumulet.drivers.network.linux import LinuxNetwork
from cumulet.drivers.network.settings import NetworkSettings
from cumulet.lib import crash


def main() -> None:
    facts = json.loads(sys.argv[1])
    settings = NetworkSettings(**{**facts, "state_directory": Path(facts["state_directory"])})
    driver = LinuxNetwork(settings, MetadataServer(Path("/run/test/metadata")))
    answer_questions(
        {
            "ensure": lambda spec, die_at=0: _dying(die_at, lambda: driver.ensure(decode(spec))),
            "remove": lambda id, die_at=0: _dying(die_at, lambda: driver.remove(id)),
            "observe": lambda: [[seen.id, seen.state] for seen in driver.observe()],
            "look": lambda id: driver.look(id) is not None,
            "together": lambda specs: _together(lambda spec: driver.ensure(decode(spec)), specs),
            "remove_together": lambda ids: _together(driver.remove, ids),
            "time": lambda spec: _milliseconds(lambda: driver.ensure(decode(spec))),
        }
    )


def decode(spec: str) -> specs.Spec:
    return specs.decode(spec.encode())


def _together(work: Callable[[str], None], items: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, items))


def _dying(die_at: int, work: Callable[[], None]) -> str | None:
    """Do it, but be dead from the crash point with this number on (1 is the first; 0: never); gives its name."""
    passed = 0

    def pass_point(name: str) -> None:
        nonlocal passed
        passed += 1
        if passed == die_at:
            raise crash.Died(name)

    try:
        with crash.at_each_point(pass_point):
            work()
    except crash.Died as e:
        return str(e)
    return None


def _milliseconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
