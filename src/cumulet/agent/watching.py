"""What a host has, in a few bytes: the control plane looks at a host when these are not as they were.

Drivers are observed in a thread of its own, so that one that does not answer keeps no heartbeat back.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping

import msgspec

from cumulet.drivers.contract import Driver
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log

log = Log("watching")
EVERY_SECONDS = 3.0
SELDOM = 10
"""Guests end by themselves; of the other roles' things only each so many looks are taken."""


class Watch:
    """Observes these roles' drivers until it is stopped; `digests` has what was seen last of each."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers
        self._looks = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look_until_stopped, name="watch", daemon=True)
        self.digests: dict[str, str] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def now(self) -> dict[str, str]:
        """The digests; where no thread looks, they are of this moment."""
        if not self._thread.is_alive():
            self.look()
        return self.digests

    def look(self) -> None:
        roles = [role for role in self._drivers if role == "compute" or self._looks % SELDOM == 0]
        self._looks += 1
        self.digests = self.digests | {role: self._digest(role) for role in roles}

    def _digest(self, role: str) -> str:
        """Empty where the driver cannot say."""
        try:
            seen = sorted(msgspec.json.encode(thing) for thing in self._drivers[role].observe())
        except Failure as e:
            log.warning("nobody knows what is there", role=role, error=e)
            return ""
        return hashlib.blake2b(b"\n".join(seen), digest_size=8).hexdigest()

    def _look_until_stopped(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # noqa: BLE001 - it goes on, whatever a driver does
                log.exception("not looked")
            if self._stopped.wait(EVERY_SECONDS):
                return
