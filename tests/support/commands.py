"""The command `cumulet`, asked of a cloud in the test's process: of one that runs, and of one that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from support.tested_cloud import Account, TestedCloud

from cumulet.cli import cumulet, running

Run = Callable[..., Result]


@contextmanager
def running_cloud(cloud: TestedCloud) -> Iterator[None]:
    """The command finds the cloud as it finds the one of `cumulet up`."""
    state = cloud.config.state_dir
    with running.only_one(state):
        running.write(state / "account", f"{cloud.admin.id}\n")
        running.write(running.endpoint(state), f"{cloud.url}\n")
        yield
    running.write(running.endpoint(state), cloud.url)


def command(cloud: TestedCloud) -> Run:
    """Runs the command on this cloud's state directory."""
    settings = {"CUMULET_DRIVERS": "fake", "CUMULET_DATABASE_URL": cloud.config.database_url}
    settings |= {f"CUMULET_{key.upper()}": ",".join(getattr(cloud.config, key)) for key in ("public_pool", "zones")}

    def invoke(*words: str) -> Result:
        environ: dict[str, str | None] = {key: None for key in os.environ if key.startswith(("CUMULET_", "AWS_"))}
        given = [*words, "--state-dir", str(cloud.config.state_dir)]
        return CliRunner().invoke(cumulet, given, env={**environ, **settings})

    return invoke


def elsewhere(cloud: TestedCloud, directory: Path, who: Account | None = None) -> Run:
    """Runs the command on a machine that has nothing of the cloud, as the first account's root or as somebody else."""
    signer = who or cloud.admin
    keys = {"AWS_ACCESS_KEY_ID": signer.key, "AWS_SECRET_ACCESS_KEY": signer.secret}
    keys |= {"AWS_REGION": cloud.config.region, "AWS_SESSION_TOKEN": signer.token or ""}

    def invoke(*words: str) -> Result:
        environ: dict[str, str | None] = {key: None for key in os.environ if key.startswith(("CUMULET_", "AWS_"))}
        given = [*words, "--endpoint", cloud.url, "--state-dir", str(directory / "nothing")]
        return CliRunner().invoke(cumulet, given, env={**environ, **keys})

    return invoke


def answered(run: Run, *words: str) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
