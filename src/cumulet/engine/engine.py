"""The engine: takes what is due, runs its reconciler under a lease, and lets it rest or come again.

One table holds all of it: `work`. There is no program counter: whatever woke a resource, its reconciler runs from
the top. A lost hint costs one slow poll; a runner that dies costs the rest of its lease; a runner that wakes up
after its lease is refused by number, here in each transaction and at the agents in each order.

How a run ends is written down in the transaction that takes the next ones: one commit for both, and for many. Some
rows are taken ahead of the threads that will run them, so that a burst does not cost a transaction for each run.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

from cumulet.bus.contract import Bus
from cumulet.bus.remote import Remote
from cumulet.lib import crash
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Conflict, Failure, Impossible, Later, Superseded, Unsure
from cumulet.lib.log import Log
from cumulet.model import Database, Tx, work
from cumulet.model.database import Row

__all__ = ["Engine", "GiveUp", "Reconciler", "Remote", "Run"]

log = Log("engine")
LEASE_SECONDS = 120.0
AHEAD = 4
"""Rows taken for each thread, the one that it runs included."""
STALE_SECONDS = LEASE_SECONDS / 4
"""A row that has waited so long for a thread is let go instead: a run is to end well inside its lease."""
LAST_EPOCH = 2**62
POLL_SECONDS = 1.0
CONFLICT_SECONDS = 0.1
"""The longest pause after a transaction that the database has undone."""
MOST_SECONDS = 30.0
"""The longest pause between two tries of something that fails."""

Reconciler = Callable[["Run", str], None]
GiveUp = Callable[["Run", str, Impossible], None]
End = partial[None]
"""Writes down in a transaction how a run of `kind` and `id` has ended: at rest, or due again."""


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
        self.memory = engine.memory
        self.holder = engine.holder
        self._engine = engine

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with self._engine.database.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that changes nothing and raises `Superseded` when the lease has been lost."""
        with self._engine.database.write() as tx:
            work.hold(tx, self.kind, self.id, self.epoch)
            yield tx

    def driver(self, role: str, host: str) -> Remote:
        """The three verbs of that host's `role`, with this lease's number on each order."""
        return Remote(self._engine.bus, f"{role}.{host}", self.epoch)

    def publish(self, routing_key: str, message: bytes) -> None:
        """Tell the outside of an event; raises `Unreachable` where the broker has not confirmed it."""
        crash.point("publish.before")
        self._engine.bus.publish(routing_key, message)
        crash.point("publish.after")

    def put_off(self, seconds: float, why: str, tries: int) -> End:
        """The end of a run that comes again after so many seconds."""
        return partial(
            work.put_off,
            kind=self.kind,
            id=self.id,
            epoch=self.epoch,
            wakes=self.wakes,
            seconds=seconds,
            error=why,
            tries=tries,
        )

    def numbered(self, role: str, host: str, epoch: int) -> Remote:
        """The same with the number of an order that was decided on earlier."""
        return Remote(self._engine.bus, f"{role}.{host}", epoch)

    def last_word(self, role: str, host: str) -> Remote:
        """The same for things that no row stands for any more: no order comes after it."""
        return Remote(self._engine.bus, f"{role}.{host}", LAST_EPOCH)


class Engine:
    """Runs `reconcilers` (by kind); `give_up` (by kind) is told of what can never be done.

    `holder` is the name under which it takes leases: the host's, of which each has one engine at a time.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        reconcilers: dict[str, Reconciler],
        give_up: dict[str, GiveUp],
        *,
        settings: Any = None,
        clock: Clock | None = None,
        threads: int = 4,
        holder: str = "",
    ) -> None:
        self.database = database
        self.bus = bus
        self.clock = clock or Clock()
        self.settings = settings
        self.reconcilers = reconcilers
        self.give_up = give_up
        self.memory: dict[str, Any] = {}
        """What reconcilers remember from run to run, by names of their own; it could be lost at any time."""
        self.holder = holder
        self._threads = threads
        self._due = threading.Event()
        self._taken: SimpleQueue[tuple[Row, float] | None] = SimpleQueue()
        self._ended: list[End] = []
        self._stopped = threading.Event()
        self._running: list[threading.Thread] = []
        bus.on_hint(lambda kind, id: self._wake())

    def start(self) -> None:
        """Lease and run in threads until `stop`. What its holder had before was leased by a process that has died."""
        with self.database.write() as tx:
            work.free_held_by(tx, self.holder)
        self._stopped.clear()
        runners = [threading.Thread(target=self._run_until_stopped, name="reconcile") for _ in range(self._threads)]
        self._running = [threading.Thread(target=self._lease_until_stopped, name="engine"), *runners]
        for thread in self._running:
            thread.daemon = True
            thread.start()

    def stop(self) -> None:
        """Take no more; wait for the runs that are under way."""
        self._stopped.set()
        self._due.set()
        for _ in range(self._threads):
            self._taken.put(None)
        for thread in self._running:
            thread.join()
        self._running = []
        try:
            self._let_go(self._take_ended())
        except Failure as e:
            log.warning("how runs have ended was not written down: their leases run out", error=e)

    def run_due(self) -> int:
        """Run what is due now, one after the other, in this thread; gives how many were run (tests)."""
        rows, _ = self._lease([], 100)
        self._let_go([self.run(row) for row in rows])
        return len(rows)

    def _lease_until_stopped(self) -> None:
        taken = 0
        ended: list[End] = []
        while not self._stopped.is_set():
            self._due.clear()
            if not self._is_short():
                self._due.wait(timeout=POLL_SECONDS)
                continue
            just_ended = self._take_ended()
            taken -= len(just_ended)
            ended += just_ended
            try:
                rows, waiting = self._lease(ended, self._threads * AHEAD - taken)
                ended = []
            except Conflict as e:
                log.info("undone by the database, tried again", error=e)
                rows, waiting = [], random.uniform(0, CONFLICT_SECONDS)
            except Failure as e:
                log.warning("the database does not answer: asked again", error=e)
                rows, waiting = [], POLL_SECONDS / 4
            except Exception:  # noqa: BLE001 - whatever it is, the engine goes on
                log.exception("leasing failed")
                rows, waiting = [], POLL_SECONDS
            taken += len(rows)
            for row in rows:
                self._taken.put((row, self.clock.now()))
            if taken == self._threads * AHEAD:
                waiting = POLL_SECONDS  # until one of them ends
            self._due.wait(timeout=waiting)  # a lost wake costs a second, never an instance

    def _wake(self) -> None:
        if self._is_short() and not self._due.is_set():
            self._due.set()

    def _is_short(self) -> bool:
        """Whether a thread may have nothing to run soon."""
        return self._taken.qsize() < self._threads

    def _take_ended(self) -> list[End]:
        count = len(self._ended)  # runs append meanwhile; what they append stays for the next turn
        ended, self._ended[:count] = self._ended[:count], []
        return ended

    def _lease(self, ended: list[End], limit: int) -> tuple[list[Row], float]:
        """Write down how runs have ended and take at most `limit` that are due, in one transaction.

        Gives also the seconds until the next is due.
        """
        kinds = list(self.reconcilers)
        if not ended:
            with self.database.read() as tx:
                waiting = _until_next(tx, kinds)
            if limit < 1 or waiting > 0:
                return [], waiting
        rows: list[Row] = []
        try:
            with self.database.write() as tx:
                _write_down(tx, ended)
                rows = work.lease(tx, self.holder, LEASE_SECONDS, limit, kinds)
                return rows, _until_next(tx, kinds)
        except Unsure:
            ended += [_freed(row) for row in rows]  # else what we may have taken would wait for its lease to run out
            raise

    def _let_go(self, ended: list[End]) -> None:
        if ended:
            with self.database.write() as tx:
                _write_down(tx, ended)

    def _run_until_stopped(self) -> None:
        while (taken := self._taken.get()) is not None:
            end: End = partial(_lapse, kind="", id="")
            try:
                end = self._run_if_fresh(*taken)
            finally:
                self._ended.append(end)
                self._wake()

    def _run_if_fresh(self, row: Row, since: float) -> End:
        if self._stopped.is_set() or self.clock.now() - since > STALE_SECONDS:
            return _freed(row)
        return self.run(row)

    def run(self, row: Row) -> End:
        """Run one leased row; gives how it has ended, to be written down by the caller."""
        run = Run(self, row)
        crash.point("run.before")
        try:
            self._reconcile(run)
        except Later as later:
            return run.put_off(later.seconds, later.why, run.tries)
        except Conflict as e:
            log.info("undone by the database, tried again", kind=run.kind, id=run.id, why=e)
            return run.put_off(random.uniform(0.01, CONFLICT_SECONDS), str(e), run.tries)
        except Superseded as e:
            log.info("superseded", kind=run.kind, id=run.id, why=e)
            return run.put_off(POLL_SECONDS, str(e), run.tries)  # nothing, unless the lease is ours after all
        except Exception as e:  # noqa: BLE001 - whatever goes wrong is tried again
            return self._failed(run, e)
        return partial(work.rest, kind=run.kind, id=run.id, epoch=run.epoch, wakes=run.wakes)

    def _reconcile(self, run: Run) -> None:
        try:
            self.reconcilers[run.kind](run, run.id)
        except Impossible as e:
            log.warning("impossible", kind=run.kind, id=run.id, why=e)
            self.give_up[run.kind](run, run.id, e)

    def _failed(self, run: Run, e: Exception) -> End:
        cause = f"{e}" if e.__cause__ is None else f"{e} ({e.__cause__})"
        log.warning("failed, tried again", kind=run.kind, id=run.id, tries=run.tries + 1, error=cause)
        log.debug("traceback", trace=_trace(e))
        pause = min(MOST_SECONDS, 0.25 * 2 ** min(run.tries, 10))
        return run.put_off(pause, f"{type(e).__name__}: {cause}", run.tries + 1)


def _until_next(tx: Tx, kinds: list[str]) -> float:
    due = work.next_due(tx, kinds)
    return POLL_SECONDS if due is None else min(POLL_SECONDS, max(due - tx.now, 0.0))


def _write_down(tx: Tx, ended: list[End]) -> None:
    """In the order in which other transactions want these rows as well."""
    for end in sorted(ended, key=lambda end: (end.keywords["kind"], end.keywords["id"])):
        end(tx)


def _freed(row: Row) -> End:
    return partial(work.free, kind=row.kind, id=row.id, epoch=row.epoch)


def _lapse(tx: Tx, kind: str, id: str) -> None:
    """Nothing is written down: the lease runs out, and the row comes again."""


def _trace(e: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(e))
