"""Statements that run often, past SQLAlchemy's execution: compiled once, and given to SQLite as they are.

SQLAlchemy says what a statement is in SQL, what becomes of its parameters, and what its rows are. What it does for each
run besides takes several times as long as SQLite's own work (docs/decisions/0028-prepared-statements.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler

Row = sa.Row[Any]


class Prepared:
    """A statement with `sa.bindparam` in it, for a dialect whose parameters are known by their places."""

    def __init__(self, statement: Any, compiled: SQLCompiler, dialect: sa.Dialect) -> None:
        self.sql = compiled.string
        self._takes = [
            (name, compiled.params[name], compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or ()
        ]
        columns = list(statement.selected_columns) if isinstance(statement, sa.SelectBase) else []
        readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._readers = readers if any(readers) else None
        self._shape = SimpleResultMetaData([str(column.key) for column in columns])
        self._places = self._shape._key_to_index  # noqa: SLF001 - SQLAlchemy's rows have no other constructor

    @classmethod
    def of(cls, statement: Any, dialect: sa.Dialect) -> Prepared | None:
        """None for one whose text depends on what it is given: IN with a list."""
        compiled = statement.compile(dialect=dialect)
        if compiled.post_compile_params or compiled.literal_execute_params:
            return None
        return cls(statement, compiled, dialect)

    def run(self, connection: sqlite3.Connection, given: Mapping[str, Any]) -> sqlite3.Cursor:
        """Raises what SQLAlchemy raises when SQLite refuses it."""
        values = [
            given.get(name, default) if process is None else process(given.get(name, default))
            for name, default, process in self._takes
        ]
        try:
            return connection.execute(self.sql, values)
        except sqlite3.Error as e:
            raise sa.exc.DBAPIError.instance(self.sql, None, e, sqlite3.Error, hide_parameters=True) from e

    def row(self, values: Any) -> Row:
        """As SQLAlchemy gives it: by name and by place."""
        return sa.Row(self._shape, self._readers, self._places, values)
