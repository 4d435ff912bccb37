"""What a driver promises: three idempotent verbs, named by our ids, and read-only questions.

A driver has no memory that it could not lose: every outside name (domain UUID, tap, chain, file) is derived
from the resource's id, and `observe` reads the outside world. It is called from several threads, and never
from two at once for the same id. It raises `Failure` where trying again may help and `Impossible` where it
never will. What takes longer than an order it begins, and raises `Later` until it is done.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from cumulet.drivers.specs import Spec
from cumulet.lib.seen import Seen

__all__ = ["Driver", "Seen"]


@runtime_checkable
class Driver(Protocol):
    """Make it so, make it not be, say what is there."""

    def ensure(self, spec: Spec) -> None:
        """Make the thing be as `spec` says, whatever is there now."""

    def remove(self, id: str) -> None:
        """Make the thing not be. Removing what is not there succeeds."""

    def observe(self) -> list[Seen]:
        """All the things of ours that are there; things that this cloud did not make are not listed."""

    def look(self, id: str) -> Seen | None:
        """One thing as `observe` would list it, or None."""
