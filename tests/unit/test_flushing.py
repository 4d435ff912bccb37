"""One flush for all who have committed before it began."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from cumulet.lib.errors import Unsure
from cumulet.model import Database
from cumulet.model.flushing import Flushes


class Disk:
    """One whose flushes take until they are let go of; it knows what had been written when each began."""

    def __init__(self) -> None:
        self.written = 0
        self.flushed: list[int] = []
        self.may_end = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.error: OSError | None = None

    def flush(self, file: str) -> None:
        seen = self.written
        self.begun.release()
        assert self.may_end.acquire(timeout=10)
        if self.error is not None:
            raise self.error
        self.flushed.append(seen)


def test_who_comes_during_a_flush_waits_for_the_next_and_all_of_them_for_one() -> None:
    disk = Disk()
    flushes = Flushes("wal", disk.flush)
    with ThreadPoolExecutor(9) as pool:
        disk.written = 1
        first = pool.submit(flushes.wait)
        assert disk.begun.acquire(timeout=10)
        disk.written = 9
        others = [pool.submit(flushes.wait) for _ in range(8)]
        disk.may_end.release()
        first.result(10)
        assert disk.begun.acquire(timeout=10)
        disk.may_end.release(8)
        for other in others:
            other.result(10)
    assert disk.flushed[0] == 1
    assert set(disk.flushed[1:]) == {9}
    assert len(disk.flushed) <= 3  # one who was slow to come may have needed another


def test_a_flush_that_fails_fails_for_all_who_waited_for_it_and_for_nobody_else() -> None:
    disk = Disk()
    flushes = Flushes("wal", disk.flush)
    disk.error = OSError(5, "Input/output error")
    disk.may_end.release()
    with pytest.raises(Unsure, match="Input/output error"):
        flushes.wait()
    disk.error = None
    disk.may_end.release()
    flushes.wait()


def test_what_many_write_together_is_there_and_hinted_after_its_flush(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/db")
    with database.write() as tx:
        tx.connection.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    assert database._flushes is not None  # noqa: SLF001
    order: list[str] = []
    database._flushes._act = lambda file: order.append(f"flush {Path(file).name}")  # noqa: SLF001
    database.hint = lambda kind, id: order.append(f"hint {id}")

    def add(number: int) -> None:
        with database.write_together() as tx:
            tx.connection.exec_driver_sql(f"INSERT INTO t VALUES ({number})")
            tx.hints["thing", str(number)] = None

    add(1)
    assert order == ["flush db-wal", "hint 1"]
    with pytest.raises(sa.exc.IntegrityError):
        add(1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(2, 50)))
    with database.read() as tx:
        assert tx.connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 49
    assert len([one for one in order if one.startswith("hint")]) == 49
    database.close()
