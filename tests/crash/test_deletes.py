"""A user who deletes at any point of any life gets what was asked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from crash.lives import Life, terminate
from crash.test_crash_points import TRIED, At, begin, end

from cumulet.lib import crash

DELETE_SPREAD = 4
"""At every so many points the user deletes."""
WITH_GUESTS = [life for life in TRIED if not isinstance(life, Life) or life.states]


@pytest.mark.parametrize("life", WITH_GUESTS, ids=lambda life: life.name)
def test_a_user_who_deletes_at_any_point_gets_what_was_asked(life: Life, template: Path, tmp_path: Path) -> None:
    number = 0
    while True:
        site, subjects = begin(life, template, tmp_path / str(number))
        guest = subjects[0]
        point = At(number, partial(terminate, site, guest), spared=("commit.before",))
        with crash.at_each_point(point):
            site.settle()
        if not point.name:
            break
        end(site, life._replace(states=["terminated", *life.states[1:]]), subjects)
        number += DELETE_SPREAD
    assert number > 0
