"""The engine: takes what is due, runs its reconciler under a lease, and lets it rest or come again.

One table holds all of it: `work`. There is no program counter: whatever woke a resource, its reconciler runs from
the top. A lost hint costs one slow poll; a runner that dies costs the rest of its lease; a runner that wakes up
after its lease is refused by number, here in each transaction and at the agents in each order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from cumulet.bus.contract import Bus
from cumulet.bus.remote import Remote
from cumulet.lib import crash
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Impossible, Later, Superseded
from cumulet.lib.log import Log
from cumulet.model import Database, Tx, work
from cumulet.model.database import Row

log = Log("engine")
LEASE_SECONDS = 120.0
LAST_EPOCH = 2**62
POLL_SECONDS = 1.0
MOST_SECONDS = 30.0
"""The longest pause between two tries of something that fails."""

Reconciler = Callable[["Run", str], None]
GiveUp = Callable[["Run", str, Impossible], None]


class Run:
    """One run of a reconciler: its lease, and what it may use."""

    def __init__(self, engine: Engine, row: Row) -> None:
        self.kind: str = row.kind
        self.id: str = row.id
        self.epoch: int = row.epoch
        self.wakes: int = row.wakes
        self.tries: int = row.tries
        self.clock: Clock = engine.clock
        self.settings = engine.settings
        self._engine = engine

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with self._engine.database.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that changes nothing and raises `Superseded` when the lease has been lost."""
        with self._engine.database.write() as tx:
            if not work.holds(tx, self.kind, self.id, self.epoch):
                raise Superseded(f"{self.kind} {self.id}: lease {self.epoch} is over")
            yield tx

    def driver(self, role: str, host: str) -> Remote:
        """The three verbs of that host's `role`, with this lease's number on each order."""
        return Remote(self._engine.bus, f"{role}.{host}", self.epoch)

    def last_word(self, role: str, host: str) -> Remote:
        """The same for things that no row stands for any more: no order comes after it."""
        return Remote(self._engine.bus, f"{role}.{host}", LAST_EPOCH)


class Engine:
    """Runs `reconcilers` (by kind); `give_up` (by kind) is told of what can never be done."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        reconcilers: dict[str, Reconciler],
        give_up: dict[str, GiveUp],
        *,
        settings: Any = None,
        clock: Clock | None = None,
        threads: int = 8,
    ) -> None:
        self.database = database
        self.bus = bus
        self.clock = clock or Clock()
        self.settings = settings
        self.reconcilers = reconcilers
        self.give_up = give_up
        self._threads = threads
        self._due = threading.Event()
        self._free = threading.Semaphore(threads)
        self._stopped = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._leaser: threading.Thread | None = None
        bus.on_hint(lambda kind, id: self._due.set())

    def start(self) -> None:
        """Lease and run in threads until `stop`."""
        self._stopped.clear()
        self._pool = ThreadPoolExecutor(self._threads, "reconcile")
        self._leaser = threading.Thread(target=self._lease_until_stopped, name="engine", daemon=True)
        self._leaser.start()

    def stop(self) -> None:
        """Take no more; wait for the runs that are under way."""
        self._stopped.set()
        self._due.set()
        if self._leaser is not None and self._pool is not None:
            self._leaser.join()
            self._pool.shutdown(wait=True)

    def run_due(self) -> int:
        """Run what is due now, one after the other, in this thread; gives how many were run (tests)."""
        rows = self._lease(100)
        for row in rows:
            self.run(row)
        return len(rows)

    def _lease_until_stopped(self) -> None:
        while not self._stopped.is_set():
            try:
                waiting = self._lease_and_submit()
            except Exception:  # noqa: BLE001 - a database that is away is asked again
                log.exception("leasing failed")
                waiting = POLL_SECONDS
            if waiting > 0:
                self._due.wait(timeout=waiting)  # a lost wake costs a second, never an instance

    def _lease_and_submit(self) -> float:
        """Hand out what is due; gives the seconds until there is more to do."""
        self._free.acquire()
        free = 1
        while free < self._threads and self._free.acquire(blocking=False):
            free += 1
        self._due.clear()
        rows: list[Row] = []
        try:
            rows = [] if self._stopped.is_set() else self._lease(free)
        finally:
            for _ in range(free - len(rows)):
                self._free.release()
        for row in rows:
            assert self._pool is not None
            self._pool.submit(self._run_and_release, row)
        return 0.0 if len(rows) == free else self._until_next()

    def _until_next(self) -> float:
        with self.database.read() as tx:
            due = work.next_due(tx)
            return POLL_SECONDS if due is None else min(POLL_SECONDS, max(due - tx.now, 0.0))

    def _lease(self, limit: int) -> list[Row]:
        kinds = list(self.reconcilers)
        with self.database.read() as tx:
            if not work.is_due(tx, kinds):
                return []
        with self.database.write() as tx:
            return work.lease(tx, LEASE_SECONDS, limit, kinds)

    def _run_and_release(self, row: Row) -> None:
        try:
            self.run(row)
        except Exception:  # noqa: BLE001 - the lease runs out by itself and the row comes again
            log.exception("run broke off", kind=row.kind, id=row.id)
        finally:
            self._free.release()
            self._due.set()

    def run(self, row: Row) -> None:
        """Run one leased row and let it go, whichever way it ends."""
        run = Run(self, row)
        crash.point("run.before")
        try:
            self.reconcilers[run.kind](run, run.id)
        except Later as later:
            self._put_off(run, later.seconds, later.why, run.tries)
        except Superseded as e:
            log.info("superseded", kind=run.kind, id=run.id, why=e)
        except Impossible as e:
            self._despair(run, e)
        except Exception as e:  # noqa: BLE001 - whatever goes wrong is tried again
            self._fail(run, e)
        else:
            with self.database.write() as tx:
                work.rest(tx, run.kind, run.id, run.epoch, run.wakes)

    def _put_off(self, run: Run, seconds: float, why: str, tries: int = 0) -> None:
        with self.database.write() as tx:
            work.put_off(tx, run.kind, run.id, run.epoch, run.wakes, seconds, why, tries)

    def _despair(self, run: Run, reason: Impossible) -> None:
        log.warning("impossible", kind=run.kind, id=run.id, why=reason)
        try:
            self.give_up[run.kind](run, run.id, reason)
        except Superseded as e:
            log.info("superseded", kind=run.kind, id=run.id, why=e)
            return
        self._put_off(run, 0.0, str(reason))

    def _fail(self, run: Run, e: Exception) -> None:
        cause = f"{e}" if e.__cause__ is None else f"{e} ({e.__cause__})"
        log.warning("failed, tried again", kind=run.kind, id=run.id, tries=run.tries + 1, error=cause)
        log.debug("traceback", trace=_trace(e))
        self._put_off(run, min(MOST_SECONDS, 0.25 * 2**run.tries), f"{type(e).__name__}: {cause}", run.tries + 1)


def _trace(e: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(e))
