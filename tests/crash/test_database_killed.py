"""The database's server is killed and started again while clients launch: nothing that was answered is lost.

Each client is boto3 without retries of its own; after a 503 it sends the same request again, with the same token.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from crash import runner
from crash.afterwards import check
from crash.site import Site
from support import databases
from support.databases import Tested
from support.tested_cloud import TestedCloud

from cumulet.model import instance, work

pytestmark = pytest.mark.database_servers
CLIENTS = 6
KILLS = 3
PATIENCE_SECONDS = 60.0
ROOM = {"vcpu_overcommit": 1e6, "memory_overcommit": 1e6, "disk_overcommit": 1e6}


class Clients:
    """What they wanted, what they were answered, and what they should not have been answered."""

    def __init__(self, cloud: TestedCloud) -> None:
        self.cloud = cloud
        self.over = threading.Event()
        self.answered: dict[str, str] = {}
        """Token to the instance."""
        self.wanted: dict[str, str] = {}
        """Instance to its state in the end."""
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []

    def started(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self.be_client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def be_client(self, number: int) -> None:
        chance, ec2 = random.Random(number), self.cloud.client()
        while not self.over.is_set():
            token = str(UUID(int=chance.getrandbits(128)))
            launched = self.insist(
                ec2.run_instances, ImageId=self.cloud.image, MinCount=1, MaxCount=1, ClientToken=token
            )
            if launched is None:
                return
            id = launched["Instances"][0]["InstanceId"]
            self.answered[token] = id
            self.wanted[id] = "running"
            if chance.random() < 0.4 and self.insist(ec2.terminate_instances, InstanceIds=[id]) is not None:
                self.wanted[id] = "terminated"
            time.sleep(chance.uniform(0.0, 0.05))

    def have(self, number: int) -> bool:
        return len(self.answered) >= number

    def judge(self, threads: list[threading.Thread], site: Path) -> None:
        """They end; all that they were answered is there, once, and nothing else."""
        self.over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert self.wrong == []
        assert set(self.refused) == {"Unavailable"}
        wait_for(lambda: at_rest(self.cloud))
        tokens = Counter(row.client_token for row in rows(self.cloud))
        assert tokens == Counter(self.answered.keys())
        assert {row.id: row.state for row in rows(self.cloud)} == self.wanted
        self.cloud.cloud.engine.stop()
        after = Site(site)  # its clock is ahead: what was terminated is not shown any more
        check(after, {id: state for id, state in self.wanted.items() if state == "running"})
        after.close()

    def insist(self, call: Callable[..., Any], **parameters: Any) -> Any:
        """Send it again after each 503; None where it was answered with anything else."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                return call(**parameters)
            except ClientError as e:
                if e.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                    self.wrong.append(str(e))
                    return None
                self.refused[e.response["Error"]["Code"]] += 1
            except Exception as e:  # noqa: BLE001 - a connection that ends without an answer is wrong too
                self.wrong.append(repr(e))
                return None
        self.wrong.append(f"{parameters} was not answered")
        return None


@pytest.fixture
def cloud(tmp_path: Path, give_database: databases.Give) -> Iterator[TestedCloud]:
    give_database(tmp_path / "site")
    made = TestedCloud(tmp_path / "site", **settings(tmp_path / "site"))
    made.cloud.start()
    yield made
    made.server.stop()
    made.cloud.stop()


def settings(directory: Path) -> dict[str, Any]:
    """Those with which the site is looked at afterwards."""
    same = runner.config(directory)
    kept = ("database_url", "tunnel_address", "vlan_interface")
    return {key: getattr(same, key) for key in kept} | ROOM


def test_a_server_killed_under_load_loses_nothing_and_leaves_nothing_stuck(
    cloud: TestedCloud, database_server: Tested, tmp_path: Path
) -> None:
    clients, chance = Clients(cloud), random.Random(3)
    threads = clients.started()
    for number in range(KILLS):
        time.sleep(chance.uniform(0.7, 1.5))
        database_server.kill()
        time.sleep(3.0 if number == 0 else chance.uniform(0.0, 0.5))  # longer than a request waits, and shorter
        enough = len(clients.answered) + 2 * CLIENTS
        database_server.start()
        wait_for(partial(clients.have, enough))
    clients.judge(threads, tmp_path / "site")


def rows(cloud: TestedCloud) -> list[Any]:
    with cloud.database.read() as tx:
        return tx.all(sa.select(instance.instance))


def at_rest(cloud: TestedCloud) -> bool:
    due = sa.select(work.work.c.id).where(work.work.c.due.is_not(None), work.work.c.kind != "sweep")
    with cloud.database.read() as tx:
        return tx.first(due) is None


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.02)
