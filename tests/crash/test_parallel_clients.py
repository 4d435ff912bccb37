"""Fifty clients at once on a small host: the pools of addresses, the capacity and the quota never go wrong."""

from __future__ import annotations

import ipaddress
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from crash.afterwards import check
from crash.lives import launch_in, terminate
from crash.site import Site
from support import databases

from cumulet.lib.config import Config
from cumulet.lib.errors import Refusal
from cumulet.model import Database, Tx, account, address, capacity, image, instance, interface
from cumulet.model.capacity import NOTHING
from cumulet.model.database import retried
from cumulet.services import Cloud

CLIENTS = 50
VCPUS = 5
QUOTA = 9
PUBLIC = "198.51.100.8/29"
"""Six addresses; each subnet below has eleven."""
SECONDS = 12.0


class Small:
    """A cloud with real time and threads, little of everything, and what its clients and its reader found."""

    def __init__(self, directory: Path) -> None:
        overcommit = VCPUS / (os.cpu_count() or 1)
        self.config = Config(
            state_dir=directory,
            database_url=databases.noted(directory),
            drivers="fake",
            test=True,
            host_name="h1",
            vcpu_overcommit=overcommit,
            vpc_cidr="10.0.0.0/27",
            public_pool=[PUBLIC],
            quota_instances=QUOTA,
        )
        self.cloud = Cloud(self.config)
        self.database: Database = self.cloud.database
        self.cloud.prepare()
        self.cloud.start()
        with self.database.read() as tx:
            found = account.named(tx, "admin")
            assert found is not None
            self.account: str = found.id
            self.image: str = image.visible(tx, found.id)[0].id
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.over = threading.Event()

    def state(self, id: str) -> tuple[str, str]:
        with self.database.read() as tx:
            row = instance.find(tx, id)
            assert row is not None
            return row.state, row.reason_code


@pytest.fixture
def small(tmp_path: Path, give_database: databases.Give) -> Iterator[Small]:
    give_database(tmp_path / "site")
    made = Small(tmp_path / "site")
    yield made
    made.over.set()
    made.cloud.stop()


def test_capacity_addresses_and_quota_hold_under_fifty_clients(small: Small, tmp_path: Path) -> None:
    until = time.monotonic() + SECONDS
    reader = threading.Thread(target=watch, args=(small,))
    clients = [threading.Thread(target=be_client, args=(small, number, until)) for number in range(CLIENTS)]
    for thread in [reader, *clients]:
        thread.start()
    for thread in clients:
        thread.join(SECONDS + 60)
    small.over.set()
    reader.join(10)
    assert small.wrong == []
    assert small.outcomes["reader"] > 20
    assert small.outcomes["running"] > 10
    assert small.outcomes["InstanceLimitExceeded"] > 0
    assert small.outcomes["Server.InsufficientInstanceCapacity"] > 0
    small.cloud.engine.stop()
    after = Site(tmp_path / "site")
    check(after, {})
    assert states(after) <= {"terminated"}
    after.close()


def states(site: Site) -> set[str]:
    with site.database.read() as tx:
        return set(tx.connection.scalars(sa.select(instance.instance.c.state)))


def be_client(small: Small, number: int, until: float) -> None:
    """Launch, wait for what comes of it, terminate, again and again."""
    chance = random.Random(number)
    while time.monotonic() < until:
        try:
            ids = retried(partial(launch_within_quota, small, VCPUS if chance.random() < 0.2 else 1))
        except Refusal as refused:
            small.outcomes[refused.code] += 1
            time.sleep(chance.uniform(0.05, 0.3))
            continue
        for id in ids:
            if chance.random() < 0.7:
                small.outcomes[outcome(small, id)] += 1
            retried(partial(terminate, small, id))


def launch_within_quota(small: Small, number: int) -> list[str]:
    """As many as fill the host are too many where some run: however slow launches are, some are refused."""
    with small.database.write() as tx:
        account.hold(tx, small.account)
        if instance.count_living(tx, small.account) + number > small.config.quota_instances:
            raise Refusal("InstanceLimitExceeded", "as many as the quota allows are there")
        return [launch_in(tx, small) for _ in range(number)]


def outcome(small: Small, id: str) -> str:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        state, reason = small.state(id)
        if state != "pending":
            return reason or state
        time.sleep(0.02)
    small.wrong.append(f"{id} stays pending")
    return "stuck"


def watch(small: Small) -> None:
    """Read again and again, and note whatever is not as it must be at any moment."""
    while not small.over.wait(0.01):
        with small.database.read() as tx:
            small.wrong += wrong(tx, small)
        small.outcomes["reader"] += 1


def wrong(tx: Tx, small: Small) -> list[str]:
    counted, promised = capacity.counted(tx)["h1"], capacity.promised(tx).get("h1", NOTHING)
    vcpus = counted.vcpus
    living = instance.count_living(tx, small.account)
    guests = [name for name in small.cloud.parts["compute"].driver.observe() if name.state != "off"]
    found = [f"{vcpus} vCPUs promised"] if vcpus > VCPUS else []
    found += [f"{counted} counted, {promised} promised"] if counted != promised else []
    found += [f"{len(guests)} guests"] if len(guests) > VCPUS else []
    found += [f"{living} instances"] if living > QUOTA else []
    return found + wrong_addresses(tx.all(sa.select(address.address)), tx.all(sa.select(interface.interface)))


def wrong_addresses(public: list[Any], nics: list[Any]) -> list[str]:
    pool = set(map(str, ipaddress.IPv4Network(PUBLIC).hosts()))
    holders = Counter(row.interface for row in public)
    private = Counter((nic.subnet, nic.ip) for nic in nics)
    found = [f"{row.public_ip} is not of the pool" for row in public if row.public_ip not in pool]
    found += [f"{id} has {count} public addresses" for id, count in holders.items() if count > 1]
    found += [f"{holder} has an address and is not there" for holder in holders if holder not in {n.id for n in nics}]
    return found + [f"{place} is given {count} times" for place, count in private.items() if count > 1]
