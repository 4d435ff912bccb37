"""The file of an image that was deregistered: kept while anything stands on it, and gone after that."""

from __future__ import annotations

from typing import Any

import pytest
from support.commands import command
from support.launching import launched, shown, volume_of
from support.refusals import code
from support.tested_cloud import TestedCloud

from cumulet.drivers.fake_world import FakeWorld
from cumulet.model import image, image_use, instance

LOCATION = "cumulet/tiny"
LONG_ENOUGH = image_use.GRACE_SECONDS + 1
A_SWEEP = 61.0


def files(cloud: TestedCloud) -> list[str]:
    """What the store has; the rows say the same."""
    found = FakeWorld(cloud.config.state_dir / "world").names("image")
    with cloud.database.read() as tx:
        assert [id for id in found if image.file(tx, id) is None] == []
    return found


def wait(cloud: TestedCloud) -> None:
    """Until everything has been swept, and what nobody needs has gone."""
    cloud.settle()
    for seconds in (A_SWEEP, LONG_ENOUGH, 1.0):
        cloud.pass_time(seconds)


def test_the_file_goes_with_the_last_image_of_it(cloud: Any, ec2: Any) -> None:
    second = ec2.register_image(Name="second", ImageLocation=LOCATION)["ImageId"]
    ec2.deregister_image(ImageId=cloud.image)
    wait(cloud)
    assert len(files(cloud)) == 1
    assert command(cloud)("image", "remove", second).exit_code == 0
    cloud.settle()
    assert len(files(cloud)) == 1, "not at once: it can be registered again"
    third = ec2.register_image(Name="third", ImageLocation=LOCATION)["ImageId"]
    wait(cloud)
    assert launched(cloud, ec2, ImageId=third)
    ec2.terminate_instances(InstanceIds=[launched(cloud, ec2, ImageId=third)])
    ec2.deregister_image(ImageId=third)
    wait(cloud)
    assert len(files(cloud)) == 1, "an instance runs of it"


def test_it_is_gone_after_that_and_is_said_not_to_be_there(cloud: Any, ec2: Any) -> None:
    ec2.deregister_image(ImageId=cloud.image)
    cloud.settle()
    cloud.pass_time(LONG_ENOUGH)
    assert files(cloud) == []
    with cloud.database.read() as tx:
        assert image.file_at(tx, cloud.admin.id, LOCATION) is None
    assert code(ec2.register_image, Name="late", ImageLocation=LOCATION) == "InvalidManifest"


def test_it_is_kept_for_disks_snapshots_and_what_is_made_from_those(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    root = volume_of(ec2, guest)["VolumeId"]
    taken = ec2.create_snapshot(VolumeId=root)["SnapshotId"]
    cloud.settle()
    copy = ec2.copy_snapshot(SourceSnapshotId=taken, SourceRegion=cloud.config.region)["SnapshotId"]
    cloud.settle()
    made = ec2.create_volume(SnapshotId=copy, AvailabilityZone="us-east-1a")["VolumeId"]
    cloud.settle()
    again = ec2.create_snapshot(VolumeId=made)["SnapshotId"]
    cloud.settle()
    ec2.deregister_image(ImageId=cloud.image)
    for act, values in (
        (ec2.terminate_instances, {"InstanceIds": [guest]}),
        (ec2.delete_snapshot, {"SnapshotId": taken}),
        (ec2.delete_snapshot, {"SnapshotId": copy}),
        (ec2.delete_volume, {"VolumeId": made}),
    ):
        wait(cloud)
        assert len(files(cloud)) == 1, f"before {act.__name__}"
        act(**values)
    wait(cloud)
    assert len(files(cloud)) == 1, "the last snapshot is of a volume of a copy of a snapshot of a volume of the image"
    ec2.delete_snapshot(SnapshotId=again)
    wait(cloud)
    assert files(cloud) == []


def test_an_image_of_a_guest_needs_the_file_below_its_snapshot(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    made = ec2.create_image(InstanceId=guest, Name="kept")["ImageId"]
    cloud.settle()
    ec2.terminate_instances(InstanceIds=[guest])
    ec2.deregister_image(ImageId=cloud.image)
    wait(cloud)
    assert len(files(cloud)) == 1
    second = launched(cloud, ec2, ImageId=made)
    ec2.deregister_image(ImageId=made, DeleteAssociatedSnapshots=True)
    wait(cloud)
    assert (len(files(cloud)), shown(ec2, second)["State"]["Name"]) == (1, "running")
    ec2.terminate_instances(InstanceIds=[second])
    wait(cloud)
    assert files(cloud) == []


@pytest.mark.parametrize("column", ["kernel_file", "ramdisk_file"])
def test_a_guest_that_boots_with_a_kernel_of_its_own_needs_that(cloud: Any, ec2: Any, column: str) -> None:
    guest = launched(cloud, ec2)
    with cloud.database.write() as tx:
        values = {"name": "k", "location": "admin/k", "source": "/", "declared": "aki", "kind": "kernel"}
        id, file = image.take_in(tx, {**values, "account": cloud.admin.id})
        tx.change(instance.instance.update().values(**{column: file}))
    cloud.settle()
    ec2.deregister_image(ImageId=id)
    wait(cloud)
    assert file in files(cloud)
    ec2.terminate_instances(InstanceIds=[guest])
    wait(cloud)
    assert file not in files(cloud)
