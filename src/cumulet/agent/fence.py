"""The fence of a host: it promises to stop its guests, has somebody watch over that, and takes up new leases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from cumulet.agent.documents import Documents
from cumulet.agent.lease import Lease
from cumulet.drivers import specs
from cumulet.lib.log import Log

log = Log("fence")
Kill = Callable[[Iterable[str]], list[str]]
"""Stops these guests at once, whatever else is alive; gives those that are not dead yet."""


def directory(state: Path) -> Path:
    """Where a host with this state directory keeps its lease, and notes which guests it has stopped."""
    return state / "fence"


def lease_of(state: Path) -> Lease:
    return Lease(directory(state) / "lease.json")


def guests(documents: Documents) -> dict[str, int]:
    """The guests that may be started elsewhere when the host is lost, each with the lease that it runs by."""
    found = {}
    for id in documents.living():
        document = documents.get(id)
        spec = specs.decode(bytes(document.spec)) if document is not None and document.living() else None
        if isinstance(spec, specs.InstanceSpec) and spec.lease is not None:
            found[id] = spec.lease
    return found


class Fence:
    """`seconds` is what is promised, 0 for nothing; `watched` says whether somebody sees to it now."""

    def __init__(
        self, lease: Lease, documents: Documents, kill: Kill, seconds: float, watched: Callable[[], bool]
    ) -> None:
        self.lease = lease
        self._documents = documents
        self._kill = kill
        self._seconds = seconds
        self._watched = watched

    def promise(self) -> float:
        """After how many seconds without an answer the guests are stopped; 0: they are not."""
        if not self._seconds:
            return 0.0
        if self._watched():
            return self._seconds
        log.error("nobody watches over the lease: no guest of this host is started elsewhere")
        return 0.0

    def answered(self, number: int, sent: float, promised: float) -> bool:
        """A heartbeat was answered with this lease; whether it is another one, taken up now.

        `sent` is from before the heartbeat, by the lease's clock.
        """
        if number == self.lease.number:
            self.lease.renew(sent + promised if promised else None)
            return False
        older = [id for id, lease in guests(self._documents).items() if lease != number]
        log.warning("this host was given up: what ran here is started elsewhere", lease=number, guests=len(older))
        left = self._kill(older)
        if left:
            log.error("guests do not die", instances=" ".join(left))
            return False
        self.lease.take_up(number)
        return True
