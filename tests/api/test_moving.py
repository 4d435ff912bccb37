"""Instances and volumes that the operator has moved to other hosts, one by one or all of a host."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, shown
from support.more_hosts import add_host
from support.tested_cloud import TestedCloud

from cumulet.administration.desk import Desk
from cumulet.administration.gate import done_here
from cumulet.lib.errors import Failure
from cumulet.model import attachment, capacity, instance, volume
from cumulet.model.database import Row

pytestmark = pytest.mark.parametrize("cloud", [{"tunnel_address": "192.0.2.1"}], indirect=True)


@pytest.fixture
def second(cloud: TestedCloud) -> None:
    add_host(cloud, "h2", tunnel_address="192.0.2.2")


def ordered(cloud: TestedCloud, action: str, **parameters: str) -> Any:
    """What the operator's order is answered; raises `Failure`."""
    return done_here(Desk(cloud.database, cloud.config), action, parameters)


def where(cloud: TestedCloud, id: str) -> tuple[str, list[str]]:
    """The host of an instance, and those of its disks."""
    with cloud.database.read() as tx:
        row = instance.find(tx, id)
        assert row is not None
        return row.host, [disk.host for disk in attachment.disks(tx, id)]


def volume_row(cloud: TestedCloud, id: str) -> Row:
    with cloud.database.read() as tx:
        row = volume.find(tx, id)
    assert row is not None
    return row


def counted(cloud: TestedCloud) -> dict[str, capacity.Amount]:
    """What is promised, which is what the rows say."""
    with cloud.database.read() as tx:
        found = capacity.counted(tx)
        assert {name: amount for name, amount in found.items() if amount != capacity.NOTHING} == capacity.promised(tx)
    return found


def other(host: str) -> str:
    return "h2" if host == "h1" else "h1"


def test_a_running_instance_moves_with_its_disks_and_addresses(cloud: Any, ec2: Any, second: None) -> None:
    id = launched(cloud, ec2)
    before, (host, _) = shown(ec2, id), where(cloud, id)
    to = other(host)
    assert ordered(cloud, "MigrateInstance", id=id) == {"id": id, "from": host, "to": to}
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
    cloud.settle()
    left = ordered(cloud, "GetHostContents", name="h1")
    assert left == {"instances": [], "volumes": [], "snapshots": []}
    assert {where(cloud, id)[0] for id in ids} == {"h2"}
    assert {shown(ec2, id)["State"]["Name"] for id in ids} == {"running"}
    assert {volume_row(cloud, id).host for id in volumes} == {"h2"}
    assert counted(cloud)["h1"] == capacity.NOTHING
    assert "1 disabled" in refused(cloud, "MigrateInstance", id=ids[0])


def refused(cloud: TestedCloud, act: str, **body: str) -> str:
    with pytest.raises(Failure) as raised:
        ordered(cloud, act, **body)
    return str(raised.value)


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
