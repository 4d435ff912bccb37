"""A host that does not answer any more: what runs elsewhere then and what waits, and that nothing ever runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fenced_hosts import FencedHosts
from support.launching import launched, shown
from support.tested_cloud import TestedCloud

from cumulet.control import hosts
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import tap_name
from cumulet.model import attachment, capacity, host_lease, instance, interface, left_behind, work
from cumulet.model.explanation import explain

FENCE = 30.0
ENDS = FENCE + host_lease.MARGIN_SECONDS
SETTLES = 10.0
ZONE = "us-east-1a"


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[TestedCloud]:
    """Its own host keeps the images, and runs nothing."""
    (tmp_path / "volumes").mkdir()
    made = TestedCloud(
        tmp_path, database_url=database_url, image_dir=str(tmp_path / "images"), tunnel_address="192.0.2.1"
    )
    enable(made, "h1", False)
    yield made
    made.stop()


@pytest.fixture
def fleet(cloud: TestedCloud, tmp_path: Path) -> FencedHosts:
    return FencedHosts(
        cloud, ["h2", "h3"], volume_dir=str(tmp_path / "volumes"), fence_seconds=FENCE, tunnel_address="192.0.2.2"
    )


def place(cloud: TestedCloud, id: str) -> tuple[str, list[str]]:
    """The host of an instance, and those of its disks."""
    with cloud.database.read() as tx:
        row = instance.find(tx, id)
        assert row is not None
        return row.host, [disk.host for disk in attachment.disks(tx, id)]


def enable(cloud: TestedCloud, name: str, enabled: bool) -> None:
    with cloud.database.write() as tx:
        hosts.change(tx, name, hosts.Change(enabled=enabled))


def launched_on(cloud: TestedCloud, ec2: Any, name: str, **more: Any) -> str:
    """An instance on this one of the two hosts."""
    enable(cloud, other(name), False)
    id = launched(cloud, ec2, **more)
    enable(cloud, other(name), True)
    assert place(cloud, id)[0] == name
    return id


def other(name: str) -> str:
    return "h3" if name == "h2" else "h2"


def status(ec2: Any, id: str) -> tuple[str, list[str]]:
    """The system status of an instance, and what is said of its events."""
    (found,) = ec2.describe_instance_status(InstanceIds=[id], IncludeAllInstances=True)["InstanceStatuses"]
    return found["SystemStatus"]["Status"], [event["Description"] for event in found.get("Events", [])]


def said(cloud: TestedCloud, id: str) -> str:
    with cloud.database.read() as tx:
        found = explain(tx, id)
    return f"{found['reason']}; {found['work']}"


def nothing_is_left(fleet: FencedHosts, name: str, id: str) -> None:
    """The host has nothing of the instance, and would not bring it back."""
    with fleet.cloud.database.read() as tx:
        nics = [nic.id for nic in interface.of_instance(tx, id)]
        assert [left_behind.on(tx, role, name) for role in ("compute", "network")] == [[], []]
    world = fleet.worlds[name]
    assert id not in world.names("domain")
    assert {tap_name(nic) for nic in nics} & set(world.names("tap")) == set()
    assert not {id, *nics} & {one for agent in fleet.hosts[name].agents.values() for one in agent.documents.living()}


@pytest.mark.parametrize("rebooted", [False, True])
def test_what_ran_on_a_lost_host_runs_on_another_and_once(
    cloud: Any, ec2: Any, fleet: FencedHosts, rebooted: bool
) -> None:
    id = launched(cloud, ec2)
    before, (lost, _) = shown(ec2, id), place(cloud, id)
    fleet.lose(lost)
    fleet.pass_time(FENCE - 8)
    assert fleet.running() == {id: lost}, "it has promised to stop it later"
    fleet.pass_time(10)
    assert fleet.running() == {}
    assert (place(cloud, id)[0], shown(ec2, id)["State"]["Name"]) == (lost, "running"), "it is not given up before"
    fleet.pass_time(host_lease.MARGIN_SECONDS + SETTLES)
    to = other(lost)
    assert (fleet.running(), place(cloud, id)) == ({id: to}, (to, [to]))
    after = shown(ec2, id)
    assert (after["State"]["Name"], status(ec2, id)) == ("running", ("ok", []))
    for same in ("PrivateIpAddress", "PublicIpAddress", "LaunchTime"):
        assert after[same] == before[same]
    with cloud.database.read() as tx:
        assert capacity.counted(tx)[lost] == capacity.NOTHING
        assert capacity.counted(tx)[to] == capacity.promised(tx)[to]
    fleet.bring_back(lost, rebooted=rebooted)
    fleet.pass_time(SETTLES)
    assert fleet.running() == {id: to}
    nothing_is_left(fleet, lost, id)
    assert fleet.recover(lost) == []
    assert fleet.running() == {id: to}
    fleet.lose(to)
    fleet.pass_time(ENDS + SETTLES)
    assert fleet.running() == {id: lost}, "the host that was lost takes it back when the other one is"


def test_one_that_does_not_recover_waits_and_goes_on_where_it_is(cloud: Any, ec2: Any, fleet: FencedHosts) -> None:
    waits = launched(cloud, ec2, MaintenanceOptions={"AutoRecovery": "disabled"})
    lost = place(cloud, waits)[0]
    changed = launched_on(cloud, ec2, lost)
    ec2.modify_instance_maintenance_options(InstanceId=changed, AutoRecovery="disabled")
    cloud.settle()
    fleet.lose(lost)
    fleet.pass_time(ENDS + SETTLES)
    assert fleet.running() == {waits: lost, changed: lost}
    for id in (waits, changed):
        assert status(ec2, id)[0] == "impaired"
        assert "it waits until" in status(ec2, id)[1][0]
        assert "its AutoRecovery is disabled" in said(cloud, id)
    before = fleet.worlds[lost].get("domain", waits)
    fleet.bring_back(lost)
    fleet.pass_time(SETTLES)
    assert fleet.worlds[lost].get("domain", waits) == before
    assert [status(ec2, id) for id in (waits, changed)] == [("ok", []), ("ok", [])]


def test_one_whose_policy_is_changed_recovers_by_the_new_one(cloud: Any, ec2: Any, fleet: FencedHosts) -> None:
    id = launched(cloud, ec2, MaintenanceOptions={"AutoRecovery": "disabled"})
    lost = place(cloud, id)[0]
    ec2.modify_instance_maintenance_options(InstanceId=id, AutoRecovery="default")
    cloud.settle()
    fleet.lose(lost)
    fleet.pass_time(ENDS + SETTLES)
    assert fleet.running() == {id: other(lost)}


def test_guests_that_run_already_recover_too_once_their_host_stops_them(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    fleet.add("h2", fence_seconds=0.0)
    id = launched_on(cloud, ec2, "h2")
    fleet.add("h2")
    cloud.settle()
    fleet.lose("h2")
    fleet.pass_time(ENDS + SETTLES)
    assert fleet.running() == {id: "h3"}


def test_it_is_shown_that_it_is_recovered(cloud: Any, ec2: Any, fleet: FencedHosts) -> None:
    id = launched(cloud, ec2)
    lost = place(cloud, id)[0]
    enable(cloud, other(lost), False)
    fleet.lose(lost)
    fleet.pass_time(20)
    assert status(ec2, id)[0] == "impaired"
    assert "it is started on another host" in status(ec2, id)[1][0]
    assert f"{lost} has not been heard for" in said(cloud, id)
    fleet.pass_time(ENDS)
    assert shown(ec2, id)["State"]["Name"] == "pending"
    assert status(ec2, id)[0] == "impaired"
    assert f"{lost} is lost, and no other host can start it yet" in said(cloud, id)
    with cloud.database.read() as tx:
        assert {one["name"]: one["lost"] for one in hosts.listed(tx, cloud.config)}[lost]
    enable(cloud, other(lost), True)
    fleet.pass_time(SETTLES)
    assert fleet.running() == {id: other(lost)}


def test_without_another_host_it_is_started_where_it_was_when_that_is_back(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    id = launched(cloud, ec2)
    lost = place(cloud, id)[0]
    enable(cloud, other(lost), False)
    fleet.lose(lost)
    fleet.pass_time(ENDS + SETTLES)
    assert fleet.running() == {}
    fleet.bring_back(lost)
    fleet.pass_time(SETTLES)
    assert (fleet.running(), shown(ec2, id)["State"]["Name"]) == ({id: lost}, "running")


def test_a_host_that_gets_the_disk_of_a_lost_one_is_told_so_and_refuses_older_orders_of_it(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    """Whether the disk's reconciler or the instance's has run first since the loss: here it is the disk's."""
    id = launched_on(cloud, ec2, "h2")
    enable(cloud, "h3", False)
    fleet.lose("h2")
    fleet.pass_time(ENDS + SETTLES)
    with cloud.database.read() as tx:
        (disk,) = attachment.disks(tx, id)
        before = work.find(tx, "volume", disk.id)
    assert before is not None
    assert (disk.host, before.due) == (None, None)
    enable(cloud, "h3", True)
    fleet.pass_time(SETTLES)
    assert place(cloud, id) == ("h3", ["h3"])
    told = fleet.hosts["h3"].agents["volume"].documents.get(disk.id)
    assert told is not None and told.epoch > before.epoch


def test_what_is_terminated_or_stopped_on_a_lost_host_is_so_without_it(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    ends = launched(cloud, ec2)
    lost = place(cloud, ends)[0]
    stops, starts = (launched_on(cloud, ec2, lost) for _ in range(2))
    ec2.stop_instances(InstanceIds=[starts])
    cloud.settle()
    fleet.lose(lost)
    ec2.terminate_instances(InstanceIds=[ends])
    ec2.stop_instances(InstanceIds=[stops])
    ec2.start_instances(InstanceIds=[starts])
    fleet.pass_time(ENDS + SETTLES)
    states = [shown(ec2, id)["State"]["Name"] for id in (ends, stops, starts)]
    assert states == ["terminated", "stopped", "running"]
    assert fleet.running() == {starts: other(lost)}
    with cloud.database.read() as tx:
        kept = {disk.id for id in (stops, starts) for disk in attachment.disks(tx, id)}
    assert set(FakeWorld(Path(cloud.config.state_dir / "volumes")).names("volume")) == kept
    fleet.bring_back(lost)
    fleet.pass_time(SETTLES)
    ec2.start_instances(InstanceIds=[stops])
    fleet.pass_time(SETTLES)
    assert set(fleet.running()) == {stops, starts}


def test_one_whose_disks_are_on_its_host_alone_waits(cloud: Any, ec2: Any, fleet: FencedHosts) -> None:
    fleet.add("h4", volume_dir="")
    for name in ("h2", "h3"):
        enable(cloud, name, False)
    id = launched(cloud, ec2)
    fleet.lose("h4")
    fleet.pass_time(ENDS + SETTLES)
    assert (fleet.running(), place(cloud, id)[0]) == ({id: "h4"}, "h4")
    assert "its disks are on h4 alone" in said(cloud, id)


def test_when_the_control_plane_was_away_guests_are_started_where_they_were(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    id = launched(cloud, ec2)
    host = place(cloud, id)[0]
    alone = launched(cloud, ec2, MaintenanceOptions={"AutoRecovery": "disabled"})
    before = fleet.running()[alone]
    for name in fleet.hosts:
        fleet.lose(name)
    cloud.clock.ahead += 600
    for name in fleet.hosts:
        fleet.watch(name)
    assert fleet.running() == {alone: before}
    for name in tuple(fleet.hosts):
        fleet.bring_back(name)
    fleet.pass_time(SETTLES)
    assert fleet.running() == {id: host, alone: before}


def test_a_host_that_starts_alone_brings_back_what_waits_for_it_and_nothing_else(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    id = launched(cloud, ec2)
    name = place(cloud, id)[0]
    waits = launched_on(cloud, ec2, name, MaintenanceOptions={"AutoRecovery": "disabled"})
    fleet.lose(name)
    fleet.worlds[name].reboot()
    cloud.clock.ahead += FENCE
    assert set(fleet.recover(name)) == {id}
    assert fleet.running() == {waits: name}


def test_a_disk_on_a_third_host_is_not_reached_by_the_lost_one_any_more(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    fleet.add("h4", volume_dir="", tunnel_address="192.0.2.4")
    for name in ("h2", "h3"):
        enable(cloud, name, False)
    disk = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    for name, enabled in (("h4", False), ("h2", True), ("h3", True)):
        enable(cloud, name, enabled)
    id = launched(cloud, ec2)
    ec2.attach_volume(VolumeId=disk, InstanceId=id, Device="/dev/sdf")
    cloud.settle()
    before = fleet.worlds["h4"].names("volume_export")
    lost = place(cloud, id)[0]
    fleet.lose(lost)
    fleet.pass_time(ENDS + SETTLES)
    after = fleet.worlds["h4"].names("volume_export")
    assert len(before) == len(after) == 1 and before != after
    domain = fleet.worlds[other(lost)].get("domain", id) or {}
    assert set(after) < set(domain["disks"])
    assert shown(ec2, id)["State"]["Name"] == "running"


def with_a_volume_of_the_other(cloud: TestedCloud, ec2: Any) -> tuple[str, str]:
    """An instance on h3, and a volume on h2 that it has."""
    enable(cloud, "h3", False)
    disk = str(ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"])
    cloud.settle()
    enable(cloud, "h3", True)
    id = launched_on(cloud, ec2, "h3")
    ec2.attach_volume(VolumeId=disk, InstanceId=id, Device="/dev/sdf")
    cloud.settle()
    assert place(cloud, id) == ("h3", ["h3", "h2"])
    return id, disk


def test_a_guest_lets_go_of_a_volume_of_a_lost_host_and_has_it_from_another(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    id, disk = with_a_volume_of_the_other(cloud, ec2)
    fleet.lose("h2")
    ec2.detach_volume(VolumeId=disk)
    fleet.pass_time(FENCE)
    assert [one["State"] for one in ec2.describe_volumes(VolumeIds=[disk])["Volumes"]] == ["in-use"], "not lost yet"
    fleet.pass_time(ENDS + SETTLES)
    assert [one["State"] for one in ec2.describe_volumes(VolumeIds=[disk])["Volumes"]] == ["available"]
    ec2.attach_volume(VolumeId=disk, InstanceId=id, Device="/dev/sdf")
    fleet.pass_time(SETTLES)
    assert (place(cloud, id), fleet.worlds["h3"].names("volume_export")) == (("h3", ["h3", "h3"]), [])
    fleet.bring_back("h2")
    fleet.pass_time(SETTLES)
    assert fleet.worlds["h2"].names("volume_export") == []
    with cloud.database.read() as tx:
        assert left_behind.on(tx, "volume", "h2") == []
        found = capacity.counted(tx)
        assert {name: amount for name, amount in found.items() if amount != capacity.NOTHING} == capacity.promised(tx)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_instance_that_is_stopped_starts_with_its_volume_of_a_lost_host(
    cloud: Any, ec2: Any, fleet: FencedHosts, when: str
) -> None:
    """It was stopped before that host was lost, or is then."""
    id, _ = with_a_volume_of_the_other(cloud, ec2)
    if when == "before":
        ec2.stop_instances(InstanceIds=[id], Force=True)
        cloud.settle()
    fleet.lose("h2")
    fleet.pass_time(ENDS + SETTLES)
    if when == "after":
        assert "what is read and written waits" in said(cloud, id)
        ec2.stop_instances(InstanceIds=[id], Force=True)
    fleet.pass_time(SETTLES)
    assert shown(ec2, id)["State"]["Name"] == "stopped"
    ec2.start_instances(InstanceIds=[id])
    fleet.pass_time(SETTLES)
    assert (shown(ec2, id)["State"]["Name"], place(cloud, id)) == ("running", ("h3", ["h3", "h3"]))
    fleet.bring_back("h2")
    fleet.pass_time(SETTLES)
    assert fleet.worlds["h2"].names("volume_export") == []
    assert place(cloud, id) == ("h3", ["h3", "h3"])


def test_a_volume_that_is_deleted_while_its_snapshot_has_no_host_goes_with_the_snapshot_whole(
    cloud: Any, ec2: Any, fleet: FencedHosts
) -> None:
    enable(cloud, "h3", False)
    disk = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    cloud.settle()
    fleet.lose("h2")
    taken = ec2.create_snapshot(VolumeId=disk)["SnapshotId"]
    fleet.pass_time(ENDS + SETTLES)
    ec2.delete_volume(VolumeId=disk)
    fleet.pass_time(SETTLES)
    (found,) = ec2.describe_snapshots(SnapshotIds=[taken])["Snapshots"]
    assert found["State"] == "pending"
    enable(cloud, "h3", True)
    fleet.pass_time(2 * SETTLES)
    (found,) = ec2.describe_snapshots(SnapshotIds=[taken])["Snapshots"]
    assert found["State"] == "completed"
    store = FakeWorld(Path(cloud.config.state_dir / "volumes"))
    assert (store.names("volume"), store.names("snapshot")) == ([], [taken])
    ec2.delete_snapshot(SnapshotId=taken)
    fleet.pass_time(SETTLES)
    assert store.names("snapshot") == []
