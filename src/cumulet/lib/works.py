"""What takes minutes, done in threads beside the orders: an order begins it, and later ones say how it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cumulet.lib.errors import CumuletError


class Work(threading.Thread):
    """One piece of it; `error` is what has ended it early."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.error: CumuletError | None = None


T = TypeVar("T", bound=Work)


class Works(Generic[T]):
    """Those that are under way in this process, by the id of what they are for. One order at a time for each id."""

    def __init__(self) -> None:
        self._works: dict[str, T] = {}

    def go_on(self, id: str, begin: Callable[[], T]) -> None:
        """Have it under way; raises, once, what has ended it early, and begins anew the next time."""
        work = self._works.get(id)
        if work is not None and work.is_alive():
            return
        self._works.pop(id, None)
        if work is not None and work.error is not None:
            raise work.error
        self._works[id] = work = begin()
        work.start()

    def get(self, id: str) -> T | None:
        return self._works.get(id)

    def forget(self, id: str) -> T | None:
        """It is known no more, whether it has ended or not."""
        return self._works.pop(id, None)
