"""Moves that wait for their turn, and moves that the operator ends."""

from __future__ import annotations

from typing import Any

import pytest
from support.commands import command, running_cloud
from support.launching import launched, shown
from support.more_hosts import add_host
from support.moves import counted, generation, hypervisor, move_of, on_first, ordered, refused, settle, where
from support.tested_cloud import TestedCloud

from cumulet.model import capacity
from cumulet.model.explanation import explain

TUNNELS = {"tunnel_address": "192.0.2.1"}
pytestmark = pytest.mark.parametrize("cloud", [TUNNELS], indirect=True)


@pytest.fixture(autouse=True)
def _still(cloud: TestedCloud) -> None:
    """Each look at a guest that is carried over brings it further, and the next one is due half a second later."""
    cloud.clock.stand_still()


def doing(cloud: TestedCloud, id: str) -> str:
    return str(move_of(cloud, id)["doing"])


def test_two_guests_move_at_once_and_the_third_says_whom_it_waits_for(cloud: Any, ec2: Any) -> None:
    ids = [launched(cloud, ec2) for _ in range(3)]
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    for id in reversed(ids):
        ordered(cloud, "MigrateInstance", id=id)
        cloud.clock.ahead += 0.1
    cloud.settle()
    cloud.pass_time(1)
    assert ["while it runs: 50 %" in doing(cloud, id) for id in ids] == [False, True, True]
    waits = f"2 before it move from or to h1 ({ids[2]}, {ids[1]}), and 2 do so at once (live_moves_at_once)"
    assert waits in doing(cloud, ids[0])
    with cloud.database.read() as tx:
        assert waits in str(explain(tx, ids[0])["work"])
    for _ in range(2):
        cloud.pass_time(1)
    assert [where(cloud, id)[0] for id in ids[1:]] == ["h2", "h2"]
    settle(cloud)
    assert where(cloud, ids[0]) == ("h2", ["h2"])


def test_whoever_waits_for_a_silent_host_keeps_nobody_waiting(cloud: Any, ec2: Any) -> None:
    ids = [launched(cloud, ec2) for _ in range(3)]
    for name in ("h2", "h3"):
        host = add_host(cloud, name, tunnel_address=f"192.0.2.{name[1]}")
    for id in ids[:2]:
        ordered(cloud, "MigrateInstance", id=id, to="h2")
    cloud.clock.ahead += 20
    host.heartbeat.beat()
    cloud.cloud.host.heartbeat.beat()
    ordered(cloud, "MigrateInstance", id=ids[2], to="h3")
    cloud.settle()
    for _ in range(4):
        cloud.pass_time(1)
    assert where(cloud, ids[2])[0] == "h3"


def test_a_move_that_is_ended_leaves_the_guest_where_it_runs_and_nothing_elsewhere(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    ordered(cloud, "MigrateInstance", id=id)
    cloud.settle()
    assert "while it runs" in doing(cloud, id)
    assert cloud.cloud.remote("compute", "h2").look(id) is not None
    assert ordered(cloud, "CancelMove", name=id) == {"id": id, "host": "h1", "was_to": "h2", "live": True}
    settle(cloud)
    found = move_of(cloud, id)
    assert (found["moving_to"], found["not_moved"]) == ("", "the operator has ended the move")
    assert (where(cloud, id), shown(ec2, id)["State"]["Name"], generation(cloud, id)) == (("h1", ["h1"]), "running", 1)
    assert counted(cloud)["h2"] == capacity.NOTHING
    assert [cloud.cloud.remote(role, "h2").observe() for role in ("compute", "volume", "network")] == [[], [], []]
    ordered(cloud, "MigrateInstance", id=id)
    settle(cloud)
    assert (where(cloud, id)[0], move_of(cloud, id)["not_moved"]) == ("h2", "")


def test_one_that_waits_for_its_turn_is_ended_too(cloud: Any, ec2: Any) -> None:
    ids = [launched(cloud, ec2) for _ in range(3)]
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    for id in ids:
        ordered(cloud, "MigrateInstance", id=id)
        cloud.clock.ahead += 0.1
    cloud.pass_time(1)
    ordered(cloud, "CancelMove", name=ids[2])
    settle(cloud)
    assert [where(cloud, id)[0] for id in ids] == ["h2", "h2", "h1"]


def test_a_drained_guest_whose_move_is_ended_is_not_stopped_for_it(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    ordered(cloud, "DrainHost", name="h1")
    cloud.pass_time(1)
    ordered(cloud, "CancelMove", name=id)
    hypervisor(cloud).refuses_to_leave = True
    settle(cloud)
    assert (where(cloud, id)[0], generation(cloud, id)) == ("h1", 1)


def test_one_that_is_moved_by_a_stop_is_started_where_it_is(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    ordered(cloud, "MigrateInstance", id=id, cold=True)
    assert ordered(cloud, "CancelMove", name=id)["live"] is False
    cloud.settle()
    assert (where(cloud, id), shown(ec2, id)["State"]["Name"], generation(cloud, id)) == (("h1", ["h1"]), "running", 2)
    assert counted(cloud)["h2"] == capacity.NOTHING


def test_what_does_not_move_is_not_ended(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    assert refused(cloud, "CancelMove", name=id) == f"{id} is not being moved: it is on h1"
    assert "there is no instance i-0" in refused(cloud, "CancelMove", name="i-0")
    ordered(cloud, "MigrateInstance", id=id)
    settle(cloud)
    assert refused(cloud, "CancelMove", name=id) == f"{id} is not being moved: it is on h2"


def test_the_command_ends_a_move(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    with running_cloud(cloud):
        run = command(cloud)
        assert run("instance", "migrate", id, "--no-wait").exit_code == 0
        assert "goes with neither --to nor --cold" in run("instance", "migrate", id, "--cancel", "--cold").output
        done = run("instance", "migrate", id, "--cancel", "--no-wait")
        assert (done.exit_code, done.stdout) == (0, f"{id} stays on h1\n")
        settle(cloud)
        assert "is not being moved" in run("instance", "migrate", id, "--cancel").stderr
