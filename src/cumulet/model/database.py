"""Transactions: writers one after the other on SQLite, hints sent when they have committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.lib import crash
from cumulet.lib.clock import Clock
from cumulet.lib.sealed import Keyring

Row = sa.Row[Any]
Hint = Callable[[str, str], None]


class Tx:
    """One transaction: its statements, its time, and whom to wake when it has committed.

    A statement that runs often is built once, with `sa.bindparam` in it, and gets its values as `given`:
    SQLAlchemy takes two times as long to build one as SQLite takes to run it.
    """

    def __init__(self, connection: sa.Connection, now: float, keys: Keyring) -> None:
        self.connection = connection
        self.now = now
        self.keys = keys
        self.hints: dict[tuple[str, str], None] = {}

    def all(self, query: sa.Select[Any], **given: Any) -> list[Row]:
        return list(self.connection.execute(query, given))

    def first(self, query: sa.Select[Any], **given: Any) -> Row | None:
        return self.connection.execute(query, given).first()

    def value(self, query: sa.Select[Any], **given: Any) -> Any:
        return self.connection.execute(query, given).scalar()

    def change(self, statement: sa.Update | sa.Delete, **given: Any) -> int:
        """The number of rows that it changed."""
        return self.connection.execute(statement, given).rowcount

    def insert(self, table: sa.Table, *rows: Mapping[str, Any]) -> None:
        if rows:
            self.connection.execute(table.insert(), [dict(row) for row in rows])

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A savepoint: what fails inside (a unique key that is taken) undoes only what is inside."""
        with self.connection.begin_nested():
            yield


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
        self.engine = _engine(url, durable)
        self._writer = threading.RLock() if self.engine.dialect.name == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A snapshot to read from."""
        with self.engine.connect() as connection:
            if self._writer is not None:
                _begin(connection, "BEGIN")
            yield Tx(connection, self.clock.now(), self.keys)

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that is committed when the block ends well, and undone when it does not."""
        if self._writer is None:
            yield from self._written()
            return
        with self._writer:
            yield from self._written()

    def note(self, statement: sa.Update) -> None:
        """Write down what may as well be lost: when something was used last."""
        with suppress(sa.exc.OperationalError), self._writer or nullcontext(), self.engine.begin() as connection:
            connection.execute(statement)

    def _written(self) -> Iterator[Tx]:
        with self.engine.connect() as connection:
            if self._writer is not None:
                _begin(connection, "BEGIN IMMEDIATE")
            tx = Tx(connection, self.clock.now(), self.keys)
            yield tx
            crash.point("commit.before")
            connection.commit()
        crash.point("commit.after")
        for kind, id in tx.hints:
            self.hint(kind, id)

    def close(self) -> None:
        self.engine.dispose()


def _begin(connection: sa.Connection, how: str) -> None:
    # past SQLAlchemy's execution, which takes longer than SQLite to begin
    connection.connection.driver_connection.execute(how)  # type: ignore[union-attr]


def _engine(url: str, durable: bool) -> sa.Engine:
    json = {
        "json_serializer": lambda value: msgspec.json.encode(value).decode(),
        "json_deserializer": msgspec.json.decode,
    }
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED", **json)
    engine = sa.create_engine(url, pool_size=32, max_overflow=32, connect_args={"check_same_thread": False}, **json)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # autocommit: SQLAlchemy must not begin a transaction of its own in front of BEGIN IMMEDIATE
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={'FULL' if durable else 'OFF'}", "busy_timeout=20000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
