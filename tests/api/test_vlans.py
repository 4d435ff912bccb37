"""A VLAN for each VPC: which number it gets, who sees it, and when it is free again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.commands import Run, answered, command, running_cloud
from support.launching import launched
from support.more_hosts import add_host
from support.tested_cloud import TestedCloud

from cumulet.drivers.fake_world import FakeWorld
from cumulet.lib.errors import Refusal
from cumulet.model import vlan

TRUNK = {"vlan_interface": "eth1", "tunnel_address": "192.0.2.1"}
NEARLY_ALL_TAKEN = TRUNK | {"vlan_start": 4093}


@pytest.fixture
def run(cloud: TestedCloud) -> Iterator[Run]:
    with running_cloud(cloud):
        yield command(cloud)


def numbers(run: Run) -> list[int]:
    return sorted(answered(run, "status")["vlans"].values())


@pytest.mark.parametrize("cloud", [TRUNK], indirect=True)
def test_each_vpc_has_a_vlan_of_its_own_and_the_same_on_every_host(cloud: TestedCloud, run: Run) -> None:
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    places = [cloud.config.state_dir / "world", cloud.config.state_dir / "hosts" / "h2" / "world"]
    worlds = [FakeWorld(place) for place in places]
    bob = cloud.account("bob")
    assert numbers(run) == [100, 101]
    for client in (cloud.client(), bob.client()):
        launched(cloud, client, MinCount=4, MaxCount=4)
    for vpc, number in vlan_rows(cloud).items():
        tunnels = [world.get("tunnel", vpc) for world in worlds]
        assert [one["vlan"] for one in tunnels if one] == [number, number]


def vlan_rows(cloud: TestedCloud) -> dict[str, int]:
    with cloud.database.read() as tx:
        return vlan.all(tx)


@pytest.mark.parametrize("cloud", [TRUNK], indirect=True)
def test_the_operator_sees_the_vlan_of_a_network(cloud: TestedCloud, run: Run) -> None:
    answered(run, "network", "create", "private", "10.0.0.0/20", "--size", "2048", "--count", "2")
    cloud.account("bob")
    assert [one["vlan"] for one in answered(run, "network", "list")] == [101, None]
    assert "VLANs: 2, numbers 100 to 101" in run("status").stdout


@pytest.mark.parametrize("cloud", [NEARLY_ALL_TAKEN], indirect=True)
def test_a_vlan_is_free_again_with_its_vpc_and_none_is_given_beyond_the_last(cloud: TestedCloud, run: Run) -> None:
    answered(run, "account", "create", "bob")
    assert numbers(run) == [4093, 4094]
    done = run("account", "create", "ann")
    assert (done.exit_code, numbers(run)) == (1, [4093, 4094])
    assert "all 2 VLANs from 4093 (the setting vlan_start) to 4094 are taken" in done.stderr
    assert run("account", "delete", "bob").exit_code == 0
    assert numbers(run) == [4093, 4094], "a host may still have something of it"
    cloud.settle()
    assert numbers(run) == [4093]
    answered(run, "account", "create", "ann")
    assert numbers(run) == [4093, 4094]


def test_without_a_trunk_no_vpc_has_a_vlan(run: Run) -> None:
    assert numbers(run) == []


@pytest.mark.parametrize("cloud", [TRUNK], indirect=True)
def test_a_number_that_somebody_else_has_taken_meanwhile_is_passed_over(
    cloud: TestedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cloud.database.write() as tx:
        monkeypatch.setattr(vlan, "all", lambda tx: {})
        assert vlan.take(tx, "vpc-0feed", 100) == 101
        with pytest.raises(Refusal, match="VpcLimitExceeded"):
            monkeypatch.setattr(vlan, "all", lambda tx: {"vpc-0feed": 4094})
            vlan.take(tx, "vpc-1feed", 4094)
