"""Where an instance runs: among the hosts that have room, the one with most memory left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cumulet.control.placement import Room, choose


def room(name: str, vcpus: float = 4, memory_mib: float = 4096, zones: str = "a") -> Room:
    return Room(name, frozenset(zones), vcpus, memory_mib)


def test_the_host_with_most_memory_left_is_chosen() -> None:
    assert choose([room("h1"), room("h2", memory_mib=8192), room("h3")], "a", 1, 512) == "h2"


def test_a_host_is_chosen_to_the_last_byte_and_not_beyond() -> None:
    assert choose([room("h1", 2, 512)], "a", 2, 512) == "h1"
    assert choose([room("h1", 2, 512)], "a", 2, 513) is None
    assert choose([room("h1", 2, 512)], "a", 3, 512) is None


def test_only_hosts_of_the_zone_count() -> None:
    assert choose([room("h1", zones="b"), room("h2", memory_mib=1024)], "a", 1, 512) == "h2"
    assert choose([room("h1", zones="b")], "a", 1, 512) is None
    assert choose([room("h1", zones="ab")], "b", 1, 512) == "h1"


def test_among_equals_the_choice_is_always_the_same() -> None:
    hosts = [room("h1"), room("h2"), room("h3")]
    assert choose(hosts, "a", 1, 1) == choose(hosts[::-1], "a", 1, 1) == "h3"


def test_with_no_host_there_is_none() -> None:
    assert choose([], "a", 1, 1) is None


numbers = st.integers(0, 8)
rooms = st.lists(st.builds(room, st.text("hx123", min_size=1), numbers, numbers, st.sampled_from(["a", "b", "ab"])))


@given(rooms, st.sampled_from("ab"), numbers, numbers)
def test_what_is_chosen_has_room_and_none_is_refused_that_has(
    hosts: list[Room], zone: str, vcpus: int, memory_mib: int
) -> None:
    fitting = [host for host in hosts if zone in host.zones and host.vcpus >= vcpus and host.memory_mib >= memory_mib]
    chosen = choose(hosts, zone, vcpus, memory_mib)
    assert (chosen is None) == (fitting == [])
    if chosen is not None:
        most = max(host.memory_mib for host in fitting)
        assert any(host.name == chosen and host.memory_mib == most for host in fitting)
