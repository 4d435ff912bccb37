"""The whole cloud in this process, with fake drivers, a real HTTP server and boto3 in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import Run, command, elsewhere, running_cloud
from support.in_memory import tmp_path as tmp_path
from support.tested_cloud import TestedCloud


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Iterator[TestedCloud]:
    """A cloud of its own for each test; other settings by `parametrize("cloud", [{…}], indirect=True)`."""
    made = TestedCloud(tmp_path, **{"database_url": database_url, **getattr(request, "param", {})})
    yield made
    made.stop()


@pytest.fixture
def ec2(cloud: TestedCloud) -> Any:
    """EC2's client of the first account."""
    return cloud.client("ec2")


@pytest.fixture(params=["running", "not running", "elsewhere"])
def run(cloud: TestedCloud, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """Runs the command, where the cloud's process is, or where it is not running, or from another machine."""
    if request.param != "running":
        yield command(cloud) if request.param == "not running" else elsewhere(cloud, tmp_path)
        return
    with running_cloud(cloud):
        yield command(cloud)
