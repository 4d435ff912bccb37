"""The database's server dies for good while clients launch, and its standby takes over: nothing that was answered is
lost, and nobody has to tell the cloud."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from crash.test_database_killed import CLIENTS, Clients, settings, wait_for
from support.databases import Tested, note
from support.standby import Standby, either
from support.tested_cloud import TestedCloud

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
AWAY_SECONDS = 3.0
"""Longer than a request waits for a server."""


@pytest.fixture
def server() -> Iterator[Tested]:
    made = Tested("postgresql")
    made.start()
    yield made
    made.end()


@pytest.fixture
def standby(server: Tested) -> Iterator[Standby]:
    with tempfile.TemporaryDirectory(prefix="cumulet-standby-") as name:
        Path(name).chmod(0o755)
        server.emptied()
        made = Standby(server, Path(name) / "server")
        made.start()
        made.await_commits_of(server)
        wait_for(partial(made.is_followed_up, server))
        yield made
        made.stop()


def test_a_standby_that_takes_over_has_all_that_was_answered(server: Tested, standby: Standby, tmp_path: Path) -> None:
    note(tmp_path / "site", either(server, standby, "cumulet_tested"))
    cloud = TestedCloud(tmp_path / "site", **settings(tmp_path / "site"))
    cloud.cloud.start()
    clients = Clients(cloud)
    threads = clients.started()
    wait_for(partial(clients.have, 3 * CLIENTS))
    server.kill()
    time.sleep(AWAY_SECONDS)
    enough = len(clients.answered) + 3 * CLIENTS
    standby.promote()
    wait_for(partial(clients.have, enough))
    clients.judge(threads, tmp_path / "site")
    cloud.server.stop()
    cloud.cloud.stop()
