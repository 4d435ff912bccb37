"""The digests of what a host has, and when its drivers are asked."""

from __future__ import annotations

from typing import Any, cast

from cumulet.agent.watching import SELDOM, Watch
from cumulet.lib.seen import Seen


class Volumes:
    """A driver that has these volumes."""

    def __init__(self) -> None:
        self.there = ["vol-1"]
        self.asked = 0

    def observe(self) -> list[Seen]:
        self.asked += 1
        return [Seen(id=id, generation=0, state="there") for id in self.there]


def test_what_has_changed_is_looked_at_again_soon_and_otherwise_seldom() -> None:
    volumes = Volumes()
    watch = Watch(cast(Any, {"volume": volumes}))
    whole = watch.look()
    for _ in range(SELDOM - 1):
        assert watch.look() == whole
    assert volumes.asked == 2

    volumes.there = []
    lost = watch.look()
    assert lost != whole
    volumes.there = ["vol-1"]
    assert watch.look() == whole
    volumes.there = []
    assert watch.look() == whole
    assert volumes.asked == 4


def test_guests_are_looked_at_each_time() -> None:
    guests = Volumes()
    watch = Watch(cast(Any, {"compute": guests}))
    for _ in range(3):
        watch.look()
    assert guests.asked == 3
