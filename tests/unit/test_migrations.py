"""The schema's history leads to what the program's tables say, there and back."""

from __future__ import annotations

import subprocess
import sys
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


def described(database: Database) -> dict[str, object]:
    """All that the server says of each table, its own and Alembic's; a step puts a new column behind the others."""
    seen = sa.inspect(database.engine)
    return {
        name: (
            sorted(str({key: str(value) for key, value in column.items()}) for column in seen.get_columns(name)),
            seen.get_pk_constraint(name),
            sorted(map(str, seen.get_indexes(name))),
            sorted(map(str, seen.get_unique_constraints(name))),
            sorted(map(str, seen.get_foreign_keys(name))),
            sorted(map(str, seen.get_check_constraints(name))),
        )
        for name in names(database)
    }


def test_a_new_database_is_as_the_tables_say(database: Database) -> None:
    assert migrate.upgrade(database) == ("", migrate.newest())
    assert differences(database) == []
    assert names(database) >= set(tables.metadata.tables)


def test_the_steps_lead_to_what_a_new_database_has(database: Database) -> None:
    migrate.upgrade(database)
    made = described(database)
    migrate.downgrade(database)
    assert migrate.step(database, migrate.newest()) == ""
    assert differences(database) == []
    assert described(database) == made


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


def test_tables_without_a_version_are_not_taken_for_a_cloud(database: Database) -> None:
    migrate.upgrade(database)
    with database.write() as tx:
        tx.connection.exec_driver_sql("DELETE FROM alembic_version")
    with pytest.raises(Failure, match="tables and no version"):
        migrate.upgrade(database)
    with pytest.raises(Failure, match="tables and no version"):
        migrate.step(database, migrate.newest())


def test_alembic_is_not_taken_in_where_there_is_no_step_to_take(tmp_path: Path) -> None:
    words = "import sys; from cumulet.model import Database, migrate; "
    words += f"migrate.upgrade(Database('sqlite:///{tmp_path}/new.db')); sys.exit('alembic' in sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True, timeout=60)
