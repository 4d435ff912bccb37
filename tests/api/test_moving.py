"""Instances and volumes that the operator has moved to other hosts, one by one or all of a host."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, shown
from support.more_hosts import add_host
from support.moves import counted, generation, hypervisor, move_of, on_first, ordered, other, refused, settle, where
from support.tested_cloud import TestedCloud

from cumulet.model import capacity, volume
from cumulet.model.database import Row
from cumulet.model.explanation import explain

pytestmark = pytest.mark.parametrize("cloud", [{"tunnel_address": "192.0.2.1"}], indirect=True)


@pytest.fixture
def second(cloud: TestedCloud) -> None:
    add_host(cloud, "h2", tunnel_address="192.0.2.2")


def volume_row(cloud: TestedCloud, id: str) -> Row:
    with cloud.database.read() as tx:
        row = volume.find(tx, id)
    assert row is not None
    return row


def test_a_running_instance_moves_by_a_stop_with_its_disks_and_addresses(cloud: Any, ec2: Any, second: None) -> None:
    id = launched(cloud, ec2)
    before, (host, _) = shown(ec2, id), where(cloud, id)
    to = other(host)
    assert ordered(cloud, "MigrateInstance", id=id, cold=True) == {"id": id, "from": host, "to": to, "live": False}
    wanted = [{"Name": "event.code", "Values": ["instance-reboot"]}]
    (status,) = ec2.describe_instance_status(Filters=wanted)["InstanceStatuses"]
    assert (status["InstanceId"], status["Events"][0]["NotBefore"].tzinfo is not None) == (id, True)
    cloud.settle()
    assert ec2.describe_instance_status(Filters=wanted)["InstanceStatuses"] == []
    after = shown(ec2, id)
    assert where(cloud, id) == (to, [to])
    assert after["State"]["Name"] == "running"
    for same in ("PrivateIpAddress", "PublicIpAddress", "LaunchTime"):
        assert after[same] == before[same]
    assert counted(cloud)[host] == capacity.NOTHING


def test_a_running_instance_moves_and_runs_on(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    before = shown(ec2, id) | {"Placement": None}
    assert ordered(cloud, "MigrateInstance", id=id) == {"id": id, "from": "h1", "to": "h2", "live": True}
    wanted = [{"Name": "event.code", "Values": ["system-maintenance"]}]
    (status,) = ec2.describe_instance_status(Filters=wanted)["InstanceStatuses"]
    assert "it goes on running" in status["Events"][0]["Description"]
    cloud.settle()
    assert (counted(cloud)["h1"].vcpus, counted(cloud)["h2"].vcpus) == (1, 1)
    cloud.pass_time(1)
    assert "while it runs: 50 %" in move_of(cloud, id)["doing"]
    settle(cloud)
    assert where(cloud, id) == ("h2", ["h2"])
    assert shown(ec2, id) | {"Placement": None} == before
    assert generation(cloud, id) == 1
    assert cloud.cloud.remote("compute", "h2").look(id).state == "running"
    assert [cloud.cloud.remote(role, "h1").observe() for role in ("compute", "volume")] == [[], []]
    assert counted(cloud)["h1"] == capacity.NOTHING
    assert ec2.describe_instance_status()["InstanceStatuses"][0]["Events"] == []


def test_an_instance_that_cannot_move_while_it_runs_stays_and_says_why(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    hypervisor(cloud).refuses_to_leave = True
    ordered(cloud, "MigrateInstance", id=id)
    settle(cloud)
    assert (where(cloud, id), shown(ec2, id)["State"]["Name"], generation(cloud, id)) == (("h1", ["h1"]), "running", 1)
    assert move_of(cloud, id)["not_moved"] == "the other host does not let it in"
    with cloud.database.read() as tx:
        assert explain(tx, id)["reason"] == "it was not moved: the other host does not let it in"
    assert counted(cloud)["h2"] == capacity.NOTHING
    assert [cloud.cloud.remote(role, "h2").observe() for role in ("compute", "volume")] == [[], []]


def test_a_guest_goes_to_no_host_with_another_processor(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    hypervisor(cloud).processor = "A9"
    ordered(cloud, "MigrateInstance", id=id)
    settle(cloud)
    assert (where(cloud, id), shown(ec2, id)["State"]["Name"]) == (("h1", ["h1"]), "running")
    assert "processor is another one" in move_of(cloud, id)["not_moved"]


def test_a_guest_with_volumes_in_lvm_stays_and_says_so(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    hypervisor(cloud).devices = "/dev/nova-volumes"
    ordered(cloud, "MigrateInstance", id=id)
    settle(cloud)
    assert (where(cloud, id), shown(ec2, id)["State"]["Name"]) == (("h1", ["h1"]), "running")
    assert "keeps volumes in LVM" in move_of(cloud, id)["not_moved"]


def test_one_that_is_rebooted_on_its_way_moves_by_that(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    ordered(cloud, "MigrateInstance", id=id)
    cloud.pass_time(1)
    ec2.reboot_instances(InstanceIds=[id])
    settle(cloud)
    assert (where(cloud, id), generation(cloud, id)) == (("h2", ["h2"]), 2)
    assert shown(ec2, id)["State"]["Name"] == "running"


def test_draining_stops_and_starts_what_cannot_move_while_it_runs(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    hypervisor(cloud).refuses_to_leave = True
    found = ordered(cloud, "DrainHost", name="h1")
    assert found["moved"] == [{"id": id, "from": "h1", "to": "h2", "live": True}]
    settle(cloud)
    assert (where(cloud, id), shown(ec2, id)["State"]["Name"]) == (("h2", ["h2"]), "running")
    assert cloud.cloud.remote("compute", "h1").look(id) is None


def test_an_instance_with_a_volume_of_another_host_moves_only_by_a_stop(cloud: Any, ec2: Any) -> None:
    id = on_first(cloud, ec2)
    add_host(cloud, "h3", tunnel_address="192.0.2.3")
    for _ in range(3):
        ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)
    cloud.settle()
    volumes = [
        one["VolumeId"]
        for one in ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"]
    ]
    away = next(one for one in volumes if volume_row(cloud, one).host != "h1")
    ec2.attach_volume(VolumeId=away, InstanceId=id, Device="/dev/sdf")
    cloud.settle()
    said = refused(cloud, "MigrateInstance", id=id, to="h3")
    assert f"{away} is on " in said and "`--cold` stops and starts it" in said
    assert counted(cloud)["h3"].vcpus == 0
    assert ordered(cloud, "MigrateInstance", id=id, to="h3", cold=True)["live"] is False


def test_a_stopped_instance_moves_and_starts_there(cloud: Any, ec2: Any, second: None) -> None:
    id = launched(cloud, ec2)
    ec2.stop_instances(InstanceIds=[id], Force=True)
    cloud.settle()
    to = other(where(cloud, id)[0])
    ordered(cloud, "MigrateInstance", id=id, to=to)
    cloud.settle()
    assert where(cloud, id) == (to, [to])
    assert shown(ec2, id)["State"]["Name"] == "stopped"
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    assert (shown(ec2, id)["State"]["Name"], where(cloud, id)[0]) == ("running", to)


def test_what_is_terminated_while_it_moves_leaves_nothing(cloud: Any, ec2: Any, second: None) -> None:
    id = launched(cloud, ec2)
    ordered(cloud, "MigrateInstance", id=id)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert counted(cloud) == {"h1": capacity.NOTHING, "h2": capacity.NOTHING}
    for name in ("h1", "h2"):
        assert cloud.cloud.remote("volume", name).observe() == []


def test_a_volume_that_is_moved_is_neither_modified_nor_attached_meanwhile(cloud: Any, ec2: Any, second: None) -> None:
    guest = launched(cloud, ec2)
    id = str(ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"])
    cloud.settle()
    host = volume_row(cloud, id).host
    ordered(cloud, "DrainHost", name=host)
    with pytest.raises(ec2.exceptions.ClientError, match="being moved to another host"):
        ec2.modify_volume(VolumeId=id, Size=2)
    with pytest.raises(ec2.exceptions.ClientError, match="being moved to another host"):
        ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert volume_row(cloud, id).host == other(host)
    ec2.modify_volume(VolumeId=id, Size=2)


def test_a_host_that_is_drained_has_nothing_any_more(cloud: Any, ec2: Any, second: None) -> None:
    ids = [launched(cloud, ec2) for _ in range(4)]
    volumes = [ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"] for _ in range(4)]
    cloud.settle()
    found = ordered(cloud, "DrainHost", name="h1")
    assert found["stays"] == {}
    settle(cloud)
    left = ordered(cloud, "GetHostContents", name="h1")
    assert left == {"instances": [], "volumes": [], "snapshots": []}
    assert {where(cloud, id)[0] for id in ids} == {"h2"}
    assert {shown(ec2, id)["State"]["Name"] for id in ids} == {"running"}
    assert {volume_row(cloud, id).host for id in volumes} == {"h2"}
    assert counted(cloud)["h1"] == capacity.NOTHING
    assert "1 disabled" in refused(cloud, "MigrateInstance", id=ids[0])


def test_what_cannot_be_moved_is_refused_with_the_reason(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    assert "there is no instance i-0" in refused(cloud, "MigrateInstance", id="i-0")
    assert "it is there already" in refused(cloud, "MigrateInstance", id=id, to="h1")
    assert "there is no such host" in refused(cloud, "MigrateInstance", id=id, to="h9")
    assert "There is no room" in (said := refused(cloud, "MigrateInstance", id=id))
    assert said.endswith("of 1 host, 1 its own.")
    add_host(cloud, "h2", tunnel_address="")
    assert "h2 does not reach other hosts" in refused(cloud, "MigrateInstance", id=id)
    assert "h9" in refused(cloud, "DrainHost", name="h9")
    found = ordered(cloud, "DrainHost", name="h1")
    assert list(found["stays"]) == [id]


def test_a_volume_of_a_host_that_no_other_reaches_stays(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2", tunnel_address="")
    ids = [str(ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]) for _ in range(2)]
    cloud.settle()
    (there,) = [id for id in ids if volume_row(cloud, id).host == "h2"]
    found = ordered(cloud, "DrainHost", name="h2")
    assert "it has no tunnel_address" in found["stays"][there]
    assert volume_row(cloud, there).moving_to == ""
