"""The schema's versions: from whatever a user has to what this program needs, by Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cumulet.lib.errors import Failure
from cumulet.model import servers, tables
from cumulet.model.database import Database

NO_VERSION = "the database has tables and no version: a `db sync` was cut off, or they are not this program's"
_SCRIPTS = Path(__file__).parent / "migrations"
_versions = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic makes it."""


def upgrade(database: Database) -> tuple[str, str]:
    """Bring the tables to the newest version; gives the version before and after (empty: none).

    Raises `Failure` for a database that a newer program has made.
    """
    before, after = version(database), newest()
    if before and before not in known():
        raise Failure(f"the database has schema {before}, this program knows up to {after}: use the newer program")
    if before == after:
        return before, after
    with database.alone():
        return step(database, after) if before else _make(database), after


def downgrade(database: Database, to: str = "base") -> tuple[str, str]:
    """Take the steps after `to` back (base: all of them), and what only their tables hold; gives the versions."""
    with database.alone():
        return step(database, to, back=True), version(database)


def step(database: Database, to: str, *, back: bool = False) -> str:
    """Go there by the steps from the version that is there now, which is given."""
    from alembic import command

    before = version(database)  # somebody else may have been here while we waited
    if not before:
        _refuse_tables_without_version(database)
    config = _config()
    with database.engine.connect() as connection:
        servers.suit(connection)
        config.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(config, to)
        connection.commit()
    return before


def _make(database: Database) -> str:
    """The tables of an empty database as they are now, without their history; gives the version before."""
    before = version(database)  # somebody else may have been here while we waited
    if before:
        return before
    _refuse_tables_without_version(database)
    with database.telling(), database.engine.connect() as connection:
        servers.suit(connection)
        connection.commit()
        servers.begin_changes(connection)
        _versions.create(connection, checkfirst=True)
        tables.metadata.create_all(connection, checkfirst=False)
        connection.execute(_versions.insert(), {"version_num": newest()})
        connection.commit()
    return before


def _refuse_tables_without_version(database: Database) -> None:
    if sa.inspect(database.engine).has_table("account"):
        raise Failure(f"{NO_VERSION}. Use an empty database, or another state directory")


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
