"""The schema's versions: from whatever a user has to what this program needs, by Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cumulet.lib.errors import Failure
from cumulet.model import servers, tables
from cumulet.model.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(database: Database, *, quick: bool = False) -> tuple[str, str]:
    """Bring the tables to the newest version; gives the version before and after (empty: none).

    `quick` makes the tables of an empty database without their history (a test's cloud). Raises `Failure` for a
    database that a newer program has made.
    """
    before = version(database)
    if quick and not before:
        with database.alone():
            _make_quickly(database)
        return "", ""
    after = newest()
    if before and before not in known():
        raise Failure(f"the database has schema {before}, this program knows up to {after}: use the newer program")
    if before != after:
        with database.alone():
            return _step(database, "head"), after
    return before, after


def downgrade(database: Database, to: str = "base") -> tuple[str, str]:
    """Take the steps after `to` back (base: all of them), and what only their tables hold; gives the versions."""
    with database.alone():
        return _step(database, to, back=True), version(database)


def _make_quickly(database: Database) -> None:
    with database.telling(), database.engine.connect() as connection:
        servers.suit(connection)
        there = set(sa.inspect(connection).get_table_names())  # asked once, not of each
        wanted = [table for table in tables.metadata.sorted_tables if table.name not in there]
        tables.metadata.create_all(connection, tables=wanted, checkfirst=False)
        connection.commit()


def _step(database: Database, to: str, *, back: bool = False) -> str:
    """Go there from the version that is there now, which is given."""
    from alembic import command

    before = version(database)  # somebody else may have been here while we waited
    if not before and sa.inspect(database.engine).has_table("account"):
        raise Failure(
            "the database has tables and no version: they were made for a test (`--test`), or by a `db sync` that was "
            "cut off. Use an empty database, or another state directory"
        )
    config = _config()
    with database.engine.connect() as connection:
        servers.suit(connection)
        config.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(config, to)
        connection.commit()
    return before


def version(database: Database) -> str:
    """The schema's version; empty where there is none."""
    with database.telling(), database.engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")


def newest() -> str:
    """The version that this program knows."""
    return max(known())


def known() -> set[str]:
    """All the versions that this program has steps for, by the names of their files.

    Alembic, which reads the files for the same, takes 16 MiB of memory: it is for who has a step to take.
    """
    return {path.name.partition("_")[0] for path in (_SCRIPTS / "versions").glob("[0-9]*_*.py")}


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config
