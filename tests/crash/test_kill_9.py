"""Real processes, killed at random while users launch and terminate: in the end nothing is stuck, leaked or lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from crash import runner
from crash.afterwards import check
from crash.lives import launch, reboot, start, stop, terminate
from crash.site import Site

from cumulet.lib.config import Config
from cumulet.model import Database, account, image, instance, work

KILLS = 25
PATIENCE_SECONDS = 30.0


class Client:
    """A user of the account `admin`, in a process of their own."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.database = Database(config.database(), durable=False, keys=config.keyring())
        with self.database.read() as tx:
            found = account.named(tx, "admin")
            assert found is not None
            self.account: str = found.id
            self.image: str = image.visible(tx, found.id)[0].id

    def states(self) -> dict[str, str]:
        with self.database.read() as tx:
            rows = tx.all(sa.select(instance.instance.c.id, instance.instance.c.state))
        return {row.id: row.state for row in rows}

    def at_rest(self) -> bool:
        due = sa.select(work.work.c.id).where(work.work.c.due.is_not(None), work.work.c.kind != "sweep")
        with self.database.read() as tx:
            return tx.first(due) is None


def test_processes_killed_at_random_leave_nothing_stuck_and_nothing_behind(template: Path, tmp_path: Path) -> None:
    site = Site.copy(template, tmp_path / "site")
    site.close()
    client, chance = Client(site.config), random.Random(9)
    wanted: dict[str, str] = {}
    for number in range(KILLS):
        with process(site.directory) as killed:
            if number % 3:  # every third one is killed while it begins
                assert killed.stdout is not None
                assert killed.stdout.readline() == b"up\n"
            act_for(client, wanted, chance, time.monotonic() + chance.uniform(0.1, 0.8))
    with process(site.directory):
        wait_for(client.at_rest)
    assert {id: client.states()[id] for id in wanted} == wanted
    client.database.close()
    after = Site(site.directory)
    check(after, wanted)
    after.close()


@contextmanager
def process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A cloud in a process of its own; it is killed at the end of the block."""
    environ = {**os.environ, "PYTHONPATH": str(Path(runner.__file__).parents[1])}
    command = [sys.executable, runner.__file__, str(directory)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ)
    try:
        yield killed
    finally:
        killed.kill()
        killed.communicate()


def act_for(client: Client, wanted: dict[str, str], chance: random.Random, until: float) -> None:
    """Users do something every few milliseconds; `wanted` is what comes of it, by instance."""
    while time.monotonic() < until:
        act(client, wanted, chance)
        time.sleep(chance.uniform(0.02, 0.2))


def act(client: Client, wanted: dict[str, str], chance: random.Random) -> None:
    living = [id for id, state in wanted.items() if state == "running"]
    what = chance.choice(["launch", "terminate", "stop", "reboot", "start"])
    if what == "launch" or len(living) < 4:
        wanted[launch(client)] = "running"
        return
    id = chance.choice(living)
    if what == "terminate":
        terminate(client, id)
        wanted[id] = "terminated"
    elif what == "reboot":
        reboot(client, id)
    elif what == "stop":
        stop(client, id)
        wanted[id] = "stopped"
    else:
        begin_stopped(client, wanted)


def begin_stopped(client: Client, wanted: dict[str, str]) -> None:
    for id, state in client.states().items():
        if state == "stopped" and wanted.get(id) == "stopped":
            start(client, id)
            wanted[id] = "running"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it does not come to rest"
        time.sleep(0.05)
