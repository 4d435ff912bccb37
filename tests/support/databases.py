"""The databases of the tests: SQLite's files, and a PostgreSQL and a MariaDB of the tests' own.

`--database KIND` has every test that takes a database run on that kind. Without it all run on SQLite, those that are
marked `all_databases` on each of the three, and those that are marked `database_servers` on the two that have one.
The servers listen at free ports of the loopback, keep everything in directories of their own, and end with the process
of the tests, however that ends.
"""

from __future__ import annotations

import pickle
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa

from cumulet.lab.servers import MariaDB, Postgres, listens
from cumulet.model import Database, migrate, tables

KINDS = ("sqlite", "postgresql", "mariadb")
ADDRESS = "127.0.0.1"
SECONDS = 120.0
MOST_SECONDS = 900
"""For one test on a server: the longest lives of the crash suite take 150 there, and twice that on a busy machine."""
NOTE = "database-url"
"""A file beside a cloud's state that says which database is that cloud's; there is none for SQLite."""
ROWS = "database-rows"


class DatabaseServer(Protocol):
    """A server that can be killed and started again; `url` is its administrator's."""

    url: str

    @property
    def pid(self) -> int | None: ...

    def start(self) -> None: ...
    def stop(self, number: int = ...) -> None: ...


class Tested:
    """A server in a directory of its own below /tmp, which its account can reach."""

    __test__ = False

    def __init__(self, kind: str, *, durable: bool = False) -> None:
        self.kind = kind
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix=f"cumulet-{kind}-"))
        self._directory.chmod(0o755)
        inner = self._directory / "server"
        self._server: DatabaseServer = (
            Postgres(inner, ADDRESS, self.port, durable=durable)
            if kind == "postgresql"
            else MariaDB(inner, ADDRESS, self.port, durable=durable)
        )
        self.url = sa.make_url(self._server.url)
        self._made: set[str] = set()
        if kind == "mariadb":  # reading the system's certificates takes longer than all else of connecting
            self.url = self.url.update_query_dict({"ssl_disabled": "true"})

    @property
    def pid(self) -> int | None:
        """The first process of it."""
        return self._server.pid

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        """By force; returns when nobody listens any more."""
        self._server.stop()
        until = time.monotonic() + SECONDS
        while listens(ADDRESS, self.port):
            assert time.monotonic() < until
            time.sleep(0.01)

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def anew(self, name: str = "cumulet_bare") -> str:
        """The URL of a database that has nothing in it, not even tables."""
        with administering(self.url) as connection:
            forced = " WITH (FORCE)" if self.kind == "postgresql" else ""
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{forced}")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return text(self.url.set(database=name))

    def emptied(self, name: str = "cumulet_tested") -> str:
        """The URL of a database with tables and no rows."""
        url = self.url.set(database=name)
        if name not in self._made:
            with administering(self.url) as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
            made = Database(text(url))
            migrate.upgrade(made)
            made.close()
            self._made.add(name)
        _fill(url, {})
        return text(url)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@contextmanager
def administering(url: sa.URL) -> Iterator[sa.Connection]:
    """A connection that is gone with the block; each statement is committed at once."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


@cache
def _keeper(url: sa.URL) -> sa.Engine:
    """Who empties this database. It stays connected: a new connection costs more than what it is for."""
    return sa.create_engine(url, pool_pre_ping=True)


def _fill(url: sa.URL, rows: dict[str, list[dict[str, Any]]]) -> None:
    """These rows and no others. They are deleted rather than tables made anew, which takes ten times as long."""
    with _keeper(url).begin() as connection:
        _end_others(connection)
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())
        for table in tables.metadata.sorted_tables:
            if rows.get(table.name):
                connection.execute(table.insert(), rows[table.name])


def _end_others(connection: sa.Connection) -> None:
    """Whoever a failed test has left connected might hold rows."""
    if connection.dialect.name == "postgresql":
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {others}")
        return
    query = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
    for id in connection.exec_driver_sql(query).scalars().all():
        with suppress(sa.exc.OperationalError):  # it has ended by itself
            connection.exec_driver_sql(f"KILL {id}")


def note(directory: Path, url: str) -> None:
    """From now on this database is that of the cloud in `directory`."""
    directory.mkdir(exist_ok=True)
    (directory / NOTE).write_text(url)


def noted(directory: Path) -> str:
    """The database's URL as the setting has it: empty for SQLite."""
    file = directory / NOTE
    return file.read_text() if file.exists() else ""


def keep(template: Path) -> None:
    """Write down the rows of the cloud in `template`, whose database is used for others from now on."""
    if not (url := noted(template)):
        return
    with _keeper(sa.make_url(url)).connect() as connection:
        found = {
            table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for table in tables.metadata.sorted_tables
        }
    (template / ROWS).write_bytes(pickle.dumps(found))


def restore(directory: Path) -> None:
    """Give the cloud in a copy of a template's directory the template's rows; nothing to do for SQLite."""
    if url := noted(directory):
        _fill(sa.make_url(url), pickle.loads((directory / ROWS).read_bytes()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=KINDS, help="the kind of database that all tests use")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--database") in KINDS[1:]:
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(MOST_SECONDS))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" not in metafunc.fixturenames:
        return
    chosen, marked = metafunc.config.getoption("--database"), metafunc.definition.get_closest_marker
    kinds = KINDS[1:] if marked("database_servers") else KINDS if marked("all_databases") else ("sqlite",)
    if chosen:
        kinds = tuple({chosen} - {"sqlite"}) if marked("database_servers") else (chosen,)
    if kinds != ("sqlite",):
        metafunc.parametrize("database_kind", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """sqlite, postgresql or mariadb."""
    return str(getattr(request, "param", "sqlite"))


@contextmanager
def started(kind: str, *, durable: bool = False) -> Iterator[Tested]:
    """A server until the block ends; a `durable` one keeps through a power cut what was committed."""
    server = Tested(kind, durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Tested]:
    with started("postgresql") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Tested]:
    with started("mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def database_server(database_kind: str, request: pytest.FixtureRequest) -> Tested | None:
    """The server of this kind; None for SQLite, which has none."""
    return None if database_kind == "sqlite" else request.getfixturevalue(database_kind)


@pytest.fixture
def database_url(database_server: Tested | None) -> str:
    """An empty database of this test's own, as the setting has it: empty for SQLite in the state directory."""
    return database_server.emptied() if database_server else ""


@pytest.fixture(scope="module")
def module_database(database_server: Tested | None) -> str:
    """An empty database for the cloud that the tests of a module share."""
    return database_server.emptied("cumulet_module") if database_server else ""


@pytest.fixture
def empty_database(database_server: Tested | None, tmp_path: Path) -> str:
    """The URL of an empty database of this test's own: its tables are there on a server, and made anew by SQLite."""
    return database_server.emptied() if database_server else f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def database(empty_database: str) -> Iterator[Database]:
    """A database of this test's own, with tables and no rows."""
    made = Database(empty_database)
    migrate.upgrade(made)
    yield made
    made.close()


@pytest.fixture
def bare_database(database_server: Tested | None, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    return database_server.anew() if database_server else f"sqlite:///{tmp_path}/bare.db"


Give = Callable[[Path], None]


@pytest.fixture
def give_database(database_server: Tested | None) -> Give:
    """Call it with a directory, for the cloud in which this test wants an empty database."""

    def give(directory: Path) -> None:
        if database_server is not None:
            note(directory, database_server.emptied())

    return give
