"""Transactions: short, undone as a whole where anything fails, hints sent when they have committed.

A transaction ends well, or in one of three `Failure`s: `Conflict` (the database has undone it for another's sake),
`Away` (it was not reached, or lost before the end), `Unsure` (lost during the commit). After the first two nothing has
happened, and `retried` does it again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from cumulet.lib import crash
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Away, Conflict, Unsure
from cumulet.lib.sealed import Keyring
from cumulet.lib.threads import aside
from cumulet.model import servers
from cumulet.model.flushing import Flushes
from cumulet.model.prepared import FEW, Driver, Prepared, Statements, is_often
from cumulet.model.row import Row as Row
from cumulet.model.row import named

Hint = Callable[[str, str], None]
Result = TypeVar("Result")
PATIENCE = {Conflict: 5.0, Away: 2.0, Unsure: 2.0}
"""For how many seconds somebody who waits for an answer has a transaction done again."""


class Tx:
    """One transaction: its statements, its time, and whom to wake when it has committed.

    A statement that runs often is built once, with `sa.bindparam` in it, and gets its values as `given`:
    SQLAlchemy takes two times as long to build one as SQLite takes to run it.
    """

    def __init__(
        self, connection: sa.Connection, statements: Statements, now: float, keys: Keyring, *, writes: bool = False
    ) -> None:
        self.connection = connection
        self._statements = statements
        self._driver = Driver(connection)
        self.now = now
        self.keys = keys
        self.writes = writes
        self.hints: dict[tuple[str, str], None] = {}
        self.at_end: dict[tuple[str, str, int], Callable[[], None]] = {}
        """What is done last, in the order of the keys: to rows that many want, so that no two wait for each other."""

    def all(self, query: sa.Select[Any], **given: Any) -> list[Row]:
        if (run := self._run(query, given)) is not None:
            prepared, cursor = run
            return prepared.rows(cursor, cursor.fetchall())
        result = self.connection.execute(query, given)
        row = named(tuple(result.keys()))
        return [row(values) for values in result]

    def first(self, query: sa.Select[Any], **given: Any) -> Row | None:
        if (run := self._run(query, given)) is not None:
            prepared, cursor = run
            found = cursor.fetchone()
            return prepared.rows(cursor, [found])[0] if found is not None else None
        result = self.connection.execute(query, given)
        row, values = named(tuple(result.keys())), result.first()
        return None if values is None else row(values)

    def held(self, query: sa.Select[Any]) -> list[Row]:
        """The same rows; in a transaction that writes they stay as they are until its end."""
        return self.all(query.with_for_update() if self.writes else query)

    def value(self, query: sa.Select[Any], **given: Any) -> Any:
        found = self.first(query, **given)
        return found[0] if found is not None else None

    def change(self, statement: sa.Update | sa.Delete, **given: Any) -> int:
        """The number of rows that it changed."""
        if (run := self._run(statement, given)) is not None:
            return int(run[1].rowcount)
        return self.connection.execute(statement, given).rowcount

    def _run(self, statement: sa.Executable, given: dict[str, Any]) -> tuple[Prepared, Any] | None:
        """Past SQLAlchemy, where it is a statement that is prepared; with the cursor that has what it gave."""
        if not given and not is_often(statement):
            return None
        prepared = self._statements[statement]
        cursor = self._driver.run(prepared, given)
        return None if cursor is None else (prepared, cursor)

    def update(self, table: sa.Table, of: Mapping[str, Any], **values: Any) -> int:
        """Change the rows whose columns are as `of` says (a value, or a list of them); gives how many.

        A value may be an expression of SQL.
        """
        computed = {name: value for name, value in values.items() if isinstance(value, sa.ClauseElement)}
        plain = {name: value for name, value in values.items() if name not in computed}
        kinds = tuple((name, isinstance(value, list)) for name, value in of.items())
        given = {f"of_{name}": value for name, value in of.items()} | {f"to_{k}": v for k, v in plain.items()}
        statement = _updating(table, kinds, tuple(plain))
        if computed:
            return self.connection.execute(statement.values(**computed), given).rowcount
        return self.change(statement, **given)

    def insert(self, table: sa.Table, *rows: Mapping[str, Any]) -> None:
        if len(rows) > FEW or any(isinstance(value, sa.ClauseElement) for row in rows for value in row.values()):
            self.connection.execute(table.insert(), [dict(row) for row in rows])
            return
        for row in rows:
            self._run(_inserting(table, tuple(row)), {f"to_{name}": value for name, value in row.items()})

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A savepoint: what fails inside (a unique key that is taken) undoes only what is inside."""
        savepoint = self.connection.begin_nested()
        try:
            yield
        except BaseException as e:
            if not servers.is_undone(e):  # else there is no savepoint any more
                savepoint.rollback()
            raise
        savepoint.commit()


@cache
def _updating(table: sa.Table, of: tuple[tuple[str, bool], ...], values: tuple[str, ...]) -> sa.Update:
    conditions = [
        table.c[name].in_(sa.bindparam(f"of_{name}", expanding=True))
        if many
        else table.c[name] == sa.bindparam(f"of_{name}", type_=table.c[name].type)
        for name, many in of
    ]
    changes = {name: sa.bindparam(f"to_{name}", type_=table.c[name].type) for name in values}
    return table.update().where(*conditions).values(**changes)


@cache
def _inserting(table: sa.Table, names: tuple[str, ...]) -> sa.Insert:
    return table.insert().values({name: sa.bindparam(f"to_{name}", type_=table.c[name].type) for name in names})


class Database:
    """The truth, by a SQLAlchemy URL. `hint` is called with (kind, id) of each wake, after its commit.

    Secrets rest in it sealed with `keys`; by default those are this object's alone.
    """

    def __init__(
        self, url: str, *, clock: Clock | None = None, durable: bool = True, keys: Keyring | None = None
    ) -> None:
        self.url = url
        self.keys = keys or Keyring()
        self.clock = clock or Clock()
        self.hint: Hint = lambda kind, id: None
        self.engine = servers.engine(url, durable=durable)
        self._beside: sa.Engine | None = None
        self._flushes: Flushes | None = None
        if durable and servers.kind_of(self.engine) == "sqlite":
            self._beside = servers.engine(url, durable=True, flushes=False)
            self._flushes = Flushes(f"{self.engine.url.database}-wal")
        self._writer = threading.RLock() if servers.kind_of(self.engine) == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A snapshot to read from."""
        with self.telling(), self.engine.connect() as connection:
            servers.begin_snapshot(connection)
            yield Tx(connection, servers.statements(connection), self.clock.now(), self.keys)
            servers.end_snapshot(connection)

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that is committed when the block ends well, and undone when it does not."""
        with self._alone():
            tx = yield from self._written(self.engine)
        self._tell(tx)

    @contextmanager
    def write_together(self) -> Iterator[Tx]:
        """The same, for what many do at once: others see it a moment before it is on the disk, where it is when the
        block has ended, but not one at a time. (A server does so by itself.)"""
        with self._alone():
            tx = yield from self._written(self._beside or self.engine)
        self.flushed()
        self._tell(tx)

    def flushed(self) -> None:
        """What has been read so far is on the disk: for who does with it what a power cut does not undo."""
        if self._flushes is not None:
            self._flushes.wait()

    def note(self, statement: sa.Update) -> None:
        """Write down what may as well be lost: when something was used last."""
        with suppress(SQLAlchemyError), self._alone(), self.engine.begin() as connection:
            connection.execute(statement)

    @property
    def is_embedded(self) -> bool:
        """Whether it is in this process, and not a server that is waited for."""
        return self._writer is not None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """As the one writer, where there may be no more."""
        if self._writer is None:
            yield
            return
        if not self._writer.acquire(blocking=False):
            with aside():
                self._writer.acquire()
        try:
            yield
        finally:
            self._writer.release()

    def _written(self, engine: sa.Engine) -> Generator[Tx, None, Tx]:
        with self.telling(), engine.connect() as connection:
            servers.begin_changes(connection)
            tx = Tx(connection, servers.statements(connection), self.clock.now(), self.keys, writes=True)
            yield tx
            for key in sorted(tx.at_end):
                tx.at_end[key]()
            crash.point("commit.before")
            with self.telling(committing=True):
                connection.commit()
        return tx

    def _tell(self, tx: Tx) -> None:
        crash.point("commit.after")
        for kind, id in tx.hints:
            self.hint(kind, id)

    @contextmanager
    def telling(self, *, committing: bool = False) -> Iterator[None]:
        """What the database says is said in our words: raises `Conflict`, `Away` or `Unsure` for it."""
        try:
            yield
        except SQLAlchemyError as e:
            failure = servers.meaning(self.engine, e, committing=committing)
            if failure is None:
                raise
            raise failure from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Of all the processes on this database, one at a time is in here; for making tables."""
        with self.telling(), servers.alone(self.engine):
            yield

    def close(self) -> None:
        self.engine.dispose()
        if self._beside is not None:
            self._beside.dispose()


def retried(call: Callable[[], Result], *, repeatable: bool = False) -> Result:
    """What `call` gives, which changes nothing but the database: called again when that has undone it or was away.

    `repeatable`: doing it twice is as good as once, so it is called again after `Unsure` too.
    """
    begun, pause = time.monotonic(), 0.005
    while True:
        try:
            return call()
        except (Conflict, Away, Unsure) as e:
            patience = PATIENCE[type(e)]
            if (isinstance(e, Unsure) and not repeatable) or time.monotonic() - begun + pause > patience:
                raise
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(pause * 2, 0.25)
