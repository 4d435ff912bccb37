"""What takes a while to measure, for those who cannot wait: the latest that is known."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cumulet.lib.errors import Failure

T = TypeVar("T")


class Measured(Generic[T]):
    """Calling it gives what `measure` gives, or what it gave last where that takes longer than `patience` seconds.

    Raises `Failure` where the last attempt did, and while there is none yet. Not to be called by two at once.
    """

    def __init__(self, measure: Callable[[], T], patience: float = 1.0) -> None:
        self._measure = measure
        self._patience = patience
        self._thread: threading.Thread | None = None
        self._known: T | Failure = Failure("it has not been measured yet")

    def __call__(self) -> T:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._learn, name="measure", daemon=True)
            self._thread.start()
        self._thread.join(self._patience)
        known = self._known
        if isinstance(known, Failure):
            raise Failure(str(known))
        return known

    def _learn(self) -> None:
        try:
            self._known = self._measure()
        except Failure as e:
            self._known = e
