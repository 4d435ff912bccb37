"""What is delivered from time to time into buckets of the cloud itself: by the running cloud, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cumulet.lib.errors import CumuletError
from cumulet.lib.log import Log

log = Log("delivery")
Deliver = Callable[[bool], object]
"""Delivers what is new; all that there is where it is told True, since it is the last time."""


class Delivery:
    """Delivers every so many seconds until it is stopped; `what` is its name in the log."""

    def __init__(self, what: str, seconds: float, deliver: Deliver) -> None:
        self._what = what
        self._seconds = seconds
        self._deliver = deliver
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is new is delivered once more."""
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._ended.is_set():
            ends = self._ended.wait(self._seconds)
            try:
                self._deliver(ends)
            except CumuletError as e:
                log.error(f"{self._what} cannot be delivered", error=e)
            except Exception:  # noqa: BLE001 - it is tried again
                log.exception(f"{self._what} cannot be delivered")
