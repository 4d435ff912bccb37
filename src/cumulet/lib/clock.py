"""Time, as something that is handed round, so that tests own it."""

from __future__ import annotations

import time


class Clock:
    """The real time; seconds since 1970."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class TestClock(Clock):
    """A time that stands still until it is moved."""

    __test__ = False

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
