"""What goes wrong in a laboratory: each fault is there for a while, and is mended."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from soak.scene import FENCE, Scene

from cumulet.model.host_lease import MARGIN_SECONDS

SECONDS = (0.2, 4.0)
"""For how long a fault lasts."""
UNTIL_IT_IS_LOST = (FENCE + MARGIN_SECONDS, FENCE + MARGIN_SECONDS + 8.0)
"""For how long a host is away whose guests are started elsewhere."""
HOUR = 3600


class Fault(NamedTuple):
    """`begin` makes it so, `mend` ends it; `weight` says how often it is chosen."""

    name: str
    weight: int
    begin: Callable[[], object]
    mend: Callable[[], object] = lambda: None
    seconds: tuple[float, float] = SECONDS


def all_of(scene: Scene) -> list[Fault]:
    """The faults of this laboratory's parts, each host's of its own.

    A host that is alone in its zone is not away for long: there would be no other one to launch what users want there.
    """
    lab = scene.laboratory
    zones = Counter(host.zone for host in lab.hosts.values())
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
            Fault("clock an hour ahead", 1, partial(scene.set_clock, name, HOUR), partial(scene.set_clock, name)),
        ]
        if zones[host.zone] > 1:
            found += [
                Fault("host lost for long", 1, lose, host.start, UNTIL_IT_IS_LOST),
                Fault("host cut off for long", 1, host.cut, host.heal, UNTIL_IT_IS_LOST),
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


def last(fault: Fault, chance: random.Random) -> None:
    time.sleep(chance.uniform(*fault.seconds))
