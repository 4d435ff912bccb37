"""Reports of many hosts that come in one moment: each is heard as if it were alone, whatever the others say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cumulet.agent.heartbeat import Beat, Changed, Heard, Report
from cumulet.bus.contract import Said
from cumulet.hearing import IN_FULL_SECONDS, Hearing
from cumulet.lib.clock import TestClock
from cumulet.lib.errors import Away, Failure
from cumulet.model import Database, host, host_lease, migrate

pytestmark = pytest.mark.all_databases
NAMES = [f"h{number}" for number in range(1, 21)]
FENCE = 60.0


class Desk:
    """A scheduler that hears, and what it has written down."""

    def __init__(self, url: str) -> None:
        self.clock = TestClock()
        self.database = Database(url, clock=self.clock, durable=False)
        migrate.upgrade(self.database)
        self.hearing = Hearing(self.database)

    def hear(self, *reports: Report) -> list[int | str | None]:
        """Of each the lease that it is answered, or what went wrong."""
        said = [Said(msgspec.json.encode(report), f"host-{report.host}") for report in reports]
        return [_told(answer) for answer in self.hearing.answer(said)]

    def heard(self, name: str) -> float:
        with self.database.read() as tx:
            return float(host.services_of(tx, name)["compute"].heard)

    def host(self, name: str) -> Any:
        with self.database.read() as tx:
            return host.find(tx, name)


def _told(answer: bytes | Failure) -> int | str | None:
    if isinstance(answer, Failure):
        return str(answer)
    heard = msgspec.json.decode(answer, type=Heard | None)
    return heard.lease if heard is not None else None


def beat(name: str, **more: Any) -> Beat:
    return Beat(host=name, roles=["compute", "network"], zones=["a"], **{"lease": 0, "fence_seconds": FENCE, **more})


@pytest.fixture
def desk(empty_database: str) -> Iterator[Desk]:
    made = Desk(empty_database)
    assert made.hear(*(beat(name) for name in NAMES)) == [0] * len(NAMES)
    yield made
    made.database.close()


def test_hosts_that_say_nothing_new_are_heard(desk: Desk) -> None:
    desk.clock.sleep(5)
    assert desk.hear(*(beat(name) for name in NAMES)) == [0] * len(NAMES)
    for name in NAMES:
        assert desk.heard(name) == desk.clock.now()
        assert desk.host(name).renewed == desk.clock.now()


def test_what_is_new_of_one_is_written_down_among_others(desk: Desk) -> None:
    desk.clock.sleep(5)
    reports: list[Report] = [beat(name) for name in NAMES]
    reports[3] = beat(NAMES[3], vcpus=64)
    reports.append(Changed(host="h1", instance="i-nobody"))
    assert desk.hear(*reports) == [0] * len(NAMES) + [None]
    assert [desk.host(name).vcpus for name in NAMES] == [64 if name == NAMES[3] else 0 for name in NAMES]
    assert {desk.heard(name) for name in NAMES} == {desk.clock.now()}


def test_one_whose_lease_is_over_is_told_the_next_and_not_heard(desk: Desk) -> None:
    begun = desk.clock.now()
    while desk.clock.now() - begun < FENCE + host_lease.MARGIN_SECONDS + 1:
        desk.clock.sleep(5)
        desk.hear(*(beat(name) for name in NAMES if name != "h7"))
    with desk.database.write() as tx:
        row = host.find(tx, "h7")
        assert row is not None
        assert host_lease.end(tx, row)
    answers = desk.hear(*(beat(name) for name in NAMES))
    assert answers == [1 if name == "h7" else 0 for name in NAMES]
    assert desk.heard("h7") == begun
    assert desk.hear(*(beat(name, lease=int(name == "h7")) for name in NAMES)) == answers
    assert desk.heard("h7") == desk.clock.now()


def test_one_that_was_silent_is_heard_in_full(desk: Desk) -> None:
    desk.clock.sleep(host.LIVE_SECONDS + 5)
    desk.hear(*(beat(name) for name in NAMES[1:]))
    desk.clock.sleep(5)
    assert desk.hear(*(beat(name) for name in NAMES)) == [0] * len(NAMES)
    with desk.database.read() as tx:
        assert host.services_of(tx, "h1")["compute"].since == desk.clock.now()


def test_one_that_was_forgotten_is_there_again(desk: Desk) -> None:
    with desk.database.write() as tx:
        tx.change(host.host.delete().where(host.host.c.name == "h5"))
        tx.change(host.service.delete().where(host.service.c.host == "h5"))
    desk.clock.sleep(5)
    assert desk.hear(*(beat(name) for name in NAMES)) == [0] * len(NAMES)
    assert desk.host("h5") is not None
    assert desk.heard("h5") == desk.clock.now()


def test_one_that_cannot_be_written_down_keeps_no_other_from_being_heard(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(tx: Any, name: str, values: dict[str, Any], describe: Any = host.describe) -> None:
        if name == "h9":
            raise ValueError("whatever it is")
        describe(tx, name, values)

    monkeypatch.setattr(host, "describe", describe)
    desk.clock.sleep(IN_FULL_SECONDS)
    answers = desk.hear(*(beat(name) for name in NAMES))
    assert answers.pop(8) == "the report of h9 could not be written down: ValueError"
    assert answers == [0] * (len(NAMES) - 1)
    assert {desk.heard(name) for name in NAMES if name != "h9"} == {desk.clock.now()}


def test_what_a_database_that_is_away_has_not_written_down_is_not_known(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr("cumulet.model.database.PATIENCE", {Away: 0.0})
        away.setattr(host, "heard", lambda *_: (_ for _ in ()).throw(Away("away")))
        with pytest.raises(Away):
            desk.hear(beat("h1", seen={"compute": "other"}))
    desk.hear(beat("h1", seen={"compute": "other"}))
    with desk.database.read() as tx:
        assert host.services_of(tx, "h1")["compute"].seen == "other"


def test_what_is_not_a_report_or_is_in_another_name_is_refused(desk: Desk) -> None:
    said = [Said(msgspec.json.encode(beat("h1")), "host-h2"), Said(b"{", "host-h1"), Said(b"", "host-h1")]
    said.append(Said(msgspec.json.encode(beat("h2")), "host-h2"))
    forged, broken, empty, good = [_told(answer) for answer in desk.hearing.answer(said)]
    assert forged == "host-h2 may not report for h1"
    assert "cannot be read" in str(broken)
    assert "cannot be read" in str(empty)
    assert good == 0
