"""Where an instance runs: what bars a host, which of the others is taken, and what is said where there is none."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.control.fleet import Fleet, Host
from cumulet.control.placement import FILTERS, Neighbours, Wish, barred, choose, reasons, shortage
from cumulet.lib.config import Config, InstanceType
from cumulet.model.capacity import Amount

SSD = Config(instance_types={"s1.small": InstanceType(vcpus=1, memory_mib=512, requires={"ssd": "true"})})


def host(name: str, vcpus: float = 4, memory_mib: float = 4096, disk_gib: float = 100, **more: Any) -> Host:
    zones = frozenset(more.pop("zones", "a"))
    return Host(name=name, zones=zones, limit=Amount(vcpus, memory_mib, disk_gib), **more)


def fleet(*hosts: Host, config: Config = SSD) -> Fleet:
    made = Fleet(config, random.Random(1))
    for one in hosts:
        made.put(one)
    return made


def wish(vcpus: float = 1, memory_mib: float = 512, disk_gib: float = 1, **more: Any) -> Wish:
    return Wish("1", more.pop("zone", "a"), Amount(vcpus, memory_mib, disk_gib), "m1.tiny", **more)


def chosen(found: Fleet, wanted: Wish, policy: str = "spread") -> list[str]:
    return [choice.host for choice in choose(found, wanted, policy)]


def test_spread_takes_the_host_with_most_memory_left_and_pack_the_one_with_least_that_suffices() -> None:
    found = fleet(host("h1"), host("h2", memory_mib=8192), host("h3", memory_mib=500), host("h4", memory_mib=600))
    assert chosen(found, wish()) == ["h2", "h1", "h4"]
    assert chosen(found, wish(), "pack") == ["h4", "h1", "h2"]


def test_what_is_promised_counts() -> None:
    found = fleet(host("h1", used=Amount(0, 4000, 0)), host("h2", memory_mib=1024))
    assert chosen(found, wish()) == ["h2"]
    found.take("h2", Amount(1, 513, 1))
    assert chosen(found, wish()) == []
    found.take("h1", Amount(0, -4000, 0))
    assert chosen(found, wish()) == ["h1"]


def test_a_host_is_chosen_to_the_last_byte_and_not_beyond() -> None:
    found = fleet(host("h1", 2, 512, 10))
    assert chosen(found, wish(2, 512, 10)) == ["h1"]
    assert chosen(found, wish(3, 512, 10)) == chosen(found, wish(2, 513, 10)) == chosen(found, wish(2, 512, 11)) == []


def test_equals_are_parted_by_lot_so_that_schedulers_do_not_all_try_the_same() -> None:
    hosts = [host(f"h{number}") for number in range(50)]
    first, second = (Fleet(SSD, random.Random(seed)) for seed in (1, 2))
    for found in (first, second):
        for one in hosts:
            found.put(one)
    assert chosen(first, wish()) != chosen(second, wish())


RACKS = Neighbours(within_racks=frozenset({"r1"}))
APART = Neighbours(apart_hosts=frozenset({"h1"}), apart_racks=frozenset({"r1"}))


@pytest.mark.parametrize(
    ("one", "wanted", "title"),
    [
        (host("h1", zones="b"), wish(), "in another zone"),
        (host("h1"), wish(architecture="arm64"), "of another architecture"),
        (host("h1"), wish(boot="uefi"), "unable to boot the image"),
        (host("h1", attributes={"dedicated_to": "2"}), wish(), "not dedicated as it should be"),
        (host("h1"), wish(tenancy="dedicated"), "not dedicated as it should be"),
        (host("h1"), wish(requires={"ssd": "true"}), "without an attribute that the instance type requires"),
        (host("h1", enabled=False), wish(), "disabled"),
        (host("h1"), wish(neighbours=RACKS), "barred by its placement group"),
        (host("h1"), wish(neighbours=APART), "barred by its placement group"),
        (host("h2", attributes={"rack": "r1"}), wish(neighbours=APART), "barred by its placement group"),
        (host("h1"), wish(neighbours=Neighbours(by_rack=True)), "barred by its placement group"),
        (host("h1", vcpus=0.5), wish(), "with too few vCPUs left"),
        (host("h1", memory_mib=511), wish(), "with too little memory left"),
        (host("h1", disk_gib=0), wish(), "with too little disk left"),
        (host("h1"), wish(home="h2"), "not the host in question"),
        (host("h1"), wish(named="h2"), "not the host in question"),
        (host("h1", alive=False), wish(), "not heard"),
    ],
)
def test_each_filter_bars_a_host_and_says_why(one: Host, wanted: Wish, title: str) -> None:
    reason = barred(one, wanted)
    assert reason is not None
    assert reason.title == title
    assert len(reason.text) > 10
    assert chosen(fleet(one), wanted) == []
    assert title in shortage(fleet(one), wanted, reasons(fleet(one), wanted)) or wanted.home or wanted.named


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (host("h1", zones="ab"), wish(zone="b")),
        (host("h1", architectures=frozenset({"arm64"})), wish(architecture="arm64")),
        (host("h1", boots=frozenset({"uefi"})), wish(boot="uefi")),
        (host("h1", attributes={"dedicated_to": "1"}), wish()),
        (host("h1", attributes={"dedicated_to": "1"}), wish(tenancy="host")),
        (host("h1", attributes={"ssd": "true", "rack": "r7"}), wish(requires={"ssd": "true"})),
        (host("h1", attributes={"rack": "r1"}), wish(neighbours=RACKS)),
        (host("h2", attributes={"rack": "r2"}), wish(neighbours=APART)),
        (host("h1", attributes={"rack": "r2"}), wish(neighbours=Neighbours(by_rack=True))),
        (host("h1", attributes={"dedicated_to": "2"}, enabled=False), wish(named="h1")),
        (host("h1", enabled=False, zones="b"), wish(home="h1", requires={"ssd": "true"})),
        (host("h1", disk_gib=10, used=Amount(0, 0, 12)), wish(disk_gib=0, home="h1")),
    ],
)
def test_a_host_that_has_what_is_asked_for_is_chosen(one: Host, wanted: Wish) -> None:
    assert barred(one, wanted) is None
    assert chosen(fleet(one), wanted) == [one.name]


def test_hosts_near_the_others_of_a_cluster_come_first() -> None:
    found = fleet(host("h1", memory_mib=1024), host("h2", memory_mib=600), host("h3", memory_mib=8192))
    asked = wish(neighbours=Neighbours(near=frozenset({"h1", "h2", "gone"})))
    assert chosen(found, asked)[:3] == ["h1", "h2", "h3"]
    found.take("h1", Amount(0, 600, 0))
    assert chosen(found, asked)[0] == "h2"


def test_what_was_missing_is_counted_and_the_best_is_named() -> None:
    found = fleet(host("h1", zones="b"), host("h2", zones="b"), host("h3", memory_mib=300), host("h4", memory_mib=400))
    asked = wish(2, 512, 8)
    assert shortage(found, asked, reasons(found, asked)) == (
        "There is no room for a m1.tiny (2 vCPUs, 512 MiB of memory, 8 GiB of disk) in a: of 4 hosts, 2 in another "
        "zone, 2 with too little memory left. Of those, h4 has most memory: 4 vCPUs, 400 MiB of memory, 100 GiB of "
        "disk left."
    )


def test_a_host_that_goes_is_forgotten() -> None:
    found = fleet(host("h1"), host("h2"))
    found.drop("h1")
    found.drop("h1")
    assert (chosen(found, wish()), list(found.hosts)) == (["h2"], ["h2"])
    found.drop("h2")
    assert found.shelves == {}


numbers = st.integers(0, 8)
attributes = st.fixed_dictionaries({}, optional={"ssd": st.sampled_from(["true", "false"]), "rack": st.just("r1")})
a_host = st.builds(
    host, st.text("hx123", min_size=1), numbers, numbers, numbers, zones=st.sampled_from(["a", "b", "ab"]),
    enabled=st.booleans(), alive=st.booleans(), attributes=attributes,
)  # fmt: skip
a_wish = st.builds(
    wish, numbers, numbers, numbers, zone=st.sampled_from("ab"),
    requires=st.sampled_from([{}, {"ssd": "true"}]),
    neighbours=st.sampled_from([Neighbours(), APART, RACKS, Neighbours(near=frozenset({"h1", "x"}))]),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(a_host), a_wish, st.sampled_from(["spread", "pack"]))
def test_shelves_lead_to_the_same_choice_as_looking_at_each_host(hosts: list[Host], wanted: Wish, policy: str) -> None:
    found = fleet(*hosts)
    names = chosen(found, wanted, policy)
    would_do = [one for one in found.hosts.values() if barred(one, wanted) is None]
    assert set(names) <= {one.name for one in would_do}
    # one that has nothing left of something is not looked for on the shelves
    assert bool(names) == bool(would_do) or min(wanted.wanted) == 0
    if names and not wanted.neighbours.near and min(wanted.wanted) > 0:
        memories = [one.left.memory_mib for one in would_do]
        best = max(memories) if policy == "spread" else min(memories)
        assert found.hosts[names[0]].left.memory_mib == best


def test_a_filter_that_is_shared_by_a_shelf_asks_nothing_that_parts_its_hosts() -> None:
    """Two hosts of one shelf get the same answer from each shared filter."""
    asked = [wish(), wish(tenancy="host"), wish(requires={"ssd": "true"}), wish(architecture="arm64"), wish(zone="b")]
    hosts = [host("h1", attributes={"rack": "r1", "serial": "1"}), host("h2", 1, 1, 1, attributes={"rack": "r2"})]
    assert len(fleet(*hosts).shelves) == 1
    for shared in (one for one in FILTERS if one.shared):
        assert all(shared.why_not(hosts[0], one) == shared.why_not(hosts[1], one) for one in asked), shared.title
