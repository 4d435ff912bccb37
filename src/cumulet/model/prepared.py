"""Statements that run often, past SQLAlchemy's execution: compiled once, and given to the driver as they are.

SQLAlchemy says what a statement is in SQL, what becomes of its parameters, and of the values of its rows. What it does
for each run besides takes several times as long as the drivers' own work (docs/decisions/0028-prepared-statements.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, NoReturn

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from cumulet.model.row import Row, named

STATEMENTS = 2000
"""How many compiled statements are kept: more than there are."""
FEW = 8
"""How many things a list may have that a statement is prepared for."""


def often(query: sa.Select[Any]) -> sa.Select[Any]:
    """A query that takes nothing, to be prepared too."""
    return query.execution_options(often=True)


def is_often(query: Any) -> bool:
    return bool(query.get_execution_options().get("often"))


class Text(NamedTuple):
    """A statement in SQL, and what it takes: the name, what it is when it is not given, what becomes of it."""

    sql: str
    takes: Sequence[tuple[str, Any, Callable[[Any], Any] | None]]
    lists: list[tuple[str, list[str]]]
    """Of a list that was given, the name of each place that it fills."""


class Prepared:
    """A statement with `sa.bindparam` in it, as one dialect says it.

    One that has `IN` with a list has a text for each number of things in it.
    """

    def __init__(self, statement: Any, dialect: sa.Dialect) -> None:
        self._compiled: SQLCompiler = statement.compile(dialect=dialect)
        self._dialect = dialect
        self._lists = [(name, bind.value) for name, bind in self._compiled.binds.items() if bind.expanding]
        self._texts: dict[tuple[int, ...], Text] = {}
        self._columns = list(statement.selected_columns) if isinstance(statement, sa.SelectBase) else []
        self._row = named(tuple(str(column.key) for column in self._columns))
        self._readers: list[tuple[int, Callable[[Any], Any]]] | None = None

    def text(self, given: Mapping[str, Any]) -> Text | None:
        """None for lists that are so long that hardly another is."""
        lengths = tuple(len(given.get(name, fixed)) for name, fixed in self._lists) if self._lists else ()
        try:
            return self._texts[lengths]
        except KeyError:
            if lengths and max(lengths) > FEW:
                return None
        made = self._texts[lengths] = self._written(given)
        return made

    def _written(self, given: Mapping[str, Any]) -> Text:
        state = self._compiled.construct_expanded_state(given)
        defaults = {**self._compiled.params, **{c.key: _default(c) for c in self._compiled.insert_prefetch}}
        takes = []
        for name in state.positiontup if state.positiontup is not None else state.parameters:
            bind = self._compiled.binds.get(name)
            kind = None if bind is None else bind.type.dialect_impl(self._dialect).bind_processor(self._dialect)
            takes.append((name, defaults.get(name), kind or state.processors.get(name)))
        return Text(state.statement, takes, list(state.parameter_expansion.items()))

    def values(self, text: Text, given: dict[str, Any]) -> Any:
        """The parameters as the driver wants them."""
        for name, places in text.lists:
            items = given[name] if name in given else self._compiled.params[name]
            given.update(zip(places, chain.from_iterable(items) if len(places) > len(items) else items, strict=True))
        values = [
            given.get(name, default) if process is None else process(given.get(name, default))
            for name, default, process in text.takes
        ]
        return values if self._compiled.positional else dict(zip((n for n, *_ in text.takes), values, strict=True))

    def rows(self, cursor: Any, found: Iterable[Any]) -> list[Row]:
        """What a cursor has given, as SQLAlchemy would read it."""
        readers = self._readers
        if readers is None:  # what becomes of a number depends on the kind that the server gives
            processors = [
                column.type.dialect_impl(self._dialect).result_processor(self._dialect, described[1])
                for column, described in zip(self._columns, cursor.description or (), strict=True)
            ]
            readers = self._readers = [(place, read) for place, read in enumerate(processors) if read is not None]
        if not readers:
            return [self._row(values) for values in found]
        return [self._row(_read(readers, values)) for values in found]


def _read(readers: list[tuple[int, Callable[[Any], Any]]], values: Iterable[Any]) -> list[Any]:
    read = list(values)
    for place, reader in readers:
        read[place] = reader(read[place])
    return read


def _default(column: sa.Column[Any]) -> Any:
    """What SQLAlchemy puts in a column that is not given: the same each time, in our schema."""
    default: Any = column.default
    return default.arg(None) if default.is_callable else default.arg


class Statements(dict[Any, Prepared]):
    """Each statement as this dialect says it; one is to be asked for that is there as long as the program is."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect

    def __missing__(self, statement: Any) -> Prepared:
        if len(self) >= STATEMENTS:
            self.clear()
        made = self[statement] = Prepared(statement, self._dialect)
        return made


class Driver:
    """The driver's own connection below SQLAlchemy's, within one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._sqlite = isinstance(self._driver, sqlite3.Connection)
        self._cursor: Any = None

    def run(self, prepared: Prepared, given: dict[str, Any]) -> Any:
        """The cursor, from which what was found is to be taken before the next; raises what SQLAlchemy would.

        None for what is SQLAlchemy's to run.
        """
        text = prepared.text(given)
        if text is None:
            return None
        try:
            values = prepared.values(text, given)
            if self._sqlite:
                return self._driver.execute(text.sql, values)
            if self._cursor is None:
                self._cursor = self._driver.cursor()
            self._cursor.execute(text.sql, values)
        except BaseException as e:  # noqa: BLE001 - SQLAlchemy says which of them mean that the connection is lost
            refuse(self._connection, e, text.sql)
        return self._cursor


def refuse(connection: sa.Connection, error: BaseException, sql: str) -> NoReturn:
    """Raise what SQLAlchemy does for an error of the driver, once it has seen what that means for its connections."""
    connection._handle_dbapi_exception(error, sql, None, None, None)  # noqa: SLF001
