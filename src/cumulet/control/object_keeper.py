"""The keeper of the store of objects: removes what was let go of, carries out lifecycles, sweeps, and audits.

Any number of them may run: each step is a short transaction that finds out for itself what there is to do, and a step
that was cut short is done by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cumulet.control.object_lifecycle import carry_out
from cumulet.lib.blobs import Blobs, BlobSeen
from cumulet.lib.config import Config
from cumulet.lib.log import Log
from cumulet.lib.repeating import Repeating
from cumulet.model import Database, blob
from cumulet.model.database import Row

log = Log("keeper")
SOME = 500
LOOK_SECONDS = 5.0
PAUSE_SECONDS = 0.5
LIFECYCLE_SECONDS = 3600.0
AUDIT_SECONDS = 60.0
SWEEP_SECONDS = 6 * 3600.0
ORPHAN_SECONDS = 24 * 3600.0
"""A blob that no row names is somebody's who is still writing it, up to this age."""


class Keeper:
    """`start` and `stop`, or `run_once` and its parts for whoever has the time in hand."""

    def __init__(self, database: Database, blobs: Blobs, config: Config) -> None:
        self._database = database
        self._blobs = blobs
        self._config = config
        self._runs = Repeating("keeper", LOOK_SECONDS, self.run_once, failed="a run failed", pause=PAUSE_SECONDS)
        self._audited = ""
        self._next: dict[str, float] = {}

    def start(self) -> None:
        self._runs.start()

    def stop(self) -> None:
        self._runs.stop()

    def wake(self) -> None:
        """Something may have been let go of."""
        self._runs.wake()

    def run_once(self) -> None:
        """Do what is due by now."""
        self.remove_due()
        if self._is_time("lifecycle", min(LIFECYCLE_SECONDS, self._config.object_day_seconds / 4)):
            told = self._config.region if self._config.bus_url else ""
            carry_out(self._database, self._config.object_day_seconds, told)
        if self._is_time("sweep", SWEEP_SECONDS):
            self.sweep()
        if self._config.object_audit_days and self._is_time("audit", AUDIT_SECONDS):
            self.audit_some()

    def _is_time(self, what: str, every: float) -> bool:
        now = self._database.clock.now()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True

    def remove_due(self) -> int:
        """Remove the bytes that nothing names any more; gives how many blobs there were."""
        count = 0
        while True:
            with self._database.read() as tx:
                ids = blob.due(tx, SOME, self._blobs.linger)
            if not ids:
                return count
            self._database.flushed()
            self._blobs.remove(*ids)
            with self._database.write() as tx:
                blob.forget(tx, ids)
            count += len(ids)

    def sweep(self, older_than: float = ORPHAN_SECONDS) -> int:
        """Remove blobs that no row names and nobody has written to for so long; gives how many."""
        limit = self._database.clock.now() - older_than
        old = (seen for seen in self._blobs.observe() if seen.modified <= limit)
        count = 0
        while some := list(islice(old, SOME)):
            count += self._sweep(some)
        return count

    def _sweep(self, some: list[BlobSeen]) -> int:
        with self._database.read() as tx:
            known = blob.known(tx, [seen.id for seen in some])
        orphans = [seen.id for seen in some if seen.id not in known]
        for id in orphans:
            log.warning("an orphan was swept", blob=id)
        self._blobs.remove(*orphans)
        return len(orphans)

    def audit_some(self) -> None:
        """Check the next blobs, so many that all of them are checked within `object_audit_days`."""
        with self._database.read() as tx:
            share = AUDIT_SECONDS / (self._config.object_audit_days * 86400.0)
            some = int(blob.count(tx) * share) + 1
        checked = list(islice(self.audit(self._audited), some))
        self._audited = checked[-1] if len(checked) == some else ""

    def audit(self, after: str = "") -> Iterator[str]:
        """Walk through all the blobs and check each: bad copies are made anew, and what is lost is reported."""
        for row in all_blobs(self._database, after):
            self._audit(row)
            yield row.id

    def _audit(self, row: Row) -> None:
        lost = self._blobs.check(row.id, row.size, int(row.crc, 16)) == "lost"
        if lost:
            if not is_named(self._database, row.id):
                return
            log.error("a blob is lost: no copy of it is as it was written", blob=row.id)
        if lost != bool(row.lost):
            with self._database.write() as tx:
                blob.mark(tx, row.id, lost=lost)


def all_blobs(database: Database, after: str = "") -> Iterator[Row]:
    """The blobs that something names, by their ids; no transaction is open in between."""
    while True:
        with database.read() as tx:
            rows = blob.after(tx, after, SOME)
        yield from rows
        if not rows:
            return
        after = rows[-1].id


def is_named(database: Database, id: str) -> bool:
    """Not one that was deleted meanwhile."""
    with database.read() as tx:
        return blob.is_named(tx, id)
