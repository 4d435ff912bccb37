"""Statements past SQLAlchemy's execution give what they give through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib.errors import Conflict
from cumulet.model import Database
from cumulet.model.database import Tx
from cumulet.model.schema import flag, json, moment, object_key, text, whole
from cumulet.model.servers import prepared

THING = sa.Table(
    "thing",
    sa.MetaData(),
    text("id", key=True),
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
OTHER = sa.select((THING.c.number + 1).label("next"), sa.func.count().label("all")).where(
    THING.c.good == sa.bindparam("good")
)


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    database = Database(f"sqlite:///{tmp_path}/cumulet.db", durable=False)
    THING.metadata.create_all(database.engine)
    with database.write() as tx:
        tx.insert(THING, ROW)
        yield tx
    database.close()


def test_a_row_is_as_sqlalchemy_gives_it(tx: Tx) -> None:
    for query, given in ((FIND, {"of": "a"}), (OTHER, {"good": True})):
        assert prepared(query) is not None
        found, expected = tx.first(query, **given), tx.connection.execute(query, given).first()
        assert found is not None and expected is not None
        assert found == expected
        assert [type(value) for value in found] == [type(value) for value in expected]
        assert dict(found._mapping) == dict(expected._mapping)
        assert tx.all(query, **given) == [expected]
        assert tx.value(query, **given) == expected[0]
    row = tx.first(FIND, of="a")
    assert row is not None
    assert (row.said, row.good, row.key) == (ROW["said"], True, ROW["key"])


def test_there_may_be_none(tx: Tx) -> None:
    assert tx.first(FIND, of="b") is None
    assert tx.value(FIND, of="b") is None
    assert tx.all(FIND, of="b") == []


def test_what_is_written_is_as_sqlalchemy_writes_it(tx: Tx) -> None:
    changes = {"said": ["y"], "good": False, "at": None, "maybe": "m", "key": b"k"}
    assert tx.update(THING, {"id": "a", "number": [1, 2**40]}, **changes) == 1
    assert tx.update(THING, {"id": "a", "maybe": "m"}, said={"z": 1}) == 1
    assert tx.update(THING, {"id": "a", "maybe": "n"}, said={}) == 0
    row = tx.connection.execute(sa.select(THING)).one()
    assert dict(row._mapping) == {**ROW, **changes, "said": {"z": 1}}


def test_a_value_may_be_computed(tx: Tx) -> None:
    assert tx.update(THING, {"id": "a"}, number=THING.c.number + 1, maybe="m") == 1
    row = tx.first(FIND, of="a")
    assert row is not None
    assert (row.number, row.maybe) == (2**40 + 1, "m")


def test_a_list_that_is_asked_for_goes_by_sqlalchemy(tx: Tx) -> None:
    query = sa.select(THING.c.id).where(THING.c.id.in_(sa.bindparam("these", expanding=True)))
    assert prepared(query) is None
    assert tx.all(query, these=["a", "b"]) == [("a",)]


def test_a_refusal_is_sqlalchemys(tx: Tx) -> None:
    tx.insert(THING, {**ROW, "id": "b"})
    with pytest.raises(IntegrityError), tx.attempt():
        tx.update(THING, {"id": "b"}, id="a")
    assert tx.first(FIND, of="b") is not None


def test_what_was_done_is_committed_or_undone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/cumulet.db", durable=False)
    THING.metadata.create_all(database.engine)
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
    database.close()
