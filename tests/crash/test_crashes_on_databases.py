"""The crash suite on the database servers, in samples: what a server changes about a death is the same for every life.

`--database KIND` runs the whole suite on one of them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from crash.lives import LIVES, Life
from crash.test_crash_points import At, begin, die, end, take_over_at

from cumulet.lib import crash

pytestmark = pytest.mark.database_servers
SPREAD = 13
"""At every so many points it dies, or is paused."""
SAMPLES = [life for life in LIVES if life.name in ("launch", "move address")]


@pytest.mark.parametrize("life", SAMPLES, ids=lambda life: life.name)
def test_a_crash_leaves_nothing_stuck_and_nothing_behind(life: Life, template: Path, tmp_path: Path) -> None:
    number = 0
    while True:
        site, subjects = begin(life, template, tmp_path / str(number))
        point = At(number, die)
        with suppress(crash.Died), crash.at_each_point(point):
            site.settle()
        if not point.name:
            break
        site.start_again()
        end(site, life, subjects)
        number += SPREAD
    end(site, life, subjects)
    assert number > 0


def test_a_runner_that_wakes_up_after_its_lease_changes_nothing(template: Path, tmp_path: Path) -> None:
    number = 0
    while True:
        site, subjects = begin(SAMPLES[0], template, tmp_path / str(number))
        if take_over_at(site, number) is None:
            break
        end(site, SAMPLES[0], subjects)
        number += SPREAD
    site.close()
    assert number > 0
