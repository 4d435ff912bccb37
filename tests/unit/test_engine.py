"""The engine: what is due runs under a lease, whoever lost the lease changes nothing, a wake is never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cumulet.bus.memory import MemoryBus
from cumulet.engine.engine import LAST_EPOCH, LEASE_SECONDS, MOST_SECONDS, Engine, Run
from cumulet.lib.clock import Clock, TestClock
from cumulet.lib.errors import Failure, Impossible, Later, Superseded
from cumulet.model import Database, key_pair, migrate, work

Act = Callable[[Run, str], None]
pytestmark = pytest.mark.all_databases


class Bench:
    """An engine over one kind of thing, `thing`, whose reconciler is `act`; `refused` are what was given up."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.clock = clock
        self.bus = MemoryBus()
        self.database = Database(url, clock=clock, durable=False)
        migrate.upgrade(self.database)
        self.database.hint = self.bus.hint
        self.act: Act = lambda run, id: None
        self.give_up: Callable[[Run, str, Impossible], None] = lambda run, id, reason: self.refused.append(reason)
        self.refused: list[Impossible] = []
        self.ran: list[str] = []
        self.engine = self.another()

    def another(self) -> Engine:
        """One more engine on the same database."""

        def reconcile(run: Run, id: str) -> None:
            self.ran.append(id)
            self.act(run, id)

        given_up = {"thing": lambda run, id, reason: self.give_up(run, id, reason)}
        return Engine(self.database, self.bus, {"thing": reconcile}, given_up, clock=self.clock, threads=4)

    def wake(self, *ids: str) -> None:
        with self.database.write() as tx:
            for id in ids:
                work.wake(tx, "thing", id)

    def row(self, id: str = "a") -> Any:
        with self.database.read() as tx:
            return work.find(tx, "thing", id)

    def run_until_rest(self) -> None:
        while self.engine.run_due():
            pass


@pytest.fixture
def bench(empty_database: str) -> Iterator[Bench]:
    made = Bench(empty_database, TestClock())
    yield made
    made.database.close()


def move(bench: Bench, seconds: float) -> None:
    bench.clock.sleep(seconds)


def test_what_was_woken_runs_once_and_rests(bench: Bench) -> None:
    bench.wake("a", "b")
    bench.run_until_rest()
    assert bench.ran == ["a", "b"]
    assert (bench.row().due, bench.row().lease) == (None, None)


def test_the_longest_due_runs_first(bench: Bench) -> None:
    for id in "cab":
        bench.wake(id)
        move(bench, 1)
    bench.run_until_rest()
    assert bench.ran == ["c", "a", "b"]


def test_a_wake_during_a_run_has_it_run_once_more(bench: Bench) -> None:
    bench.act = lambda run, id: bench.wake("a") if len(bench.ran) == 1 else None
    bench.wake("a")
    bench.run_until_rest()
    assert bench.ran == ["a", "a"]
    assert bench.row().due is None


def test_later_comes_again_after_its_time_with_its_reason_shown(bench: Bench) -> None:
    def act(run: Run, id: str) -> None:
        raise Later(5.0, "no host yet")

    bench.act = act
    bench.wake("a")
    bench.run_until_rest()
    assert (bench.row().due, bench.row().error) == (bench.clock.now() + 5.0, "no host yet")
    move(bench, 4.9)
    assert bench.engine.run_due() == 0
    move(bench, 0.2)
    assert bench.engine.run_due() == 1


def test_a_wake_comes_before_the_time_of_later(bench: Bench) -> None:
    def act(run: Run, id: str) -> None:
        raise Later(500.0)

    bench.act = act
    bench.wake("a")
    bench.run_until_rest()
    bench.wake("a")
    assert bench.engine.run_due() == 1


def test_a_failure_is_shown_and_tried_again_ever_more_slowly(bench: Bench) -> None:
    def act(run: Run, id: str) -> None:
        raise Failure("making a") from OSError("disk full")

    bench.act = act
    bench.wake("a")
    pauses = []
    for _ in range(12):
        assert bench.engine.run_due() == 1
        pauses.append(bench.row().due - bench.clock.now())
        move(bench, pauses[-1] + 0.01)
    assert bench.row().error == "Failure: making a (disk full)"
    assert bench.row().tries == 12
    assert [round(pause, 2) for pause in pauses[:4]] == [0.25, 0.5, 1.0, 2.0]
    assert max(pauses) == pytest.approx(MOST_SECONDS)


def test_success_after_a_failure_leaves_no_trace_of_it(bench: Bench) -> None:
    def act(run: Run, id: str) -> None:
        if run.tries < 2:
            raise Failure("not yet")

    bench.act = act
    bench.wake("a")
    for _ in range(3):
        bench.engine.run_due()
        move(bench, 1)
    assert (bench.row().due, bench.row().error, bench.row().tries) == (None, "", 0)


def test_what_is_impossible_is_given_up_and_rests(bench: Bench) -> None:
    def act(run: Run, id: str) -> None:
        raise Impossible("Server.InternalError", "never")

    bench.act = act
    bench.wake("a")
    bench.run_until_rest()
    assert [reason.message for reason in bench.refused] == ["never"]
    assert bench.row().due is None


@pytest.mark.parametrize(("error", "tries"), [(Failure("refused"), 1), (Later(3.0), 0)])
def test_giving_up_may_fail_or_wait_as_any_run(bench: Bench, error: Exception, tries: int) -> None:
    def act(run: Run, id: str) -> None:
        raise Impossible("Server.InternalError", "never")

    def give_up(run: Run, id: str, reason: Impossible) -> None:
        raise error

    bench.act, bench.give_up = act, give_up
    bench.wake("a")
    bench.run_until_rest()
    assert bench.row().due > bench.clock.now()
    assert (bench.row().lease, bench.row().tries) == (None, tries)


def test_what_is_leased_runs_nowhere_else_until_the_lease_is_over(bench: Bench) -> None:
    other, found = bench.another(), []

    def act(run: Run, id: str) -> None:
        if len(bench.ran) == 1:
            found.append(other.run_due())
            move(bench, LEASE_SECONDS + 1)
            found.append(other.run_due())

    bench.act = act
    bench.wake("a")
    bench.engine.run_due()
    assert found == [0, 1]


def test_whoever_lost_the_lease_can_write_nothing(bench: Bench) -> None:
    other = bench.another()

    def act(run: Run, id: str) -> None:
        if len(bench.ran) > 1:
            return
        move(bench, LEASE_SECONDS + 1)
        other.run_due()
        with pytest.raises(Superseded, match="thing a: lease 1 is over"), run.write() as tx:
            tx.insert(key_pair.key_pair, {"id": "key-1", "account": "1", "name": "stale"})
        raise Later(77.0, "stale")

    bench.act = act
    bench.wake("a")
    bench.engine.run_due()
    assert (bench.row().epoch, bench.row().due, bench.row().error) == (2, None, "")
    with bench.database.read() as tx:
        assert tx.all(sa.select(key_pair.key_pair)) == []


def test_an_order_that_is_refused_though_the_lease_is_ours_is_tried_again(bench: Bench) -> None:
    def act(run: Run, id: str) -> None:
        if run.epoch < 3:
            raise Superseded("order 2 has come before it")

    bench.act = act
    bench.wake("a")
    for _ in range(3):
        bench.engine.run_due()
        move(bench, 2)
    assert (bench.row().due, bench.row().epoch) == (None, 3)


def test_each_lease_has_a_higher_number_and_orders_carry_it(bench: Bench) -> None:
    orders: list[bytes] = []

    def answer(message: bytes, sender: str) -> bytes:
        orders.append(message)
        return b"{}"

    bench.bus.serve("compute.h1", answer)
    bench.act = lambda run, id: run.driver("compute", "h1").remove("i-1")
    for _ in range(3):
        bench.wake("a")
        bench.run_until_rest()
    assert [b'"epoch":%d' % number in order for number, order in enumerate(orders, 1)] == [True] * 3
    bench.act = lambda run, id: run.last_word("compute", "h1").remove("i-1")
    bench.wake("a")
    bench.run_until_rest()
    assert b'"epoch":%d' % LAST_EPOCH in orders[-1]


def test_what_was_held_by_a_dead_process_can_be_freed(bench: Bench) -> None:
    bench.wake("a")
    with bench.database.write() as tx:
        assert len(work.lease(tx, "h1", LEASE_SECONDS, 10, ["thing"])) == 1
    assert bench.engine.run_due() == 0
    with bench.database.write() as tx:
        work.free_not_held_by(tx, {"h1"})
    assert bench.engine.run_due() == 0
    with bench.database.write() as tx:
        work.free_held_by(tx, "h1")
    assert bench.engine.run_due() == 1
    assert bench.row().epoch == 2


def test_kinds_that_this_engine_does_not_know_are_left_alone(bench: Bench) -> None:
    with bench.database.write() as tx:
        work.wake(tx, "other", "x")
    assert bench.engine.run_due() == 0


@pytest.fixture
def running(empty_database: str) -> Iterator[Bench]:
    """A bench whose engine runs in threads, with real time."""
    made = Bench(empty_database, Clock())
    made.engine.start()
    yield made
    made.engine.stop()
    made.database.close()


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_in_threads_as_many_run_at_once_as_there_are_and_no_more(running: Bench) -> None:
    meet, most = threading.Barrier(4), []
    inside = threading.Semaphore(4)

    def act(run: Run, id: str) -> None:
        most.append(inside.acquire(blocking=False))
        meet.wait(10)
        inside.release()

    running.act = act
    running.wake(*(str(number) for number in range(12)))
    wait_for(lambda: len(most) == 12)
    assert all(most)


def test_in_threads_a_wake_by_a_run_is_followed_at_once(running: Bench) -> None:
    def act(run: Run, id: str) -> None:
        with run.write() as tx:
            if len(id) < 8:
                work.wake(tx, "thing", id + "a")

    running.act = act
    begun = time.monotonic()
    running.wake("a")
    wait_for(lambda: "a" * 8 in running.ran)
    assert time.monotonic() - begun < 5  # each of the seven hints that is lost would cost a second


def test_in_threads_a_lost_hint_costs_one_poll(running: Bench) -> None:
    running.database.hint = lambda kind, id: None
    time.sleep(0.05)
    running.wake("a")
    wait_for(lambda: running.ran == ["a"], 5.0)


def test_stopping_waits_for_what_runs_and_lets_it_go(empty_database: str) -> None:
    bench = Bench(empty_database, Clock())
    begun = threading.Event()

    def act(run: Run, id: str) -> None:
        begun.set()
        time.sleep(0.2)

    bench.act = act
    bench.engine.start()
    bench.wake("a")
    assert begun.wait(5)
    bench.engine.stop()
    assert (bench.row().due, bench.row().lease) == (None, None)
    bench.database.close()


def test_a_database_that_is_away_for_a_while_is_waited_for(running: Bench) -> None:
    with running.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE work RENAME TO away")
        connection.commit()
        running.engine.bus.hint("thing", "a")
        time.sleep(0.1)
        connection.exec_driver_sql("ALTER TABLE away RENAME TO work")
        connection.commit()
    running.wake("a")
    wait_for(lambda: running.ran == ["a"])


def test_what_was_taken_ahead_and_not_begun_is_let_go_when_the_engine_stops(empty_database: str) -> None:
    bench, begun, go_on = Bench(empty_database, Clock()), threading.Event(), threading.Event()

    def act(run: Run, id: str) -> None:
        begun.set()
        go_on.wait(10)

    bench.act = act
    bench.wake(*(f"{number:02}" for number in range(12)))
    bench.engine.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=bench.engine.stop)
    stopping.start()
    time.sleep(0.1)
    go_on.set()
    stopping.join(10)
    ran = len(bench.ran)
    assert ran < 12
    with bench.database.read() as tx:
        rows = tx.all(sa.select(work.work))
    assert all(row.lease is None for row in rows)
    assert sum(row.due is not None for row in rows) == 12 - ran
    bench.database.close()
