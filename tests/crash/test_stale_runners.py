"""A runner that was paused at any point of any life, and wakes up when another has taken over."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.lives import Life
from crash.test_crash_points import TRIED, begin, end, take_over_at_each

STALE_SPREAD = 4
"""At every so many points a runner is paused."""


@pytest.mark.parametrize("life", TRIED, ids=lambda life: life.name)
def test_a_runner_that_wakes_up_after_its_lease_changes_nothing(life: Life, template: Path, tmp_path: Path) -> None:
    take_over_at_each(life, lambda directory: begin(life, template, directory), end, tmp_path, STALE_SPREAD)
