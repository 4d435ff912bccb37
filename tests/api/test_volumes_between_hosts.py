"""Volumes on another host than their instance: attached by an export, taken from a host that is silent, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, shown
from support.more_hosts import add_host
from support.refusals import code, message
from support.tested_cloud import TestedCloud

from cumulet.administration.desk import Nothing
from cumulet.administration.storage import volumes
from cumulet.drivers.fake_world import FakeWorld
from cumulet.model import attachment, host
from cumulet.model.database import Row
from cumulet.model.explanation import explain

pytestmark = pytest.mark.parametrize("cloud", [{"tunnel_address": "192.0.2.1"}], indirect=True)


def apart(cloud: TestedCloud, ec2: Any, **settings: Any) -> tuple[str, str]:
    """An instance on one host, and a volume on another one."""
    add_host(cloud, "h2", **settings)
    guest = launched(cloud, ec2)
    id = str(ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"])
    cloud.settle()
    with cloud.database.read() as tx:
        row = attachment.find_volume(tx, id)
        assert row is not None
        assert row.host != attachment.disks(tx, guest)[0].host
    return guest, id


def held(cloud: TestedCloud, id: str) -> Row:
    with cloud.database.read() as tx:
        row = attachment.find_volume(tx, id)
    assert row is not None
    return row


def exports(cloud: TestedCloud, id: str) -> list[str]:
    """What the volume's host exports."""
    return [seen.id for seen in cloud.cloud.remote("volume", held(cloud, id).host).observe() if "attach" in seen.id]


def size_on_host(cloud: TestedCloud, id: str) -> int:
    """GiB of the volume in the world of its host, which is not the guest's."""
    home = cloud.config.state_dir
    places = [home / "world", *(home / "hosts").glob("*/world")]
    (found,) = [world for world in map(FakeWorld, places) if world.get("volume", id) is not None]
    return int((found.get("volume", id) or {})["size_gib"])


def test_a_volume_is_attached_to_an_instance_on_another_host(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert [one["DeviceName"] for one in shown(ec2, guest)["BlockDeviceMappings"]] == ["/dev/sda1", "/dev/sdf"]
    assert exports(cloud, id) == [held(cloud, id).attachment]
    with cloud.database.read() as tx:
        assert {one["id"]: one["exported"] for one in volumes(tx, cloud.config, Nothing())}[id] is True
    ec2.detach_volume(VolumeId=id)
    cloud.settle()
    assert ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["State"] == "available"
    assert exports(cloud, id) == []


def test_a_host_of_volumes_alone_is_reached_by_those_of_guests(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2", roles=["volume"], bus_url="amqp:")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert held(cloud, id).host == "h2"
    assert exports(cloud, id) == [held(cloud, id).attachment]


def test_it_is_exported_only_while_the_instance_runs(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    assert exports(cloud, id) == []
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert exports(cloud, id) == [held(cloud, id).attachment]
    ec2.terminate_instances(InstanceIds=[guest])
    cloud.settle()
    assert exports(cloud, id) == []
    assert held(cloud, id).attachment is None


def test_a_volume_grows_while_a_guest_on_another_host_has_it(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    ec2.modify_volume(VolumeId=id, Size=3)
    cloud.settle()
    assert size_on_host(cloud, id) == 3
    (change,) = ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    assert (change["ModificationState"], change["Progress"]) == ("completed", 100)


def test_a_volume_whose_host_is_silent_grows_when_it_is_back(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    keeper = held(cloud, id).host
    cloud.cloud.bus.leave(f"volume.{keeper}")
    ec2.modify_volume(VolumeId=id, Size=3)
    cloud.settle()
    (change,) = ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    assert (change["ModificationState"], held(cloud, id).made_gib) == ("modifying", 1)
    assert "StatusMessage" not in change
    cloud.clock.ahead += 20
    (change,) = ec2.describe_volumes_modifications(VolumeIds=[id])["VolumesModifications"]
    assert "does not answer" in change["StatusMessage"]


def test_force_takes_a_volume_from_a_guest_whose_host_is_silent(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    with cloud.database.read() as tx:
        topic = f"compute.{attachment.disks(tx, guest)[0].host}"
    cloud.cloud.bus.leave(topic)
    ec2.detach_volume(VolumeId=id)
    cloud.settle()
    assert held(cloud, id).attach_state == "detaching"
    cloud.clock.ahead += 20
    ec2.detach_volume(VolumeId=id, Force=True)
    cloud.settle()
    assert exports(cloud, id) == []
    assert ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["State"] == "available"


def test_who_waits_for_the_host_of_a_volume_is_told(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    keeper = held(cloud, id).host
    assert [one["VolumeStatus"]["Status"] for one in ec2.describe_volume_status()["VolumeStatuses"]] == ["ok", "ok"]
    cloud.clock.ahead += 20
    with cloud.database.write() as tx:
        tx.change(host.service.update().where(host.service.c.host != keeper).values(heard=tx.now))
    found = {one["VolumeId"]: one for one in ec2.describe_volume_status()["VolumeStatuses"]}
    other = next(one for one in found if one != id)
    assert (found[other]["VolumeStatus"]["Status"], found[id]["VolumeStatus"]["Status"]) == ("ok", "impaired")
    assert found[id]["VolumeStatus"]["Details"][1] == {"Name": "io-performance", "Status": "stalled"}
    (event,) = found[id]["Events"]
    assert (event["EventType"], event["InstanceId"]) == ("io-performance:stalled", guest)
    wanted = [{"Name": "volume-status.details-status", "Values": ["stalled"]}]
    assert [one["VolumeId"] for one in ec2.describe_volume_status(Filters=wanted)["VolumeStatuses"]] == [id]
    (status,) = ec2.describe_instance_status()["InstanceStatuses"]
    assert (status["InstanceStatus"]["Status"], status["AttachedEbsStatus"]["Status"]) == ("ok", "impaired")
    with cloud.database.read() as tx:
        for one in (id, guest):
            assert explain(tx, one)["reason"].startswith(f"{id} is on {keeper}, and {guest} on ")
    with cloud.database.write() as tx:
        tx.change(host.service.update().values(heard=tx.now))
    assert [one["VolumeStatus"]["Status"] for one in ec2.describe_volume_status()["VolumeStatuses"]] == ["ok", "ok"]
    with cloud.database.read() as tx:
        assert [explain(tx, one)["reason"] for one in (id, guest)] == ["", ""]


def test_hosts_that_do_not_reach_each_other_are_named(cloud: Any, ec2: Any) -> None:
    guest, id = apart(cloud, ec2, tunnel_address="")
    assert code(ec2.attach_volume, VolumeId=id, InstanceId=guest, Device="/dev/sdf") == "UnsupportedOperation"
    said = message(ec2.attach_volume, VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    assert "h2 needs the setting tunnel_address" in said
