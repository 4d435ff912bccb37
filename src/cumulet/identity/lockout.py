"""Lock-out: who signs wrongly again and again with somebody's key is not listened to for a while.

It is counted for a key and an address together, in each process: nobody can lock out somebody else, who is elsewhere.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import lru_cache

from cumulet.model import Database

ATTEMPTS = 10
SECONDS = 15 * 60.0
REMEMBERED = 10_000


class Lockout:
    """Counts failures of (access key, address)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, str], deque[float]] = {}

    def is_out(self, key: str, address: str, now: float) -> bool:
        """Whether it has failed `ATTEMPTS` times within `SECONDS`."""
        with self._lock:
            times = self._failures.get((key, address))
            return times is not None and len(times) == ATTEMPTS and times[0] > now - SECONDS

    def failed(self, key: str, address: str, now: float) -> None:
        """A signature was wrong; the longest unheard of are forgotten where there are very many."""
        with self._lock:
            times = self._failures.pop((key, address), None) or deque(maxlen=ATTEMPTS)
            times.append(now)
            self._failures[key, address] = times
            if len(self._failures) > REMEMBERED:
                del self._failures[next(iter(self._failures))]

    def succeeded(self, key: str, address: str) -> None:
        """What was counted is forgotten."""
        if self._failures:
            with self._lock:
                self._failures.pop((key, address), None)


@lru_cache(maxsize=16)
def of(database: Database) -> Lockout:
    """The one of this process for a cloud."""
    return Lockout()
