"""The lease on a host as the control plane counts it: when it ends, and when silence is not the host's."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from cumulet.agent.heartbeat import Beat, Heard
from cumulet.bus.contract import Said
from cumulet.hearing import Hearing
from cumulet.lib.clock import TestClock
from cumulet.model import Database, host, host_lease, migrate

pytestmark = pytest.mark.all_databases
FENCE = 60.0
ENDS = FENCE + host_lease.MARGIN_SECONDS


class Site:
    """Heartbeats of hosts that promise to stop their guests after a minute."""

    def __init__(self, url: str) -> None:
        self.clock = TestClock()
        self.database = Database(url, clock=self.clock, durable=False)
        migrate.upgrade(self.database)
        self.hearing = Hearing(self.database)

    def beat(self, name: str, lease: int = 0, seconds: float = FENCE) -> int:
        """The lease that it is answered."""
        beat = Beat(host=name, roles=["compute"], zones=["a"], lease=lease, fence_seconds=seconds)
        [answer] = self.hearing.answer([Said(msgspec.json.encode(beat), f"host-{name}")])
        assert isinstance(answer, bytes)
        return msgspec.json.decode(answer, type=Heard).lease

    def pass_time(self, seconds: float, *beating: str) -> None:
        """While these hosts go on being heard."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.clock.sleep(min(5.0, end - self.clock.now()))
            for name in beating:
                self.beat(name)

    def ended(self, name: str) -> bool:
        """Whether the lease of a host is over; it is ended if it should be."""
        with self.database.write() as tx:
            row = host.find(tx, name)
            assert row is not None
            return host_lease.end(tx, row)


@pytest.fixture
def site(empty_database: str) -> Iterator[Site]:
    made = Site(empty_database)
    made.beat("h1")
    made.beat("h2")
    yield made
    made.database.close()


def test_it_ends_when_the_host_has_been_silent_for_what_it_promised_and_a_margin(site: Site) -> None:
    site.pass_time(ENDS - 0.1, "h2")
    assert not site.ended("h1")
    site.pass_time(0.2, "h2")
    assert site.ended("h1")
    assert site.ended("h1")
    assert not site.ended("h2")


def test_one_that_has_ended_is_not_renewed_but_followed_by_the_next(site: Site) -> None:
    site.pass_time(ENDS + 1, "h2")
    assert site.ended("h1")
    assert site.beat("h1") == 1
    assert site.ended("h1"), "a host with the old lease is not heard"
    with site.database.read() as tx:
        assert host.is_silent(tx, host.services_of(tx, "h1")["compute"])
    assert site.beat("h1", 1) == 1
    assert not site.ended("h1")
    site.pass_time(ENDS + 1, "h2")
    assert site.ended("h1")
    assert site.beat("h1", 1) == 2


def test_a_control_plane_that_was_away_gives_nobody_up(site: Site) -> None:
    site.pass_time(600)
    assert not site.ended("h1"), "nobody is heard, so it is not the host that is silent"
    site.beat("h2")
    assert not site.ended("h1"), "its own silence is counted from when another one is heard again"
    site.pass_time(ENDS - 1, "h2")
    assert not site.ended("h1")
    site.pass_time(2, "h2")
    assert site.ended("h1")


def test_a_host_that_promises_nothing_is_never_given_up(site: Site) -> None:
    site.beat("h1", seconds=0)
    site.pass_time(600, "h2")
    assert not site.ended("h1")


def test_a_host_that_was_forgotten_goes_on_with_the_lease_that_it_has(site: Site) -> None:
    with site.database.write() as tx:
        host.forget(tx, "h1")
    assert site.beat("h1", 7) == 7
    assert site.beat("h1", 6) == 7
