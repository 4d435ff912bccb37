"""What goes wrong in a laboratory: each fault is there for a while, and is mended."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from soak.scene import Scene

LONGEST = 4.0
"""Seconds for which a fault lasts, at most."""


class Fault(NamedTuple):
    """`begin` makes it so, `mend` ends it; `weight` says how often it is chosen."""

    name: str
    weight: int
    begin: Callable[[], object]
    mend: Callable[[], object] = lambda: None


def all_of(scene: Scene) -> list[Fault]:
    """The faults of this laboratory's parts, each host's of its own."""
    lab = scene.laboratory
    found = [
        Fault("controller killed", 6, lab.controller.kill_cumulet),
        Fault("RabbitMQ killed", 2, lab.rabbitmq.stop, lab.rabbitmq.start),
        Fault("PostgreSQL killed", 2, lab.postgres.stop, lab.postgres.start),
    ]
    for name, host in lab.hosts.items():

        def lose(name: str = name) -> None:
            lab.hosts[name].kill()
            scene.worlds[name].reboot()

        found += [
            Fault("agents killed", 3, host.kill_cumulet),
            Fault("host cut off", 2, host.cut, host.heal),
            Fault("host lost", 1, lose, host.start),
        ]
    return found


@contextmanager
def happening(fault: Fault) -> Iterator[None]:
    """The fault is there until the block ends, however that ends."""
    fault.begin()
    try:
        yield
    finally:
        fault.mend()


def chosen(faults: list[Fault], chance: random.Random) -> Fault:
    return chance.choices(faults, [fault.weight for fault in faults])[0]


def last_for_a_while(chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, LONGEST))
