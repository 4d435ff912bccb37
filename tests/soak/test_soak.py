"""Random faults under users who go on: at the end nothing is stuck, leaked, lost or there twice.

`FAULTS=n` says how many, `SEED=n` which; `make soak` runs the long one.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.afterwards import check
from soak.faults import all_of, chosen, happening, last
from soak.scene import Scene, until
from soak.users import User

from cumulet.lib.private_host import SCRATCH_VARIABLE

FAULTS = int(os.environ.get("FAULTS") or 12)
SEED = int(os.environ.get("SEED") or time.time())
USERS = 2
BURST = 25
REST_SECONDS = 60.0

pytestmark = [pytest.mark.private_host, pytest.mark.timeout(60 + 30 * FAULTS + 240)]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    made = Scene(Path(os.environ[SCRATCH_VARIABLE]) / "lab")
    yield made
    made.close()


def test_fifty_creates_survive_the_death_of_each_part(scene: Scene) -> None:
    """As measured with OpenStack: a part dies while launches are under way, and all of them run."""
    lab, user = scene.laboratory, User(scene.environ, SEED - 1)  # a seed of its own: tokens come of it
    user.launch(BURST)
    lab.hosts["h1"].kill_cumulet()
    user.launch(BURST)
    lab.controller.kill_cumulet()
    user.launch(BURST)
    lab.rabbitmq.stop()
    user.launch(BURST)
    lab.rabbitmq.start()
    come_to_rest(scene)
    check(scene, user.wanted, scene.shared)
    user.terminate_all()
    come_to_rest(scene)
    check(scene, user.wanted, scene.shared)


def test_random_faults_leave_nothing_stuck_leaked_or_twice(scene: Scene) -> None:
    chance, happened = random.Random(SEED), Counter[str]()
    users = [User(scene.environ, SEED + number) for number in range(USERS)]
    for user in users:
        user.start()
    for _ in range(FAULTS):
        fault = chosen(all_of(scene), chance)
        happened[fault.name] += 1
        with happening(fault):
            last(fault, chance)
    for user in users:
        user.stop()
        assert user.failed is None, f"{user.failed!r} (SEED={SEED})"
    seconds = come_to_rest(scene)
    report(happened, users, seconds)
    check(scene, {id: state for user in users for id, state in user.wanted.items()}, scene.shared)


def come_to_rest(scene: Scene) -> float:
    """Returns when nothing is due but sweeps; the seconds that it took."""
    began = time.monotonic()
    until(scene.all_heard, REST_SECONDS, f"all hosts to be heard (SEED={SEED})")
    until(lambda: not scene.waiting(), REST_SECONDS, f"everything to come to rest (SEED={SEED})", scene.waiting)
    return time.monotonic() - began


def report(happened: Counter[str], users: list[User], seconds: float) -> None:
    """What the long run prints."""
    asked = sum((user.done for user in users), Counter[str]())
    lines = [f"seed {SEED}: {happened.total()} faults, at rest {seconds:.1f} s after the last"]
    lines += [f"  {count:5}  {name}" for name, count in sorted(happened.items())]
    lines += ["of the users' requests"]
    lines += [f"  {count:5}  {name}" for name, count in sorted(asked.items())]
    states = Counter(state for user in users for state in user.wanted.values())
    lines += ["wanted: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))]
    sys.stderr.write("\n".join(lines) + "\n")
