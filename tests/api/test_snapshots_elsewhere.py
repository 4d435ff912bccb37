"""What is made of a snapshot on another host than its own: of a replica there, which is made once and goes unused."""

from __future__ import annotations

from typing import Any

import pytest
from support.commands import command
from support.launching import launched, one_of, shown
from support.more_hosts import add_host
from support.moves import counted, ordered
from support.tested_cloud import TestedCloud
from support.two_zones import THERE, TwoZones

from cumulet.model import attachment, snapshot, volume
from cumulet.model.database import Row

LONG = 180.0
A_SWEEP = 31.0
REACHED = {"tunnel_address": "192.0.2.1", "image_copy_hours": LONG / 3600}

pytestmark = pytest.mark.parametrize("cloud", [REACHED], indirect=True)


class Two(TwoZones):
    """What is of snapshots on them."""

    def replicas(self) -> list[Row]:
        with self.cloud.database.read() as tx:
            rows = tx.all(snapshot.snapshot.select())
        return [row for row in rows if row.replica_of is not None]

    def hidden(self) -> list[str]:
        with self.cloud.database.read() as tx:
            return [row.id for row in tx.all(volume.volume.select()) if row.account == volume.HIDDEN]

    def at_rest(self) -> None:
        """Each host has what the rows say, and no more; nothing is promised that is not used."""
        counted(self.cloud)
        assert self.hidden() == []
        assert self.own.names("volume_export") == self.world.names("volume_export") == []
        with self.cloud.database.read() as tx:
            for host, world in (("h1", self.own), ("h2", self.world)):
                disks = {row.id for row in tx.all(volume.volume.select()) if row.host == host}
                kept = {row.id for row in tx.all(snapshot.snapshot.select()) if row.host == host}
                assert (disks, kept) == (set(world.names("volume")), set(world.names("snapshot")))


@pytest.fixture
def two(cloud: TestedCloud) -> Two:
    return Two(cloud, tunnel_address="192.0.2.2")


def taken(two: Two, ec2: Any, **more: Any) -> str:
    """A snapshot of a volume of 2 GiB on the first host."""
    id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=2, **more)["VolumeId"]
    two.cloud.settle()
    made = str(ec2.create_snapshot(VolumeId=id)["SnapshotId"])
    two.cloud.settle()
    return made


def imaged(two: Two, ec2: Any) -> str:
    """An image of an instance on the first host."""
    id = launched(two.cloud, ec2, Placement={"AvailabilityZone": "us-east-1a"})
    image = str(ec2.create_image(InstanceId=id, Name="golden")["ImageId"])
    two.cloud.settle()
    two.pass_time(3.0)
    return image


def host_of(two: Two, instance: str) -> str:
    with two.cloud.database.read() as tx:
        (disk,) = attachment.disks(tx, instance)
    return str(disk.host)


def test_an_image_of_an_instance_runs_on_another_host_and_is_copied_there_once(two: Two, ec2: Any) -> None:
    image = imaged(two, ec2)
    wanted = one_of(two.cloud, **THERE) | {"ImageId": image, "MinCount": 3, "MaxCount": 3}
    ids = [one["InstanceId"] for one in ec2.run_instances(**wanted)["Instances"]]
    two.cloud.settle()
    two.pass_time(5.0)
    assert {shown(ec2, id)["State"]["Name"] for id in ids} == {"running"}
    assert {host_of(two, id) for id in ids} == {"h2"}
    (replica,) = two.replicas()
    assert (replica.host, replica.state) == ("h2", "completed")
    assert two.world.names("snapshot") == [replica.id]
    two.at_rest()
    assert len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == 1
    again = launched(two.cloud, ec2, ImageId=image, **THERE)
    assert shown(ec2, again)["State"]["Name"] == "running"
    assert [row.id for row in two.replicas()] == [replica.id]


def test_a_launch_goes_to_where_its_snapshots_are_if_there_is_room(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    id = launched(cloud, ec2)
    image = ec2.create_image(InstanceId=id, Name="golden")["ImageId"]
    cloud.settle()
    with cloud.database.read() as tx:
        (home,) = {row.host for row in tx.all(snapshot.snapshot.select())}
    beside = launched(cloud, ec2, ImageId=image)
    with cloud.database.read() as tx:
        assert attachment.disks(tx, beside)[0].host == home
    assert "the snapshots of its disks are here" in command(cloud)("placement", "why", beside).output


def test_a_volume_is_made_of_a_snapshot_in_another_zone(two: Two, ec2: Any) -> None:
    id = taken(two, ec2)
    made = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id, Size=3)["VolumeId"]
    two.cloud.settle()
    two.pass_time(5.0)
    (shown_,) = ec2.describe_volumes(VolumeIds=[made])["Volumes"]
    assert (shown_["State"], shown_["SnapshotId"], shown_["AvailabilityZone"]) == ("available", id, "us-east-1b")
    assert made in two.world.names("volume")
    two.at_rest()


def test_encrypted_ones_go_to_other_hosts_too(two: Two, ec2: Any) -> None:
    id = taken(two, ec2, Encrypted=True)
    made = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)["VolumeId"]
    two.pass_time(5.0)
    two.pass_time(5.0)
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"
    keys = {(two.world.get("volume", made) or {})["key"], (two.own.get("snapshot", id) or {})["key"]}
    assert len(keys) == 1


def test_its_replicas_go_with_a_snapshot_and_what_was_made_of_them_stays(two: Two, ec2: Any) -> None:
    id = taken(two, ec2)
    made = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)["VolumeId"]
    ec2.delete_snapshot(SnapshotId=id)
    two.pass_time(5.0, times=8)
    two.pass_time(5.0, times=8)
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"
    assert (two.own.names("snapshot"), two.world.names("snapshot"), two.replicas()) == ([], [], [])
    two.at_rest()


def test_a_replica_of_which_nothing_is_made_for_long_goes(two: Two, ec2: Any) -> None:
    id = taken(two, ec2)
    ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)
    two.pass_time(5.0)
    assert two.world.names("snapshot")
    two.pass_time(LONG)
    two.pass_time(A_SWEEP)
    assert (two.world.names("snapshot"), two.replicas()) == ([], [])
    assert two.own.names("snapshot") == [id]
    two.at_rest()


def test_a_replica_that_was_lost_is_made_anew(two: Two, ec2: Any) -> None:
    id = taken(two, ec2)
    ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)
    two.pass_time(5.0)
    (lost,) = two.replicas()
    two.world.remove("snapshot", lost.id)
    made = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)["VolumeId"]
    for _ in range(4):
        two.pass_time(5.0)
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"
    (anew,) = two.replicas()
    assert anew.id != lost.id
    two.at_rest()


def test_where_it_cannot_be_copied_the_volume_is_in_error_with_the_reason(two: Two, ec2: Any) -> None:
    id = taken(two, ec2)
    two.own.remove("snapshot", id)
    made = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)["VolumeId"]
    for _ in range(3):
        two.pass_time(5.0)
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "error"
    said = " ".join(command(two.cloud)("explain", made).output.split())
    assert f"{id} cannot be copied to h2: the snapshot {id} has been lost" in said
    assert (two.replicas(), two.hidden(), two.world.names("volume")) == ([], [], [])
    counted(two.cloud)


def test_a_drained_host_keeps_no_replicas_and_one_that_is_removed_is_forgotten(two: Two, ec2: Any) -> None:
    id = taken(two, ec2)
    made = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=id)["VolumeId"]
    two.pass_time(5.0)
    ec2.delete_volume(VolumeId=made)
    ordered(two.cloud, "DrainHost", name="h2")
    two.pass_time(5.0)
    assert (two.world.names("snapshot"), two.replicas()) == ([], [])
    assert ordered(two.cloud, "GetHostContents", name="h2")["snapshots"] == []
