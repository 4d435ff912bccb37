"""Statements past SQLAlchemy's execution give what they give through it, on all three databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib.errors import Conflict
from cumulet.model import Database, servers
from cumulet.model.database import Tx
from cumulet.model.prepared import FEW, Statements, often
from cumulet.model.schema import flag, json, moment, object_key, text, whole

pytestmark = pytest.mark.all_databases

THING = sa.Table(
    "thing",
    sa.MetaData(),
    text("id", 40, key=True),
    text("maybe", default=None),
    whole("number"),
    flag("good"),
    moment("at"),
    json("said"),
    object_key(),
)
ROW: dict[str, Any] = {
    "id": "a",
    "maybe": None,
    "number": 2**40,
    "good": True,
    "at": 1.5,
    "said": {"of": ["x", 1, None]},
    "key": b"\x00\xff",
}
FIND = sa.select(THING).where(THING.c.id == sa.bindparam("of"), THING.c.number > 1)
OTHER = (
    sa.select(
        (THING.c.number + 1).label("next"),
        sa.func.sum(THING.c.number).label("sum"),
        sa.func.max(THING.c.at).label("last"),
    )
    .where(THING.c.good == sa.bindparam("good"), THING.c.id.not_in(["x", "y"]))
    .group_by(THING.c.number)
)
THESE = sa.select(THING.c.id).where(THING.c.id.in_(sa.bindparam("these", expanding=True))).order_by(THING.c.id)
PAIRS = sa.select(THING.c.id).where(sa.tuple_(THING.c.id, THING.c.good).in_(sa.bindparam("pairs", expanding=True)))
ALL = often(sa.select(THING).order_by(THING.c.id))


@pytest.fixture
def database(bare_database: str) -> Iterator[Database]:
    made = Database(bare_database, durable=False)
    with made.engine.begin() as connection:
        servers.suit(connection)
    THING.metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def tx(database: Database) -> Iterator[Tx]:
    with database.write() as tx:
        tx.insert(THING, ROW)
        yield tx


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What SQLAlchemy is given to execute all the same."""
    executed: list[str] = []
    execute = sa.Connection.execute

    def noted(connection: sa.Connection, statement: Any, *args: Any, **options: Any) -> Any:
        executed.append(str(statement))
        return execute(connection, statement, *args, **options)

    monkeypatch.setattr(sa.Connection, "execute", noted)
    yield executed


@pytest.mark.parametrize(
    ("query", "given"),
    [
        (FIND, {"of": "a"}),
        (OTHER, {"good": True}),
        (ALL, {}),
        (THESE, {"these": ["b", "a"]}),
        (THESE, {"these": []}),
        (PAIRS, {"pairs": [("a", True), ("b", False)]}),
    ],
)
def test_a_row_is_as_sqlalchemy_gives_it(tx: Tx, past: list[str], query: sa.Select[Any], given: dict[str, Any]) -> None:
    for _ in range(2):  # the second time all is prepared
        found, first = tx.all(query, **given), tx.first(query, **given)
        assert past == []
        expected = list(tx.connection.execute(query, given))
        past.clear()
        assert found == expected
        assert first == (expected[0] if expected else None)
        for one, other in zip(found, expected, strict=True):
            assert [type(value) for value in one] == [type(value) for value in other]
            assert dict(one._mapping) == dict(other._mapping)


def test_a_row_is_known_by_names(tx: Tx) -> None:
    row = tx.first(FIND, of="a")
    assert row is not None
    assert (row.said, row.good, row.key, row.at) == (ROW["said"], True, ROW["key"], 1.5)


def test_there_may_be_none(tx: Tx) -> None:
    assert tx.first(FIND, of="b") is None
    assert tx.value(FIND, of="b") is None
    assert tx.all(FIND, of="b") == []


def test_what_is_written_is_as_sqlalchemy_writes_it(tx: Tx, past: list[str]) -> None:
    changes = {"said": ["y"], "good": False, "at": None, "maybe": "m", "key": b"k"}
    assert tx.update(THING, {"id": "a", "number": [1, 2**40]}, **changes) == 1
    assert tx.update(THING, {"id": "a", "maybe": "m"}, said={"z": 1}) == 1
    assert tx.update(THING, {"id": "a", "maybe": "n"}, said={}) == 0
    assert past == []
    row = tx.connection.execute(sa.select(THING)).one()
    assert dict(row._mapping) == {**ROW, **changes, "said": {"z": 1}}


def test_what_is_not_given_is_what_sqlalchemy_puts_there(tx: Tx, past: list[str]) -> None:
    least = {"id": "b", "at": 2.0, "key": b""}
    tx.insert(THING, least)
    assert past == []
    tx.connection.execute(THING.insert(), {**least, "id": "c"})
    ours, theirs = (dict(found._mapping) for found in tx.all(THESE_WHOLE, these=["b", "c"]))
    assert {**ours, "id": "c"} == theirs
    assert (ours["said"], ours["number"], ours["maybe"]) == ({}, 0, None)


THESE_WHOLE = sa.select(THING).where(THING.c.id.in_(sa.bindparam("these", expanding=True))).order_by(THING.c.id)


def test_a_value_may_be_computed(tx: Tx) -> None:
    assert tx.update(THING, {"id": "a"}, number=THING.c.number + 1, maybe="m") == 1
    row = tx.first(FIND, of="a")
    assert row is not None
    assert (row.number, row.maybe) == (2**40 + 1, "m")


def test_long_lists_and_many_rows_go_by_sqlalchemy(tx: Tx, past: list[str]) -> None:
    many = [f"n{number}" for number in range(FEW + 1)]
    tx.insert(THING, *({**ROW, "id": name} for name in many))
    assert len(past) == 1
    assert [row.id for row in tx.all(THESE, these=many)] == sorted(many)
    assert len(past) == 2


def test_a_refusal_is_sqlalchemys(tx: Tx) -> None:
    tx.insert(THING, {**ROW, "id": "b"})
    with pytest.raises(IntegrityError), tx.attempt():
        tx.update(THING, {"id": "b"}, id="a")
    with pytest.raises(IntegrityError), tx.attempt():
        tx.insert(THING, ROW)
    assert tx.first(FIND, of="b") is not None


def test_what_was_done_is_committed_or_undone(database: Database) -> None:
    with database.write() as tx:
        tx.insert(THING, ROW)
    with database.write() as tx:
        assert tx.update(THING, {"id": "a"}, maybe="kept") == 1
    with pytest.raises(Conflict), database.write() as tx:
        assert tx.update(THING, {"id": "a"}, maybe="undone") == 1
        raise Conflict("somebody else was quicker")
    with database.read() as tx:
        row = tx.first(FIND, of="a")
        assert row is not None
        assert row.maybe == "kept"


def test_what_was_prepared_for_one_database_is_good_for_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.read() as tx:
        tx.all(FIND, of="a")
    made: list[Any] = []
    monkeypatch.setattr(Statements, "__missing__", lambda self, statement: made.append(statement))
    next_one = Database(database.url, durable=False)
    with next_one.read() as tx:
        assert tx.all(FIND, of="a") == []
        assert made == []
    next_one.close()
