"""The way out and in: public addresses, translation, and VPCs that use the same range."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.guest import FakeGuest, World
from support.netns import HOST_ADDRESS, WORLD_ADDRESS, Host, Network, Vpc, allow

from cumulet.lib.errors import Failure

ONE, TWO = Vpc(1), Vpc(2)
PUBLIC = "198.51.100.70"


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def network(host: Host) -> Network:
    network = Network(host)
    for vpc in (ONE, TWO):
        network.ensure(vpc.group(allow("tcp", 22), allow("icmp")))
    return network


@pytest.fixture
def world(host: Host) -> World:
    world = World(host)
    world.listen(80)
    return world


def test_a_guest_without_public_address_goes_out_by_the_hosts(host: Host, network: Network, world: World) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1))
    assert guest.connect(WORLD_ADDRESS, 80) == f"from {HOST_ADDRESS}"
    assert guest.ping(WORLD_ADDRESS)


def test_a_public_address_works_both_ways(host: Host, network: Network, world: World) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1, public_ip=PUBLIC))
    guest.listen(22)
    guest.listen(80)
    assert guest.connect(WORLD_ADDRESS, 80) == f"from {PUBLIC}"
    assert world.connect(PUBLIC, 22, 3) == f"from {WORLD_ADDRESS}"
    assert world.ping(PUBLIC)
    assert world.connect(PUBLIC, 80, 0.3) == "timeout"


def test_the_host_itself_reaches_a_public_address(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1, public_ip=PUBLIC))
    guest.listen(22)
    assert host.run("busybox", "nc", "-w", "2", PUBLIC, "22") == "100.64.0.1"


def test_an_address_comes_and_goes_on_a_running_guest(host: Host, network: Network, world: World) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1))
    guest.listen(22)
    assert world.connect(PUBLIC, 22, 0.3) in ("timeout", "unreachable")
    network.ensure(ONE.interface(1, public_ip=PUBLIC))
    assert world.connect(PUBLIC, 22, 3) == f"from {WORLD_ADDRESS}"
    network.ensure(ONE.interface(1))
    assert world.connect(PUBLIC, 22, 0.3) in ("timeout", "unreachable")
    assert guest.connect(WORLD_ADDRESS, 80) == f"from {HOST_ADDRESS}"


def test_a_flow_that_goes_on_does_not_keep_an_address(host: Host, network: Network, world: World) -> None:
    """One UDP socket in the world that asks again and again, as a DNS client with a fixed port does."""
    guests = [FakeGuest.started(host, network, ONE.interface(number)) for number in (1, 2)]
    network.ensure(ONE.group(allow("udp", 53)))
    for guest in guests:
        guest.ask("echo", port=53, text=guest.spec.ip)
    for number in (1, 2, 1):
        network.ensure(ONE.interface(3 - number))
        network.ensure(ONE.interface(number, public_ip=PUBLIC))
        assert world.ask("say", address=PUBLIC, port=53, from_port=5353) == guests[number - 1].spec.ip
    network.ensure(ONE.interface(1))
    assert world.ask("say", address=PUBLIC, port=53, from_port=5353) is None


def test_an_address_goes_from_one_guest_to_another(host: Host, network: Network, world: World) -> None:
    """Whichever of the two is ensured first, in one VPC or in two."""
    for other in (ONE.interface(2), TWO.interface(1)):
        first = FakeGuest.started(host, network, ONE.interface(1, public_ip=PUBLIC))
        second = FakeGuest.started(host, network, other)
        for with_it, without in ((second, first), (first, second)):
            vpcs = {guest: ONE if guest.spec.vpc == ONE.id else TWO for guest in (first, second)}
            number = {first: 1, second: int(other.ip.rsplit(".", 1)[1]) - 10}
            network.ensure(vpcs[with_it].interface(number[with_it], public_ip=PUBLIC))
            network.ensure(vpcs[without].interface(number[without]))
            assert with_it.connect(WORLD_ADDRESS, 80) == f"from {PUBLIC}"
            assert without.connect(WORLD_ADDRESS, 80) == f"from {HOST_ADDRESS}"
            assert world.ping(PUBLIC, timeout=3)
        for guest in (first, second):
            network.remove(guest.spec.id)
            guest.close()


def test_guests_reach_public_addresses_of_their_own_vpc(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1, public_ip=PUBLIC))
    sibling = FakeGuest.started(host, network, ONE.interface(2, public_ip="198.51.100.71"))
    plain = FakeGuest.started(host, network, ONE.interface(3))
    guest.listen(22)
    assert sibling.connect(PUBLIC, 22) == "from 198.51.100.71"
    assert plain.connect(PUBLIC, 22) == f"from {plain.spec.ip}"
    assert guest.connect(PUBLIC, 22) == f"from {PUBLIC}"


def test_guests_reach_public_addresses_of_other_vpcs(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1, public_ip=PUBLIC))
    other = FakeGuest.started(host, network, TWO.interface(1, public_ip="198.51.100.71"))
    plain = FakeGuest.started(host, network, TWO.interface(2))
    guest.listen(22)
    assert other.connect(PUBLIC, 22) == "from 198.51.100.71"
    assert plain.connect(PUBLIC, 22).startswith("from 100.64.")


def test_vpcs_with_the_same_range_neither_see_nor_reach_each_other(host: Host, network: Network) -> None:
    guests = [FakeGuest.started(host, network, vpc.interface(1)) for vpc in (ONE, TWO)]
    neighbour = FakeGuest.started(host, network, TWO.interface(2))
    for guest in (*guests, neighbour):
        guest.listen(22)
    assert guests[0].spec.ip == guests[1].spec.ip
    assert neighbour.connect(guests[1].spec.ip, 22) == f"from {neighbour.spec.ip}"
    assert guests[0].connect(neighbour.spec.ip, 22, 0.3) in ("timeout", "unreachable")
    guests[1].close()
    assert guests[0].connect(guests[1].spec.ip, 22) == f"from {guests[0].spec.ip}", "its own, not the other VPC's"
    assert "10.0." not in host.run("ip", "route")


def test_other_vpcs_routers_are_not_to_be_had(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, ONE.interface(1))
    network.ensure(TWO.interface(1))
    links = host.run("ip", "-4", "-o", "address").split()
    transits = [word.split("/")[0] for before, word in zip(links, links[1:], strict=False) if before == "peer"]
    assert len(transits) == 2
    for transit in transits:
        assert guest.connect(transit, 22, 0.3) == "timeout"


def test_the_host_does_not_become_a_router_for_others(host: Host, network: Network, world: World) -> None:
    host.run("ip", "netns", "add", "lan")
    host.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", "lan")
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "lan0")
    host.run("ip", "link", "set", "lan0", "up")
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/lan0/forwarding")
    for words in (["address", "add", "192.0.2.2/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
        host.run("ip", "-n", "lan", *words)
    host.run("ip", "-n", "lan", "route", "add", "default", "via", "192.0.2.1")
    world.run("ip", "route", "add", "192.0.2.0/24", "via", HOST_ADDRESS)
    guest = FakeGuest.started(host, network, ONE.interface(1))
    assert not world.ping("192.0.2.2", timeout=0.5)
    assert guest.connect("192.0.2.2", 22, 0.3) == "timeout"
    host.run("nft", "delete", "table", "inet", "cumulet")
    assert world.ping("192.0.2.2"), "without our rules the packet would have passed: the test is worth something"


def test_an_address_beyond_the_drivers_own_pool_works_where_the_order_names_its_range(
    host: Host, network: Network, world: World
) -> None:
    """The operator has added the range; a driver that is started anew knows it before it sets up the rules."""
    added = ONE.interface(1, public_ip="198.51.100.200", public_range="198.51.100.200-198.51.100.201")
    guest = FakeGuest.started(host, network, added)
    guest.listen(22)
    assert world.connect("198.51.100.200", 22, 3) == f"from {WORLD_ADDRESS}"
    assert guest.connect(WORLD_ADDRESS, 80) == "from 198.51.100.200"
    network.kill()
    another = Network(host)
    another.ensure(TWO.interface(1))
    assert world.connect("198.51.100.200", 22, 3) == f"from {WORLD_ADDRESS}"
    with pytest.raises(Failure, match="not in the pool"):
        another.ensure(ONE.interface(2, public_ip="198.51.100.202"))
    for vpc, number in ((ONE, 1), (ONE, 2), (TWO, 1)):
        another.remove(vpc.interface(number).id)
    for vpc in (ONE, TWO):
        another.remove(vpc.group().id)
    assert not host.run("ls", "/run/cumulet/network", check=False).strip()
