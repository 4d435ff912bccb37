"""The command `cumulet`, asked of a cloud in the test's process: of one that runs, and of one that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from click.testing import CliRunner, Result
from support.tested_cloud import TestedCloud

from cumulet.admin import Administration, make_token
from cumulet.api.app import App
from cumulet.api.server import Server
from cumulet.cli import cumulet, running

Run = Callable[..., Result]


@contextmanager
def running_cloud(cloud: TestedCloud) -> Iterator[None]:
    """The command finds the cloud as it finds the one of `cumulet up`."""
    state = cloud.config.state_dir
    admin = Administration(cloud.cloud, make_token(state))
    server = Server(App(cloud.database, cloud.config, cloud.cloud.ask, admin), ("127.0.0.1", 0))
    server.start()
    with running.only_one(state):
        running.write(running.endpoint(state), f"{server.url}\n")
        yield
    server.stop()


def command(cloud: TestedCloud) -> Run:
    """Runs the command on this cloud's state directory."""
    settings = {"CUMULET_DRIVERS": "fake", "CUMULET_DATABASE_URL": cloud.config.database_url}
    settings |= {f"CUMULET_{key.upper()}": ",".join(getattr(cloud.config, key)) for key in ("public_pool", "zones")}

    def invoke(*words: str) -> Result:
        environ: dict[str, str | None] = {key: None for key in os.environ if key.startswith("CUMULET_")}
        given = [*words, "--state-dir", str(cloud.config.state_dir)]
        return CliRunner().invoke(cumulet, given, env={**environ, **settings})

    return invoke


def answered(run: Run, *words: str) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
