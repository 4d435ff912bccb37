"""What the model counts on, of each of the three databases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib import ids
from cumulet.lib.errors import Conflict
from cumulet.model import Database, account, host, key_pair, migrate, tag, work
from cumulet.model.database import Row, retried

pytestmark = pytest.mark.all_databases


def add(database: Database, name: str) -> bool:
    with database.write() as tx:
        return key_pair.add(tx, {"id": ids.new("key_pair"), "account": "1", "name": name})


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return [row.name for row in key_pair.of_account(tx, "1")]


def test_names_that_differ_in_anything_are_different_names(database: Database) -> None:
    wanted = ["a", "A", "a ", "á", "å", "ß", "ss", "🚀", "🚁"]
    assert [add(database, name) for name in wanted] == [True] * len(wanted)
    assert sorted(names(database)) == sorted(wanted)
    with database.read() as tx:
        found = [key_pair.named(tx, "1", name) for name in wanted]
    assert [row.name for row in found if row is not None] == wanted


def test_a_name_that_is_taken_undoes_only_its_own_attempt(database: Database) -> None:
    with database.write() as tx:
        assert key_pair.add(tx, {"id": "key-1", "account": "1", "name": "first"})
        assert not key_pair.add(tx, {"id": "key-2", "account": "1", "name": "first"})
        assert key_pair.add(tx, {"id": "key-3", "account": "1", "name": "second"})
    assert names(database) == ["first", "second"]


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.insert(key_pair.key_pair, {"id": "key-1", "account": "1", "name": "first"})
        tx.insert(key_pair.key_pair, {"id": "key-1", "account": "1", "name": "second"})
    assert names(database) == []


def test_values_come_back_as_they_were_written(database: Database) -> None:
    facts = {"architectures": ["x86_64"], "attributes": {"rack": "r1", "größe": "🚀"}, "none": None}
    moment = 1_764_203_733.123_456_7
    with database.write() as tx:
        host.describe(tx, "h1", {"zones": ["a", "b"], "memory_mib": 2**40, "facts": facts})
        host.heard(tx, "compute", "h1", "a")
        tx.change(host.service.update().values(heard=moment))
        tag.put_new(tx, "1", ["i-1"], "instance", {"k" * 128: "🚀" * 256})
    with database.read() as tx:
        row = host.find(tx, "h1")
        assert row is not None
        assert (row.zones, row.memory_mib, row.facts) == (["a", "b"], 2**40, facts)
        assert host.services(tx)[0].heard == moment
        assert tx.value(sa.select(tag.tag.c.value)) == "🚀" * 256


def test_what_is_read_is_of_one_moment(database: Database) -> None:
    add(database, "before")
    with database.read() as tx:
        first = key_pair.of_account(tx, "1")
        add(database, "meanwhile")
        assert key_pair.of_account(tx, "1") == first
    assert names(database) == ["before", "meanwhile"]


def test_schedulers_that_lease_at_once_take_different_rows(database: Database) -> None:
    with database.write() as tx:
        work.wake_new(tx, "thing", [f"{number:03}" for number in range(120)])
    taken: list[str] = []
    begin = threading.Barrier(4)

    def take() -> None:
        begin.wait(10)
        while rows := retried(lease):
            taken.extend(row.id for row in rows)

    def lease() -> list[Row]:
        with database.write() as tx:
            return work.lease(tx, "h1", 60.0, 7, ["thing"])

    run_together([take] * 4)
    assert sorted(taken) == [f"{number:03}" for number in range(120)]


def test_wakes_by_many_at_once_are_all_counted(database: Database) -> None:
    begin = threading.Barrier(6)

    def wake() -> None:
        begin.wait(10)
        for _ in range(10):
            retried(once)

    def once() -> None:
        with database.write() as tx:
            work.wake(tx, "thing", "one")

    run_together([wake] * 6)
    with database.read() as tx:
        row = work.find(tx, "thing", "one")
    assert row is not None
    assert row.wakes == 60


def test_whoever_counts_holds_the_account_until_the_end(database: Database) -> None:
    """A quota: as many as are allowed are made, however many ask at once."""
    with database.write() as tx:
        id = account.create(tx, "admin").id
    begin = threading.Barrier(6)

    def make() -> None:
        begin.wait(10)
        retried(once)

    def once() -> None:
        with database.write() as tx:
            account.hold(tx, id)
            if len(account.keys(tx, id)) < 3:
                account.add_key(tx, id)

    run_together([make] * 6)
    with database.read() as tx:
        assert len(account.keys(tx, id)) == 3


def test_two_who_wait_for_each_other_are_parted_and_both_succeed(database: Database, database_kind: str) -> None:
    for name in ("a", "b"):
        add(database, name)
    undone: list[str] = []
    met = threading.Barrier(2)

    def rename(order: str) -> None:
        with database.write() as tx:
            for index, name in enumerate(order):
                if index == 1 and database_kind != "sqlite" and not undone:
                    met.wait(10)  # each holds one, and wants that of the other
                mine = key_pair.key_pair.c.name == name
                tx.change(key_pair.key_pair.update().where(mine).values(type=order))

    def until_done(order: str) -> None:
        while True:
            try:
                rename(order)
            except Conflict:
                undone.append(order)
            else:
                return

    run_together([lambda: until_done("ab"), lambda: until_done("ba")])
    assert bool(undone) == (database_kind != "sqlite")
    with database.read() as tx:
        assert len({row.type for row in key_pair.of_account(tx, "1")}) == 1


def test_what_undoes_all_of_a_transaction_is_a_conflict_within_an_attempt_too(
    database: Database, database_kind: str
) -> None:
    if database_kind == "sqlite":
        pytest.skip("SQLite's writers come one after the other")
    for name in ("a", "b"):
        add(database, name)
    ended: list[type[Exception]] = []
    met = threading.Barrier(2)

    def rename(order: str) -> None:
        with database.write() as tx:
            with tx.attempt():
                tx.change(key_pair.key_pair.update().where(key_pair.key_pair.c.name == order[0]).values(type="x"))
            met.wait(10)
            with tx.attempt():
                tx.change(key_pair.key_pair.update().where(key_pair.key_pair.c.name == order[1]).values(type="x"))

    def say(order: str) -> None:
        try:
            rename(order)
        except Exception as e:  # noqa: BLE001 - whatever it is, it is what is asked for
            ended.append(type(e))

    run_together([lambda: say("ab"), lambda: say("ba")])
    assert ended == [Conflict]


def test_making_tables_is_done_by_one_process_at_a_time(bare_database: str, database_kind: str) -> None:
    if database_kind == "sqlite":
        pytest.skip("one process has a file of SQLite's")
    found: list[tuple[str, str]] = []

    def sync() -> None:
        database = Database(bare_database)
        found.append(migrate.upgrade(database))
        database.close()

    run_together([sync] * 3)
    assert sorted(found) == [("", migrate.newest()), *[(migrate.newest(), migrate.newest())] * 2]


def run_together(acts: list[Callable[[], None]]) -> None:
    """All of them at once, in threads; one that fails fails the test."""
    failed: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as e:  # noqa: BLE001 - raised again below
            failed.append(e)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.1))
    assert not any(thread.is_alive() for thread in threads)
    if failed:
        raise failed[0]
