"""Snapshots of an instance's volumes, all of one moment."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched, volume_of
from support.refusals import code

from cumulet.lib.errors import Failure

TWO_MORE = [
    {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}},
    {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 3}},
]


def guest_with_disks(cloud: Any, ec2: Any) -> tuple[str, dict[str, str]]:
    """An instance with three volumes, and those by their devices."""
    id = launched(cloud, ec2, BlockDeviceMappings=TWO_MORE)
    disks = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [id]}])["Volumes"]
    return id, {disk["Attachments"][0]["Device"]: disk["VolumeId"] for disk in disks}


def taken(ec2: Any, id: str, **more: Any) -> list[dict[str, Any]]:
    specification = {"InstanceId": id, **more.pop("Instance", {})}
    return list(ec2.create_snapshots(InstanceSpecification=specification, **more)["Snapshots"])


def states(ec2: Any) -> list[str]:
    return [one["State"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]


def test_all_volumes_of_an_instance_are_taken(cloud: Any, ec2: Any) -> None:
    id, disks = guest_with_disks(cloud, ec2)
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "nightly"}]}]
    made = taken(ec2, id, Description="all", TagSpecifications=tags)
    assert {one["VolumeId"] for one in made} == set(disks.values())
    assert {(one["State"], one["Description"], one["Progress"]) for one in made} == {("pending", "all", "0%")}
    assert sorted(one["VolumeSize"] for one in made) == [1, 2, 3]
    assert all(one["Tags"] == tags[0]["Tags"] for one in made)
    cloud.settle()
    assert states(ec2) == ["completed"] * 3


def test_volumes_are_left_out(cloud: Any, ec2: Any) -> None:
    id, disks = guest_with_disks(cloud, ec2)
    (one,) = taken(ec2, id, Instance={"ExcludeBootVolume": True, "ExcludeDataVolumeIds": [disks["/dev/sdf"]]})
    assert one["VolumeId"] == disks["/dev/sdg"]
    wrong = {"InstanceId": id, "ExcludeDataVolumeIds": [disks["/dev/sda1"]]}
    assert code(ec2.create_snapshots, InstanceSpecification=wrong) == "InvalidParameterValue"
    none = {"InstanceId": id, "ExcludeBootVolume": True, "ExcludeDataVolumeIds": [disks["/dev/sdf"], disks["/dev/sdg"]]}
    assert code(ec2.create_snapshots, InstanceSpecification=none) == "InvalidParameterValue"


def test_the_volumes_tags_are_copied_and_those_of_the_request_win(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    root = volume_of(ec2, id)["VolumeId"]
    ec2.create_tags(Resources=[root], Tags=[{"Key": "a", "Value": "old"}, {"Key": "b", "Value": "kept"}])
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "new"}]}]
    (one,) = taken(ec2, id, CopyTagsFromSource="volume", TagSpecifications=tags)
    assert one["Tags"] == [{"Key": "a", "Value": "new"}, {"Key": "b", "Value": "kept"}]
    (found,) = ec2.describe_snapshots(SnapshotIds=[one["SnapshotId"]])["Snapshots"]
    assert sorted(found["Tags"], key=lambda tag: str(tag["Key"])) == one["Tags"]


def test_the_snapshots_of_a_stopped_guest_are_taken_and_it_starts_again(cloud: Any, ec2: Any) -> None:
    id, _ = guest_with_disks(cloud, ec2)
    ec2.stop_instances(InstanceIds=[id], Force=True)
    cloud.settle()
    taken(ec2, id)
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    assert states(ec2) == ["completed"] * 3


def test_nothing_is_ordered_of_a_guest_of_which_only_some_are_taken(
    cloud: Any, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, _ = guest_with_disks(cloud, ec2)
    hypervisor, volumes = (cloud.cloud.parts[role].driver for role in ("compute", "volume"))
    order, take = hypervisor.ensure, volumes.ensure
    there: list[int] = []
    """How many snapshots there were at each order to the guest's host."""

    def ordered(spec: Any) -> None:
        there.append(len([seen for seen in volumes.observe() if seen.id.startswith("snap-")]))
        order(spec)

    def taken_in_the_end(spec: Any) -> None:
        if spec.id == late and len(failed) < 2:
            failed.append(spec.id)
            raise Failure("not yet")
        take(spec)

    monkeypatch.setattr(hypervisor, "ensure", ordered)
    monkeypatch.setattr(volumes, "ensure", taken_in_the_end)
    late, failed = taken(ec2, id)[1]["SnapshotId"], list[str]()
    for _ in range(5):
        cloud.pass_time(3)
    assert len(failed) == 2
    assert (set(there), states(ec2)) == ({3}, ["completed"] * 3)


def test_a_guest_that_is_terminated_meanwhile_is_taken_all_the_same(cloud: Any, ec2: Any) -> None:
    id, _ = guest_with_disks(cloud, ec2)
    taken(ec2, id)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.pass_time(10)
    cloud.pass_time(10)
    assert states(ec2) == ["completed"] * 3
    assert len(ec2.describe_volumes()["Volumes"]) == 2, "the root disk is gone"
    assert code(ec2.create_snapshots, InstanceSpecification={"InstanceId": id}) == "IncorrectState"
