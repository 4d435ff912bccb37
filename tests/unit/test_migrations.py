"""The schema's history leads to what the program's tables say, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cumulet.lib.errors import Failure
from cumulet.model import Database, migrate, tables

pytestmark = pytest.mark.all_databases


@pytest.fixture
def database(bare_database: str) -> Iterator[Database]:
    made = Database(bare_database)
    yield made
    made.close()


def names(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names())


def differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))


def test_a_new_database_is_as_the_tables_say(database: Database) -> None:
    assert migrate.upgrade(database) == ("", migrate.newest())
    assert differences(database) == []
    assert names(database) >= set(tables.metadata.tables)


def test_the_names_of_the_steps_are_those_that_they_have() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_heads() == [migrate.newest()]
    assert {script.revision for script in scripts.walk_revisions()} == migrate.known()


def test_a_table_that_lacks_a_column_is_noticed(database: Database) -> None:
    migrate.upgrade(database)
    with database.write() as tx:
        tx.connection.exec_driver_sql("ALTER TABLE account DROP COLUMN canonical_id")
    assert len(differences(database)) == 1


def test_an_upgraded_database_stays_as_it_is(database: Database) -> None:
    migrate.upgrade(database)
    assert migrate.upgrade(database) == (migrate.newest(), migrate.newest())


def test_the_steps_can_be_taken_back_and_again(database: Database) -> None:
    migrate.upgrade(database)
    assert migrate.downgrade(database) == (migrate.newest(), "")
    assert names(database) == {"alembic_version"}
    migrate.upgrade(database)
    assert differences(database) == []


def test_a_newer_schema_is_refused(database: Database) -> None:
    migrate.upgrade(database)
    with database.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Failure, match="9999.*newer program"):
        migrate.upgrade(database)


def test_a_database_made_for_a_test_is_not_taken_for_a_real_one(database: Database) -> None:
    migrate.upgrade(database, quick=True)
    with pytest.raises(Failure, match="made for a test"):
        migrate.upgrade(database)
