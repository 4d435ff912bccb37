"""What is done from time to time in a thread, until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cumulet.lib.errors import CumuletError
from cumulet.lib.log import Log


class Repeating:
    """Calls `act` every so many seconds, and soon after `wake`; what fails is tried again the next time.

    Between two calls are at least `pause` seconds. `failed` is what the log says under `name` of one that raises. One
    with an `end` has that called last, in the same thread, when it is stopped.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        act: Callable[[], object],
        *,
        failed: str,
        pause: float = 0.0,
        end: Callable[[], object] | None = None,
    ) -> None:
        self._log = Log(name)
        self._seconds = seconds
        self._act = act
        self._failed = failed
        self._pause = pause
        self._end = end
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when what is under way has been done, and the end; nothing happens where it was never started."""
        self._stopped.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wake(self) -> None:
        self._woken.set()

    def _go_on(self) -> None:
        while True:
            self._woken.wait(self._seconds)
            if self._stopped.is_set():
                break
            self._woken.clear()
            self._try(self._act)
            self._stopped.wait(self._pause)
        if self._end is not None:
            self._try(self._end)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except CumuletError as e:
            self._log.error(self._failed, error=e)
        except Exception:  # noqa: BLE001 - whatever it is, it is tried again
            self._log.exception(self._failed)
