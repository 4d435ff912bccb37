"""The pytest fixture `cumulet_cloud`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cumulet.testing import RunningCloud, cloud


@pytest.fixture(scope="session")
def cumulet_process() -> Iterator[RunningCloud]:
    """The session's cloud, as earlier tests have left it."""
    with cloud() as running:
        yield running


@pytest.fixture
def cumulet_cloud(cumulet_process: RunningCloud) -> RunningCloud:
    """A cloud that is empty at the test's start; all the tests of a session share its process."""
    cumulet_process.reset()
    return cumulet_process
