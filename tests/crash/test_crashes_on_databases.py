"""The crash suite on the database servers, in samples: what a server changes about a death is the same for every life.

`--database KIND` runs the whole suite on one of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.lives import LIVES, Life
from crash.test_crash_points import begin, die_at_each_point, end, take_over_at_each

pytestmark = pytest.mark.database_servers
SPREAD = 13
"""At every so many points it dies, or is paused."""
SAMPLES = [life for life in LIVES if life.name in ("launch", "move address")]


@pytest.mark.parametrize("life", SAMPLES, ids=lambda life: life.name)
def test_a_crash_leaves_nothing_stuck_and_nothing_behind(life: Life, template: Path, tmp_path: Path) -> None:
    every = life._replace(every=SPREAD)
    assert die_at_each_point(every, lambda directory: begin(life, template, directory), end, tmp_path) > 0


def test_a_runner_that_wakes_up_after_its_lease_changes_nothing(template: Path, tmp_path: Path) -> None:
    life = SAMPLES[0]
    take_over_at_each(life, lambda directory: begin(life, template, directory), end, tmp_path, SPREAD)
