"""What a host has, in a few bytes: the control plane looks at a host when these are not as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from cumulet.drivers.contract import Driver
from cumulet.lib.log import Log

log = Log("watching")
SELDOM = 6
"""Guests end by themselves; of the other roles' things only each so many looks are taken."""


class Watch:
    """Observes these roles' drivers."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers
        self._looks = 0
        self._digests: dict[str, str] = {}
        self._again: set[str] = set()
        """Those that were not as they had been: what is lost may be there soon, and lost again before the next look."""

    def look(self) -> dict[str, str]:
        """A digest of what each role has, as it was seen last; empty where its driver could not say."""
        is_due = self._looks % SELDOM == 0
        roles = [role for role in self._drivers if role == "compute" or is_due or role in self._again]
        self._looks += 1
        found = {role: self._digest(role) for role in roles}
        self._again = {role for role in roles if is_due and found[role] != self._digests.get(role)}
        self._digests = self._digests | found
        return self._digests

    def _digest(self, role: str) -> str:
        try:
            seen = sorted(msgspec.json.encode(thing) for thing in self._drivers[role].observe())
        except Exception as e:  # noqa: BLE001 - the host is heard, whatever a driver does
            log.warning("nobody knows what is there", role=role, error=e)
            return ""
        return hashlib.blake2b(b"\n".join(seen), digest_size=8).hexdigest()
