"""What gets lost is made again, what leaks is removed, with nobody told of it: the sweep compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.afterwards import check
from crash.lives import launch, stop, terminate
from crash.site import Site

from cumulet.agent.heartbeat import EVERY_SECONDS
from cumulet.control import sweep
from cumulet.drivers.specs import tap_name
from cumulet.model import attachment, instance, interface


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Site]:
    made = Site.copy(template, tmp_path / "site")
    yield made
    made.close()


@pytest.fixture
def guest(site: Site) -> str:
    """A running instance."""
    id = launch(site)
    site.settle()
    return id


def parts(site: Site, guest: str) -> dict[str, str]:
    """The name in the world of each thing that the guest consists of."""
    with site.database.read() as tx:
        nic, disk = interface.of_instance(tx, guest)[0], attachment.disks(tx, guest)[0]
        return {
            "domain": guest,
            "tap": tap_name(nic.id),
            "volume": disk.id,
            "group": interface.groups(tx, nic.id)[0],
            "image": str(disk.image_file),
        }


@pytest.mark.parametrize("kind", ["domain", "tap", "volume", "group", "image"])
def test_a_lost_thing_is_made_again(site: Site, guest: str, kind: str) -> None:
    name = parts(site, guest)[kind]
    site.world.remove(kind, name)
    site.sweep()
    assert site.world.get(kind, name) is not None
    if kind != "tap":
        check(site, {guest: "running"})


def test_a_guest_that_was_lost_with_its_tap_is_started_anew(site: Site, guest: str) -> None:
    names = parts(site, guest)
    site.world.remove("tap", names["tap"])
    site.world.remove("domain", guest)
    site.sweep()
    check(site, {guest: "running"})


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("domain", "i-0feed", {"state": "running", "generation": 1, "ended": "", "boot": "1", "taps": []}),
        ("tap", "tk0feed", {"id": "eni-0feed", "holder": "", "place": "vpc"}),
        ("volume", "vol-0feed", {"size_gib": 1}),
        ("group", "sg-0feed", {"rules": 0, "members": []}),
        ("image", "imf-0feed", {"size": 1}),
    ],
)
def test_a_leaked_thing_is_removed_and_nothing_else(
    site: Site, guest: str, kind: str, name: str, values: dict[str, object]
) -> None:
    site.world.put(kind, name, values)
    site.sweep()
    assert site.world.get(kind, name) is None
    check(site, {guest: "running"})


def test_what_is_too_much_for_one_sweep_is_put_right_by_the_next_ones(
    site: Site, guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST", 2)
    leaked = [f"vol-{number}feed" for number in range(5)]
    for name in leaked:
        site.world.put("volume", name, {"size_gib": 1, "snapshot": "", "root": False})
    lost = parts(site, guest)["volume"]
    site.world.remove("volume", lost)
    site.sweep()
    assert 0 < sum(site.world.get("volume", name) is not None for name in leaked) < len(leaked)
    for _ in range(2):
        site.pass_time(sweep.MORE_SECONDS)
        site.settle()
    assert [name for name in leaked if site.world.get("volume", name) is not None] == []
    assert site.world.get("volume", lost) is not None
    check(site, {guest: "running"})


def test_what_is_lost_again_before_its_host_has_said_a_word_is_made_again_too(site: Site, guest: str) -> None:
    lost = parts(site, guest)["volume"]
    site.world.remove("volume", lost)
    site.sweep()
    site.world.remove("volume", lost)
    site.pass_time(sweep.AGAIN_SECONDS)
    site.settle()
    assert site.world.get("volume", lost) is not None
    check(site, {guest: "running"})


def test_a_guest_of_a_terminated_instance_does_not_come_back_for_long(site: Site, guest: str) -> None:
    domain = site.world.get("domain", guest) or {}
    terminate(site, guest)
    site.settle()
    site.world.put("domain", guest, domain)
    site.sweep()
    check(site, {guest: "terminated"})


def test_a_guest_that_ran_though_it_is_stopped_goes_off(site: Site, guest: str) -> None:
    domain = site.world.get("domain", guest) or {}
    stop(site, guest)
    site.settle()
    site.world.put("domain", guest, {**domain, "taps": []})
    site.sweep()
    check(site, {guest: "stopped"})


@pytest.mark.parametrize(("behavior", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_ends_with_nobody_hearing_of_it_is_noticed_by_the_next_heartbeat(
    site: Site, behavior: str, state: str
) -> None:
    guest = launch(site, behavior=behavior)
    site.settle()
    domain = site.world.get("domain", guest) or {}
    site.world.put("domain", guest, domain | {"state": "off", "ended": "shutdown"})
    before = site.clock.now()
    site.settle()
    check_state(site, guest, "running")
    site.pass_time(EVERY_SECONDS)
    site.beat()
    site.settle()
    assert site.clock.now() - before < EVERY_SECONDS + 1
    check(site, {guest: state})


def check_state(site: Site, guest: str, state: str) -> None:
    with site.database.read() as tx:
        row = instance.find(tx, guest)
    assert row is not None
    assert row.state == state


def test_a_sweep_of_what_is_as_it_should_be_changes_nothing(site: Site, guest: str) -> None:
    before = site.everything()
    site.sweep()
    after = site.everything()
    assert all(after[name] == before[name] for name in before if name not in ("work", "service"))
