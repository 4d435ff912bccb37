"""The three kinds of database: how each is connected to, how it begins a snapshot, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import LRUCache

from cumulet.lib.errors import Away, Conflict, Failure, Full, Unsure
from cumulet.model.prepared import STATEMENTS, Statements, refuse

LOCK_SECONDS = 20
"""How long a statement waits for a row that somebody else is changing."""
IDLE_SECONDS = 60
"""After so long in the midst of a transaction PostgreSQL gives up on us: others wait for what we hold."""
CONNECTIONS, MORE_CONNECTIONS = 20, 20
"""Of a process: kept, and made for a while where those do not suffice."""
CONNECTION_SECONDS = 10
PREPARED_AFTER = 1
"""A statement that has been executed so often by a connection is prepared there; psycopg forgets them at a hundred."""
CLEAR_NAMES = "utf8mb4_nopad_bin"
"""MariaDB's other collations hold a, A and "a " to be the same."""
OLDEST = {"postgresql": (12,), "mariadb": (10, 6)}
_DEFAULTS = {
    "postgresql": {
        "connect_timeout": "5",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "25000",
        "application_name": "cumulet",
    },
    "mariadb": {"connect_timeout": "5", "read_timeout": "60", "write_timeout": "30", "charset": "utf8mb4"},
}
"""A server that vanishes without a word is noticed; each of these can be set in the URL instead."""
_SESSION = {
    "postgresql": f"SET lock_timeout = '{LOCK_SECONDS}s'; SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'",
    "mariadb": f"SET SESSION sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = {LOCK_SECONDS}",
}
_ALONE = {
    "postgresql": (f"SELECT pg_advisory_lock({0x43554D55})", f"SELECT pg_advisory_unlock({0x43554D55})"),
    "mariadb": ("SELECT GET_LOCK(CONCAT('cumulet ', DATABASE()), 600)", "SELECT RELEASE_ALL_LOCKS()"),
}

_UNDONE = {"40001", "40P01", "55P03", 1020, 1205, 1213, 1305}
"""Serialization, deadlock, a lock waited for too long; MariaDB's 1305: the savepoint went with the transaction."""
_GOING = {"57P01", "57P02", "57P03", "57P05", "25006", "53300", 1040, 1053, 1203, 1290, 1792, 1836, 1927}
"""It shuts down, starts up, has no connection left, or is a standby: the next connection may reach another."""
_FULL = {"53100", 1021, 1114}
_LOST = {2002, 2003, 2006, 2013, 2014, 2055}


def kind_of(engine: sa.Engine) -> str:
    """sqlite, postgresql or mariadb."""
    return {"mysql": "mariadb"}.get(engine.dialect.name, engine.dialect.name)


class _Alike:
    """Dialects of one kind and version are all alike: what was compiled for one database is good for the next.

    A process of tests has hundreds of small clouds one after the other, and compiling their statements, 1.6 ms each,
    was a third of all that it did.
    """

    server_version_info: tuple[int, ...] | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.server_version_info == self.server_version_info

    def __hash__(self) -> int:
        return hash(type(self))


@cache
def _alike(driver: str) -> type[sa.Dialect]:
    kind = sa.make_url(f"{driver}://").get_dialect()
    return type("Alike", (_Alike, kind), {"supports_statement_cache": True})


for _driver in ("sqlite+pysqlite", "postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"):
    sa.dialects.registry.impls[f"{_driver.split('+')[0]}.cumulet"] = partial(_alike, _driver)
_COMPILED: LRUCache[Any, Any] = LRUCache(STATEMENTS)
_PREPARED: dict[sa.Dialect, Statements] = {}
_JSON: dict[str, Any] = {
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}


def statements(connection: sa.Connection) -> Statements:
    """What runs often, as this database says it; one that is connected to has told its version."""
    try:
        return _PREPARED[connection.dialect]
    except KeyError:
        return _PREPARED.setdefault(connection.dialect, Statements(connection.dialect))


def engine(url: str, *, durable: bool, flushes: bool = True) -> sa.Engine:
    """Connections of one process; raises `Failure` for a URL that is none.

    Without `flushes` a commit of SQLite's is in its log, and somebody else has to see to it that that is on the disk.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as e:
        raise Failure(f"the setting database_url is no URL: {e}; see docs/databases.md") from None
    options = {**_JSON, "hide_parameters": True, "execution_options": {"compiled_cache": _COMPILED}}
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, ("FULL" if flushes else "NORMAL") if durable else "OFF", options)
    return _server(parsed, options)


def _server(url: sa.URL, options: dict[str, Any]) -> sa.Engine:
    """No ping before each transaction: one on a connection that has died is begun again (`retried`)."""
    kind = {"mysql": "mariadb"}.get(url.get_backend_name(), url.get_backend_name())
    url = url.set(query={**_DEFAULTS[kind], **url.query})
    pool = {"pool_size": CONNECTIONS, "max_overflow": MORE_CONNECTIONS, "pool_timeout": CONNECTION_SECONDS}
    made = _made(url, isolation_level="READ COMMITTED", pool_use_lifo=True, **pool, **options)

    @sa.event.listens_for(made, "connect")
    def prepare(connection: DBAPIConnection, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(_SESSION[kind])
        cursor.close()
        connection.commit()
        if kind == "postgresql":
            connection.prepare_threshold, connection.prepared_max = PREPARED_AFTER, STATEMENTS

    @sa.event.listens_for(made, "handle_error")
    def forget_the_others(context: sa.ExceptionContext) -> None:
        if _code(context.original_exception) in _GOING:
            context.is_disconnect = True

    return made


def _sqlite(url: sa.URL, synchronous: str, options: dict[str, Any]) -> sa.Engine:
    pool = {"pool_size": 32, "max_overflow": 32, "pool_use_lifo": True}
    made = _made(url, connect_args={"check_same_thread": False}, **pool, **options)

    @sa.event.listens_for(made, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # autocommit: SQLAlchemy must not begin a transaction of its own in front of BEGIN IMMEDIATE
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", f"busy_timeout={LOCK_SECONDS * 1000}"):
            connection.execute(f"PRAGMA {pragma}")

    return made


def _made(url: sa.URL, **options: Any) -> sa.Engine:
    made = sa.create_engine(url.set(drivername=f"{url.get_backend_name()}+cumulet"), **options)
    made.url = url  # as its user has written it: he is told of it
    return made


def begin_snapshot(connection: sa.Connection) -> None:
    """All that the transaction reads is of one moment."""
    match kind_of(connection.engine):
        case "sqlite":
            _begin(connection, "BEGIN")
        case "postgresql":
            try:
                connection.execution_options(isolation_level="REPEATABLE READ").begin()
            except connection.dialect.loaded_dbapi.Error as e:
                # a connection has died, and SQLAlchemy passes that on as it is
                refuse(connection, e, "SET isolation level")
        case _:  # of the next transaction only, so that nothing needs to be set back
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def end_snapshot(connection: sa.Connection) -> None:
    """What was read is read; on PostgreSQL not by a ROLLBACK, at which psycopg forgets all that it has prepared."""
    if connection.dialect.name != "postgresql":
        return
    with suppress(sa.exc.SQLAlchemyError):
        try:
            connection.connection.driver_connection.execute("END")  # type: ignore[union-attr]
        except Exception as e:  # noqa: BLE001 - SQLAlchemy says what it means for the next who wants a connection
            refuse(connection, e, "END")


def begin_changes(connection: sa.Connection) -> None:
    """SQLite's writers come one after the other; on a server a row is held by whoever changes or asks for it."""
    if kind_of(connection.engine) == "sqlite":
        _begin(connection, "BEGIN IMMEDIATE")
    else:
        connection.begin()


def _begin(connection: sa.Connection, how: str) -> None:
    """Past SQLAlchemy's execution, which takes longer than SQLite to begin."""
    connection.begin()
    try:
        connection.connection.driver_connection.execute(how)  # type: ignore[union-attr]
    except sqlite3.OperationalError as e:
        raise sa.exc.OperationalError(how, None, e) from e


@contextmanager
def alone(made: sa.Engine) -> Iterator[None]:
    """Whoever else asks for this waits until the block has ended."""
    taken = _ALONE.get(kind_of(made))
    if taken is None:
        yield
        return
    with made.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(taken[0])
        try:
            yield
        finally:
            connection.exec_driver_sql(taken[1])


def suit(connection: sa.Connection) -> None:
    """See to it that new tables compare names as they are written; raises `Failure` for a server that cannot."""
    kind = kind_of(connection.engine)
    if kind == "sqlite":
        return
    dialect = connection.dialect
    if kind == "mariadb" and not getattr(dialect, "is_mariadb", False):
        raise Failure("the database is MySQL: this program is for MariaDB, PostgreSQL and SQLite")
    found = dialect.server_version_info or ()
    if found[:2] < OLDEST[kind]:
        having, wanted = (".".join(map(str, version)) for version in (found, OLDEST[kind]))
        raise Failure(f"the database server has version {having}; {wanted} or newer is needed")
    if kind == "mariadb":
        connection.exec_driver_sql(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {CLEAR_NAMES}")
    elif (encoding := connection.exec_driver_sql("SHOW server_encoding").scalar()) != "UTF8":
        raise Failure(f"the database's encoding is {encoding}; create it with ENCODING 'UTF8', see docs/databases.md")


def is_undone(error: BaseException) -> bool:
    """Whether the server has undone the whole transaction, with all its savepoints."""
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _code(error.orig) in _UNDONE)


def meaning(made: sa.Engine, error: sa.exc.SQLAlchemyError, *, committing: bool) -> Failure | None:
    """What an error means to whoever has asked; None for one that is our own mistake."""
    text = said(made.url, error)
    if isinstance(error, sa.exc.TimeoutError):
        return Away(text)
    if not isinstance(error, DBAPIError):
        return None
    code = _code(error.orig)
    if code in _UNDONE or (code is None and "locked" in str(error.orig)):
        return Conflict(text)
    if code in _FULL or (code is None and "disk is full" in str(error.orig)):
        return Full(text)
    is_sqlite = kind_of(made) == "sqlite" and isinstance(error, sa.exc.OperationalError)
    unconnected = error.statement is None and isinstance(error, sa.exc.OperationalError) and not committing
    if error.connection_invalidated or code in _GOING | _LOST or unconnected or is_sqlite:
        return Unsure(text) if committing else Away(text)
    return None


def said(url: sa.URL, error: sa.exc.SQLAlchemyError) -> str:
    """One line without a password: which database, what it said, and what to do about it."""
    inner = getattr(error, "orig", None) or error
    words = inner.args[1] if len(inner.args) > 1 and isinstance(inner.args[0], int) else inner
    lines = str(words).strip().splitlines()
    text = (lines or [type(error).__name__])[0].strip()
    where = url.set(query={}).render_as_string(hide_password=True)
    return f"the database {where}: {text.rstrip('.')}{_advice(url, text)}"


_ADVICE = {
    ("to database", "permission denied", "command denied"): (
        "let the user have all of the database, as docs/databases.md shows"
    ),
    ("password authentication failed", "Access denied for user", "no password supplied"): (
        "correct the user or the password in database_url, or see which databases the server lets this user use"
    ),
    ("does not exist", "Unknown database"): "create it ({create}), or correct its name in database_url",
    ("Connection refused", "No such file or directory", "Connection timed out", "timeout expired", "No route to"): (
        "start the server, or correct the host and the port in database_url"
    ),
    ("Name or service not known", "failed to resolve", "could not translate", "name resolution"): (
        "correct the host's name in database_url"
    ),
    ("disk is full", "No space left", "is full"): "make room on its disk",
    ("certificate", "SSL", "TLS"): "see TLS in docs/databases.md",
    ("too many clients", "Too many connections", "remaining connection slots", "QueuePool limit"): (
        "let the server have more connections (max_connections)"
    ),
}


def _advice(url: sa.URL, text: str) -> str:
    name = url.database or "cumulet"
    owner = url.username or "cumulet"
    mariadb = f"CREATE DATABASE {name} COLLATE {CLEAR_NAMES}"
    create = f"createdb --owner {owner} {name}" if url.get_backend_name() == "postgresql" else mariadb
    for signs, advice in _ADVICE.items():
        if any(sign in text for sign in signs):
            return f"; {advice.format(create=create)}"
    return ""


def _code(error: BaseException | None) -> str | int | None:
    """SQLSTATE of PostgreSQL, the error number of MariaDB."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state)
    number = error.args[0] if error is not None and error.args else None
    return number if isinstance(number, int) else None
