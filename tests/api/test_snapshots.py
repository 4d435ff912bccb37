"""Snapshots: taken of free volumes and of those in use, made into volumes, described and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, volume_of
from support.refusals import code

from cumulet.drivers.fake_world import FakeWorld

ZONE = "us-east-1a"


def volume(cloud: Any, ec2: Any, **more: Any) -> str:
    id = str(ec2.create_volume(**{"AvailabilityZone": ZONE, "Size": 2, **more})["VolumeId"])
    cloud.settle()
    return id


def taken(cloud: Any, ec2: Any, **more: Any) -> str:
    """The id of a completed snapshot of a new volume."""
    id = str(ec2.create_snapshot(VolumeId=volume(cloud, ec2), **more)["SnapshotId"])
    cloud.settle()
    return id


def test_a_snapshot_is_pending_and_then_completed(cloud: Any, ec2: Any) -> None:
    source = volume(cloud, ec2)
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "first"}]}]
    made = ec2.create_snapshot(VolumeId=source, Description='Ann\'s "nightly"', TagSpecifications=tags)
    assert (made["State"], made["VolumeId"], made["VolumeSize"]) == ("pending", source, 2)
    assert (made["OwnerId"], made["Description"], made["Encrypted"]) == (cloud.admin.id, 'Ann\'s "nightly"', False)
    assert made["Tags"] == [{"Key": "Name", "Value": "first"}]
    assert code(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=made["SnapshotId"]) == "IncorrectState"
    cloud.settle()
    (found,) = ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])["Snapshots"]
    assert (found["State"], found["Progress"], found["StartTime"]) == ("completed", "100%", made["StartTime"])
    assert found["CompletionTime"] >= found["StartTime"]
    assert "TransferType" not in found


def test_a_volume_in_a_running_or_a_stopped_guest_is_taken_too(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    root = volume_of(ec2, guest)["VolumeId"]
    ec2.create_snapshot(VolumeId=root)
    cloud.settle()
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    ec2.create_snapshot(VolumeId=root)
    cloud.settle()
    ec2.create_snapshot(VolumeId=root)
    cloud.pass_time(3)
    assert [one["State"] for one in ec2.describe_snapshots()["Snapshots"]] == ["completed"] * 3


def test_a_volume_is_made_from_a_snapshot_and_outlives_it(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    same = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=id)
    larger = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=id, Size=5)
    assert (same["Size"], larger["Size"], same["SnapshotId"]) == (2, 5, id)
    assert code(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=id, Size=1) == "InvalidParameterValue"
    cloud.settle()
    ec2.delete_snapshot(SnapshotId=id)
    assert code(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=id) == "InvalidSnapshot.NotFound"
    cloud.settle()
    assert ec2.describe_snapshots()["Snapshots"] == []
    made = [same["VolumeId"], larger["VolumeId"]]
    assert [one["State"] for one in ec2.describe_volumes(VolumeIds=made)["Volumes"]] == ["available"] * 2


def test_a_snapshot_that_is_deleted_while_it_is_made_goes_when_it_is_complete(cloud: Any, ec2: Any) -> None:
    disk = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    cloud.settle()
    id = ec2.create_snapshot(VolumeId=disk)["SnapshotId"]
    assert [one["State"] for one in ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"]] == ["pending"]
    ec2.delete_snapshot(SnapshotId=id)
    assert code(ec2.describe_snapshots, SnapshotIds=[id]) == "InvalidSnapshot.NotFound"
    cloud.settle()
    ec2.delete_volume(VolumeId=disk)
    cloud.settle()
    world = FakeWorld(cloud.config.state_dir / "world")
    assert (world.names("snapshot"), world.names("volume")) == ([], [])


def test_a_snapshot_outlives_its_volume(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    (source,) = ec2.describe_volumes()["Volumes"]
    ec2.delete_volume(VolumeId=source["VolumeId"])
    cloud.settle()
    assert ec2.describe_volumes()["Volumes"] == []
    ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=id)
    cloud.settle()
    assert ec2.describe_volumes()["Volumes"][0]["State"] == "available"


def test_a_snapshot_that_is_lost_is_in_error_and_not_taken_anew(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    cloud.cloud.parts["volume"].driver.remove(id)
    cloud.pass_time(61)
    (found,) = ec2.describe_snapshots()["Snapshots"]
    assert (found["State"], "lost" in found["StateMessage"]) == ("error", True)
    ec2.delete_snapshot(SnapshotId=id)
    cloud.settle()
    assert ec2.describe_snapshots()["Snapshots"] == []


def test_a_snapshot_that_is_lost_is_not_taken_anew_though_the_order_to_take_it_comes_again_late(
    cloud: Any, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, orders = cloud.cloud.bus, []

    def call(topic: str, message: bytes, timeout: float = 30.0, pass_on: Any = bus.call) -> bytes:
        orders.append(message)
        return bytes(pass_on(topic, message, timeout))

    monkeypatch.setattr(bus, "call", call)
    id = taken(cloud, ec2)
    (first,) = [one for one in orders if b'"ensure"' in one and id.encode() in one and b'"volume":"vol-' in one]
    cloud.cloud.parts["volume"].driver.remove(id)
    assert b'"superseded"' in bus.call("volume.h1", first)
    assert cloud.cloud.host.agents["volume"].recover() == [id], "what it has been told is that it was complete"
    assert FakeWorld(cloud.config.state_dir / "world").names("snapshot") == []


def test_a_volume_of_a_snapshot_that_is_lost_ends_in_error_with_the_reason(cloud: Any, ec2: Any) -> None:
    id = taken(cloud, ec2)
    cloud.cloud.parts["volume"].driver.remove(id)
    made = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=id)["VolumeId"]
    cloud.settle()
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "error"
    (status,) = ec2.describe_volume_status(VolumeIds=[made])["VolumeStatuses"]
    assert status["VolumeStatus"]["Status"] == "impaired"
    assert f"the snapshot {id} has been lost" in status["Events"][0]["Description"]
    ec2.delete_volume(VolumeId=made)
    cloud.settle()
    assert made not in [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]]


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("status", "completed", 2),
        ("description", "one", 1),
        ("volume-size", "2", 2),
        ("tag:k", "v", 1),
        ("progress", "0%", 0),
    ],
)
def test_snapshots_are_found_by_filter(cloud: Any, ec2: Any, name: str, value: str, count: int) -> None:
    taken(cloud, ec2, Description="one")
    second = taken(cloud, ec2)
    ec2.create_tags(Resources=[second], Tags=[{"Key": "k", "Value": "v"}])
    found = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": name, "Values": [value]}])["Snapshots"]
    assert len(found) == count


def test_what_is_not_there_or_is_anothers_is_refused(cloud: Any, ec2: Any) -> None:
    id, absent = taken(cloud, ec2), "snap-0123456789abcdef0"
    other = cloud.account("other").client()
    for who, named in ((other, id), (ec2, absent)):
        assert code(who.delete_snapshot, SnapshotId=named) == "InvalidSnapshot.NotFound"
        assert code(who.describe_snapshots, SnapshotIds=[named]) == "InvalidSnapshot.NotFound"
        assert code(who.create_volume, AvailabilityZone=ZONE, SnapshotId=named) == "InvalidSnapshot.NotFound"
    assert other.describe_snapshots()["Snapshots"] == []
    assert code(ec2.delete_snapshot, SnapshotId="foo") == "InvalidParameterValue"
    assert code(ec2.create_snapshot, VolumeId="vol-0123456789abcdef0") == "InvalidVolume.NotFound"
    unmade = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert code(ec2.create_snapshot, VolumeId=unmade) == "IncorrectState"


@pytest.mark.parametrize("cloud", [{"quota_snapshots": 2}], indirect=True)
def test_an_account_has_so_many_snapshots(cloud: Any, ec2: Any) -> None:
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    first = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    cloud.settle()
    ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=first)
    cloud.settle()
    assert code(ec2.create_snapshot, VolumeId=volume) == "SnapshotLimitExceeded"
    assert code(ec2.copy_snapshot, SourceRegion="us-east-1", SourceSnapshotId=first) == "SnapshotLimitExceeded"
    quotas = cloud.client("service-quotas")
    assert quotas.get_service_quota(ServiceCode="ebs", QuotaCode="L-309BACF6")["Quota"]["Value"] == 2
    ec2.delete_snapshot(SnapshotId=first)
    assert ec2.create_snapshot(VolumeId=volume)["State"] == "pending"
