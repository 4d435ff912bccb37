"""What every driver promises, by one suite: the fakes, the directories, and the fakes behind an agent on either bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from support.buses import KINDS, Ends, both_ends
from support.fake_lvm import FakeLvm
from support.fake_rbd import FakePool, FakeRbd

from cumulet.agent.agent import Agent
from cumulet.bus.remote import Remote
from cumulet.drivers.contract import Driver, Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.fake import FakeImages
from cumulet.drivers.network.fake import FakeNetwork
from cumulet.drivers.specs import (
    GroupSpec,
    ImageFileSpec,
    InstanceSpec,
    InterfaceSpec,
    NicSpec,
    PeerSpec,
    RuleSpec,
    Spec,
    VolumeSpec,
    VpcSpec,
)
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.fake import FakeVolumes
from cumulet.drivers.volume.lvm import LvmVolumes
from cumulet.drivers.volume.rbd import RbdVolumes
from cumulet.lib.errors import Failure, Superseded
from cumulet.lib.lvm import Group


def guest(number: int, step: int = 0) -> Spec:
    return InstanceSpec(id=f"i-{number:017x}", generation=1 + step, power="on", memory_mib=64)


def tap(number: int, step: int = 0) -> Spec:
    public = "198.51.100.7" if step else None
    return InterfaceSpec(
        id=f"eni-{number:017x}",
        vpc="vpc-1",
        vpc_cidr="10.0.0.0/16",
        subnet_cidr="10.0.0.0/24",
        mac="02:00:00:00:00:01",
        ip=f"10.0.0.{number}",
        groups=["sg-1"],
        public_ip=public,
    )


def group(number: int, step: int = 0) -> Spec:
    rules = [RuleSpec(protocol="tcp", from_port=22, to_port=22, cidr="0.0.0.0/0")] * step
    return GroupSpec(id=f"sg-{number:017x}", vpc="vpc-1", ingress=rules, members=[f"10.0.0.{number}"])


def tunnel(number: int, step: int = 0) -> Spec:
    peers = [PeerSpec(ip=f"10.0.0.{host}", via=f"192.0.2.{host}") for host in range(1 + step)]
    return VpcSpec(id=f"vpc-{number:017x}", cidr="10.0.0.0/16", vni=number, peers=peers)


def volume(number: int, step: int = 0) -> Spec:
    return VolumeSpec(id=f"vol-{number:017x}", size_gib=1 + step)


def image(source: Path, number: int, step: int = 0) -> Spec:
    return ImageFileSpec(id=f"imf-{number:017x}", source=str(source), format="raw")


class Case(NamedTuple):
    """A driver, and specs for it: of the thing of this number, changed where `step` is 1."""

    driver: Driver
    spec: Callable[..., Spec]


def encrypted(number: int, step: int = 0) -> Spec:
    return VolumeSpec(id=f"vol-{number:017x}", size_gib=1 + step, key="a" * 43 + "=")


def fake_guests(directory: Path) -> Case:
    return Case(FakeHypervisor(FakeWorld(directory)), guest)


def fake_taps(directory: Path) -> Case:
    return Case(FakeNetwork(FakeWorld(directory)), tap)


def fake_groups(directory: Path) -> Case:
    return Case(FakeNetwork(FakeWorld(directory)), group)


def fake_tunnels(directory: Path) -> Case:
    return Case(FakeNetwork(FakeWorld(directory)), tunnel)


def fake_volumes(directory: Path) -> Case:
    return Case(FakeVolumes(FakeWorld(directory)), volume)


def fake_encrypted_volumes(directory: Path) -> Case:
    return Case(FakeVolumes(FakeWorld(directory)), encrypted)


def encrypted_volumes_in_a_directory(directory: Path) -> Case:
    return Case(DirectoryVolumes(directory / "volumes", directory / "images", Exports(directory, "")), encrypted)


def _image_of(directory: Path) -> Callable[..., Spec]:
    source = directory / "source"
    source.write_bytes(bytes(2**20))
    return lambda number, step=0: image(source, number, step)


def fake_images(directory: Path) -> Case:
    return Case(FakeImages(FakeWorld(directory / "world")), _image_of(directory))


def volumes_in_a_directory(directory: Path) -> Case:
    return Case(DirectoryVolumes(directory / "volumes", directory / "images", Exports(directory, "")), volume)


def volumes_of_lvm(directory: Path) -> Case:
    group = Group("nova-volumes", devices=directory / "dev", run=FakeLvm(directory / "dev").run)
    return Case(LvmVolumes(group, directory / "images", Exports(directory, "")), volume)


def thin_volumes_of_lvm(directory: Path) -> Case:
    group = Group("nova-volumes", "thin", devices=directory / "dev", run=FakeLvm(directory / "dev", pool="thin").run)
    return Case(LvmVolumes(group, directory / "images", Exports(directory, "")), volume)


def volumes_of_ceph(directory: Path) -> Case:
    pool = FakePool(FakeRbd(directory / "ceph"))
    return Case(RbdVolumes(pool, directory / "images", Exports(directory, ""), "h1", directory / "opened"), volume)


def images_in_a_directory(directory: Path) -> Case:
    return Case(DirectoryImages(directory / "images"), _image_of(directory))


FAKES = [fake_guests, fake_taps, fake_groups, fake_tunnels, fake_volumes, fake_images]
DIRECTORIES = [volumes_in_a_directory, volumes_of_lvm, thin_volumes_of_lvm, volumes_of_ceph]
DIRECTORIES += [images_in_a_directory, fake_encrypted_volumes, encrypted_volumes_in_a_directory]
PLACES = ("here", *KINDS)
"""Where the driver is: in the test's hands, or behind an agent on a bus."""
CASES = [
    pytest.param((make, place), id=f"{make.__name__}-{place}")
    for make in [*FAKES, *DIRECTORIES]
    for place in (PLACES if make in FAKES else PLACES[:1])
]


@contextmanager
def at(place: str, case: Case, directory: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    """The driver as it looks from elsewhere, by orders of one lease."""
    if place == "here":
        yield case
        return
    with both_ends(place, request) as ends:
        Agent("role.h1", case.driver, directory / "documents").serve(ends.host)
        yield Case(Remote(ends.control, "role.h1", epoch=1), case.spec)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    make, place = request.param
    with at(place, make(tmp_path), tmp_path, request) as case:
        yield case


def ids_of(driver: Driver) -> list[str]:
    return sorted(seen.id for seen in driver.observe())


def test_it_has_the_verbs_of_a_driver(case: Case) -> None:
    assert isinstance(case.driver, Driver)


def test_at_first_nothing_is_there(case: Case) -> None:
    assert case.driver.observe() == []
    assert case.driver.look(case.spec(1).id) is None


def test_what_is_ensured_is_seen(case: Case) -> None:
    driver, one, two = case.driver, case.spec(1), case.spec(2)
    driver.ensure(one)
    driver.ensure(two)
    assert ids_of(driver) == sorted([one.id, two.id])
    assert [driver.look(one.id), driver.look(two.id)] == sorted(driver.observe(), key=lambda seen: seen.id)


def test_ensuring_twice_is_as_once(case: Case) -> None:
    driver, one = case.driver, case.spec(1)
    driver.ensure(one)
    before = driver.observe()
    driver.ensure(one)
    assert driver.observe() == before


def test_a_changed_spec_is_taken_up_and_is_still_one_thing(case: Case) -> None:
    driver = case.driver
    driver.ensure(case.spec(1))
    driver.ensure(case.spec(1, 1))
    assert ids_of(driver) == [case.spec(1).id]


def test_removing_leaves_the_others(case: Case) -> None:
    driver, one, two = case.driver, case.spec(1), case.spec(2)
    driver.ensure(one)
    driver.ensure(two)
    driver.remove(one.id)
    assert ids_of(driver) == [two.id]
    assert driver.look(one.id) is None


def test_removing_what_is_not_there_succeeds(case: Case) -> None:
    driver, one = case.driver, case.spec(1)
    driver.remove(one.id)
    driver.ensure(one)
    driver.remove(one.id)
    driver.remove(one.id)
    assert driver.observe() == []


def test_what_was_removed_can_be_made_again(case: Case) -> None:
    driver, one = case.driver, case.spec(1)
    driver.ensure(one)
    driver.remove(one.id)
    driver.ensure(one)
    assert ids_of(driver) == [one.id]


def test_several_threads_make_and_remove_different_things(case: Case) -> None:
    driver, specs = case.driver, [case.spec(number) for number in range(1, 13)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(driver.ensure, specs))
        assert ids_of(driver) == sorted(spec.id for spec in specs)
        list(pool.map(driver.remove, [spec.id for spec in specs[:6]]))
    assert ids_of(driver) == sorted(spec.id for spec in specs[6:])


@pytest.fixture(params=KINDS)
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with both_ends(request.param, request) as made:
        yield made


@pytest.mark.parametrize("make", FAKES, ids=lambda make: make.__name__)
def test_an_older_lease_changes_nothing_behind_an_agent(
    make: Callable[[Path], Case], ends: Ends, tmp_path: Path
) -> None:
    case = make(tmp_path)
    Agent("role.h1", case.driver, tmp_path / "documents").serve(ends.host)
    old, new = Remote(ends.control, "role.h1", epoch=1), Remote(ends.control, "role.h1", epoch=2)
    new.ensure(case.spec(1))
    with pytest.raises(Superseded, match="order 1 for .*: order 2"):
        old.remove(case.spec(1).id)
    new.remove(case.spec(1).id)
    with pytest.raises(Superseded):
        old.ensure(case.spec(1))
    assert case.driver.observe() == []


@pytest.fixture(params=PLACES)
def guests(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    """Fake guests in the world at `tmp_path`/world."""
    made = Case(FakeHypervisor(FakeWorld(tmp_path / "world")), guest)
    with at(request.param, made, tmp_path, request) as case:
        yield case.driver


def world_of(directory: Path) -> FakeWorld:
    return FakeWorld(directory / "world")


def plugged_in(generation: int = 1) -> InstanceSpec:
    return InstanceSpec(id="i-1", generation=generation, power="on", nics=[NicSpec(interface=tap(1).id, mac="02:1")])


def test_a_guest_needs_its_tap_and_is_paused_until_it_is_in_its_vpc(guests: Driver, tmp_path: Path) -> None:
    network = FakeNetwork(world_of(tmp_path))
    with pytest.raises(Failure, match="no tap"):
        guests.ensure(plugged_in())
    network.ensure(tap(1))
    guests.ensure(plugged_in())
    assert guests.look("i-1") == Seen(id="i-1", state="paused", generation=1)
    network.ensure(tap(1))
    guests.ensure(plugged_in())
    assert guests.look("i-1") == Seen(id="i-1", state="running", generation=1)


def test_a_guest_that_ended_is_started_again_by_the_next_generation_only(guests: Driver, tmp_path: Path) -> None:
    spec = InstanceSpec(id="i-1", generation=1, power="on")
    guests.ensure(spec)
    FakeHypervisor(world_of(tmp_path)).end("i-1")
    guests.ensure(spec)
    assert guests.look("i-1") == Seen(id="i-1", state="off", generation=1, ended="shutdown")
    guests.ensure(InstanceSpec(id="i-1", generation=2, power="on"))
    assert guests.look("i-1") == Seen(id="i-1", state="running", generation=2)


def test_a_guest_goes_off_when_asked_and_stays_off(guests: Driver) -> None:
    guests.ensure(InstanceSpec(id="i-1", generation=1, power="on"))
    for _ in range(2):
        guests.ensure(InstanceSpec(id="i-1", generation=1, power="off"))
        assert guests.look("i-1") == Seen(id="i-1", state="off", generation=1)


def test_a_guest_that_was_lost_with_its_host_is_started_again(guests: Driver, tmp_path: Path) -> None:
    spec = InstanceSpec(id="i-1", generation=1, power="on")
    guests.ensure(spec)
    world_of(tmp_path).reboot()
    assert guests.look("i-1") == Seen(id="i-1", state="off", generation=1, ended="lost")
    guests.ensure(spec)
    assert guests.look("i-1") == Seen(id="i-1", state="running", generation=1)
