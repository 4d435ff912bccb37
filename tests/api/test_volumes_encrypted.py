"""Encrypted volumes: made, shown, and in instances; what is made of them; and nobody is told their keys."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched
from support.more_hosts import add_host
from support.refusals import code, message
from support.tested_cloud import TestedCloud

from cumulet.administration.desk import Nothing
from cumulet.administration.storage import volumes
from cumulet.control import moving
from cumulet.control.fleet import Fleet
from cumulet.model import attachment, host, image, instance, secret, snapshot, volume
from cumulet.model.explanation import explain

ZONE = "us-east-1a"
KEY = "arn:aws:kms:us-east-1:{account}:alias/aws/ebs"


def made(cloud: TestedCloud, ec2: Any, **more: Any) -> str:
    wanted = {"AvailabilityZone": ZONE, "Encrypted": True, **more}
    id = str(ec2.create_volume(**wanted if "SnapshotId" in more else {"Size": 1, **wanted})["VolumeId"])
    cloud.settle()
    return id


def taken(cloud: TestedCloud, ec2: Any, id: str) -> str:
    made = str(ec2.create_snapshot(VolumeId=id)["SnapshotId"])
    cloud.settle()
    return made


def shown(ec2: Any, id: str) -> dict[str, Any]:
    if id.startswith("snap-"):
        return dict(ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"][0])
    return dict(ec2.describe_volumes(VolumeIds=[id])["Volumes"][0])


def sealed_of(cloud: TestedCloud, id: str) -> str:
    with cloud.database.read() as tx:
        row = (snapshot if id.startswith("snap-") else volume).find(tx, id)
    assert row is not None
    return str(row.sealed)


def key_of(cloud: TestedCloud, id: str) -> str:
    """The key, which no log may have from now on."""
    sealed = sealed_of(cloud, id)
    key = cloud.database.keys.unseal(sealed).decode() if sealed else ""
    if key:
        cloud.watch.secrets.add(key)
    return key


def test_it_is_shown_as_encrypted_by_the_key_that_there_is(cloud: Any, ec2: Any) -> None:
    id, plain = made(cloud, ec2), made(cloud, ec2, Encrypted=False)
    mine = KEY.format(account=cloud.admin.id)
    found = shown(ec2, id)
    assert (found["State"], found["Encrypted"], found["KmsKeyId"]) == ("available", True, mine)
    assert not shown(ec2, plain)["Encrypted"]
    assert "KmsKeyId" not in shown(ec2, plain)
    wanted = [{"Name": "encrypted", "Values": ["true"]}]
    assert [one["VolumeId"] for one in ec2.describe_volumes(Filters=wanted)["Volumes"]] == [id]
    with cloud.database.read() as tx:
        listed = {one["id"]: one["encrypted"] for one in volumes(tx, cloud.config, Nothing())}
    assert listed == {id: True, plain: False}
    assert len(key_of(cloud, id)) == 44
    assert not key_of(cloud, plain)


def test_other_keys_are_refused(cloud: Any, ec2: Any) -> None:
    wanted = {"AvailabilityZone": ZONE, "Size": 1, "Encrypted": True}
    for right in ("alias/aws/ebs", KEY.format(account=cloud.admin.id)):
        assert ec2.create_volume(**wanted, KmsKeyId=right)["Encrypted"]
    wrong = {**wanted, "KmsKeyId": "alias/mine"}
    assert code(lambda: ec2.create_volume(**wrong)) == "InvalidParameterValue"
    assert "alias/aws/ebs" in message(lambda: ec2.create_volume(**wrong))
    alone = {"AvailabilityZone": ZONE, "Size": 1, "KmsKeyId": "alias/aws/ebs"}
    assert code(lambda: ec2.create_volume(**alone)) == "InvalidParameterDependency"


def test_snapshots_their_copies_and_volumes_from_them_have_the_same_key(cloud: Any, ec2: Any) -> None:
    id = made(cloud, ec2)
    first = taken(cloud, ec2, id)
    wanted = {"SourceRegion": "us-east-1", "SourceSnapshotId": first}
    second = str(ec2.copy_snapshot(**wanted)["SnapshotId"])
    cloud.settle()
    third = made(cloud, ec2, SnapshotId=second, Encrypted=False)
    assert {key_of(cloud, one) for one in (id, first, second, third)} == {key_of(cloud, id)}
    assert all(shown(ec2, one)["Encrypted"] for one in (first, second, third))
    assert shown(ec2, third)["State"] == "available"
    other = cloud.account("other").id
    opened = {"SnapshotId": first, "OperationType": "add", "UserIds": [other]}
    assert code(lambda: ec2.modify_snapshot_attribute(**opened)) == "InvalidParameter"


def test_of_a_snapshot_that_is_not_encrypted_a_volume_can_be(cloud: Any, ec2: Any) -> None:
    plain = taken(cloud, ec2, made(cloud, ec2, Encrypted=False))
    id = made(cloud, ec2, SnapshotId=plain)
    assert (shown(ec2, id)["State"], shown(ec2, id)["Encrypted"]) == ("available", True)
    copy = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=plain, Encrypted=True)["SnapshotId"]
    cloud.settle()
    assert (shown(ec2, copy)["State"], shown(ec2, copy)["Encrypted"]) == ("completed", True)
    assert key_of(cloud, copy) != key_of(cloud, id)
    assert key_of(cloud, made(cloud, ec2, SnapshotId=copy)) == key_of(cloud, copy)
    cannot(cloud, "h1")
    wanted = {"SourceRegion": "us-east-1", "SourceSnapshotId": plain, "Encrypted": True}
    assert code(lambda: ec2.copy_snapshot(**wanted)) == "UnsupportedOperation"


def test_an_instance_has_it_also_after_a_stop_and_no_document_has_its_key(cloud: Any, ec2: Any) -> None:
    guest, id = launched(cloud, ec2), made(cloud, ec2)
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert shown(ec2, id)["Attachments"][0]["State"] == "attached"
    kept = [path.read_text() for path in (cloud.config.state_dir / "agents").rglob("*.json")]
    assert any(id in text and "withheld" in text for text in kept)
    assert not any(key_of(cloud, id) in text for text in kept)
    ec2.stop_instances(InstanceIds=[guest])
    cloud.settle()
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert ec2.describe_instance_status(InstanceIds=[guest])["InstanceStatuses"]
    taken(cloud, ec2, id)
    ec2.detach_volume(VolumeId=id)
    cloud.settle()
    assert shown(ec2, id)["State"] == "available"


def test_a_new_key_of_the_cloud_seals_it_again(cloud: Any, ec2: Any) -> None:
    id = made(cloud, ec2)
    first = taken(cloud, ec2, id)
    before, sealed = key_of(cloud, id), sealed_of(cloud, id)
    with cloud.database.write() as tx:
        secret.seal_again(tx)
    assert sealed not in (sealed_of(cloud, id), sealed_of(cloud, first))
    assert key_of(cloud, id) == key_of(cloud, first) == before


@pytest.mark.parametrize("cloud", [{"tunnel_address": "192.0.2.1"}], indirect=True)
@pytest.mark.parametrize("how", ["live", "cold"])
def test_it_moves_with_its_guest_to_a_host_that_knows_its_key_and_keeps_it_nowhere(
    cloud: Any, ec2: Any, how: moving.How
) -> None:
    guest = launched(cloud, ec2, BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}])
    id = made(cloud, ec2)
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    with cloud.database.write() as tx:
        fleet = Fleet(cloud.config)
        fleet.learn(tx)
        assert moving.ask(tx, cloud.config, fleet, guest, how=how)["live"] == (how == "live")
    for _ in range(6):
        cloud.pass_time(1)
    with cloud.database.read() as tx:
        row = instance.find(tx, guest)
        assert row is not None
        assert (row.host, row.state) == ("h2", "running")
        assert {disk.host for disk in attachment.disks(tx, guest)} == {"h2"}
    assert shown(ec2, id)["Attachments"][0]["State"] == "attached"
    kept = [path.read_text() for path in cloud.config.state_dir.rglob("agents/**/*.json")]
    assert any(id in text and "withheld" in text for text in kept)
    assert not any(key_of(cloud, one) in text for one in volumes_of(ec2, guest).values() for text in kept)


def cannot(cloud: TestedCloud, name: str) -> None:
    """The host says that it cannot keep encrypted volumes."""
    with cloud.database.write() as tx:
        row = host.find(tx, name)
        assert row is not None
        facts = {name: said for name, said in row.facts.items() if name != "encrypts"}
        host.describe(tx, name, {"facts": facts})


@pytest.mark.parametrize("cloud", [{"tunnel_address": "192.0.2.1"}], indirect=True)
def test_a_host_that_is_drained_gives_it_to_one_that_can_keep_it(cloud: Any, ec2: Any) -> None:
    id = made(cloud, ec2)
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    cannot(cloud, "h2")
    with cloud.database.write() as tx:
        assert "can keep it encrypted" in moving.drain(tx, cloud.config, "h1")["stays"][id]
    add_host(cloud, "h3", tunnel_address="192.0.2.3")
    with cloud.database.write() as tx:
        assert moving.drain(tx, cloud.config, "h1")["moved"] == [{"id": id, "from": "h1", "to": "h3"}]
    cloud.settle()
    with cloud.database.read() as tx:
        row = attachment.find_volume(tx, id)
    assert row is not None
    assert (row.host, row.moved_from) == ("h3", "")


def test_where_no_host_can_keep_it_that_is_said(cloud: Any, ec2: Any) -> None:
    cannot(cloud, "h1")
    wanted = {"AvailabilityZone": ZONE, "Size": 1, "Encrypted": True}
    assert code(lambda: ec2.create_volume(**wanted)) == "UnsupportedOperation"
    assert "an earlier version" in message(lambda: ec2.create_volume(**wanted))


def mapped(size: int = 1, **ebs: Any) -> list[dict[str, Any]]:
    return [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": size, **ebs}}]


def volumes_of(ec2: Any, guest: str) -> dict[str, str]:
    """Those of an instance, by device."""
    disks = ec2.describe_instances(InstanceIds=[guest])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    return {disk["DeviceName"]: disk["Ebs"]["VolumeId"] for disk in disks}


def test_what_is_launched_with_an_instance_is_encrypted_where_that_is_asked_for(cloud: Any, ec2: Any) -> None:
    root = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True, "KmsKeyId": "alias/aws/ebs"}}
    guest = launched(cloud, ec2, BlockDeviceMappings=[root, *mapped()])
    found = volumes_of(ec2, guest)
    assert shown(ec2, found["/dev/sda1"])["Encrypted"]
    assert not shown(ec2, found["/dev/sdf"])["Encrypted"]
    snapshot = taken(cloud, ec2, found["/dev/sda1"])
    other = volumes_of(ec2, launched(cloud, ec2, BlockDeviceMappings=mapped(SnapshotId=snapshot, Encrypted=False)))
    assert shown(ec2, other["/dev/sdf"])["Encrypted"]
    assert key_of(cloud, other["/dev/sdf"]) == key_of(cloud, found["/dev/sda1"])
    wrong = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1}
    mappings = mapped(Encrypted=True, KmsKeyId="alias/mine")
    assert code(lambda: ec2.run_instances(**wrong, BlockDeviceMappings=mappings)) == "InvalidParameterValue"


def test_a_guest_that_waits_for_its_key_after_a_restart_of_its_host_says_so(cloud: Any, ec2: Any) -> None:
    root = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}
    guest, plain = launched(cloud, ec2, BlockDeviceMappings=[root]), launched(cloud, ec2)
    (volume,) = volumes_of(ec2, guest).values()
    host, agents = cloud.cloud.host, cloud.cloud.host.agents

    def begins() -> dict[str, str]:
        """What is said of the two guests when the agents have begun again by themselves."""
        for agent in [*agents.values()] * 2:
            agent.recover()
        host.heartbeat.beat()
        with cloud.database.read() as tx:
            return {id: str(explain(tx, id)["reason"]) for id in (guest, plain)}

    assert begins() == {guest: "", plain: ""}
    agents["compute"].driver._world.reboot()
    said = begins()
    assert said[plain] == ""
    assert said[guest] == (
        f"h1 was started again, and keeps no keys: the guest starts when a scheduler orders it with the key of {volume}"
    )
    cloud.settle()
    assert agents["compute"].driver.look(guest).state == "running"
    assert begins() == {guest: "", plain: ""}


def test_an_image_of_an_encrypted_instance_is_encrypted_and_not_shared(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2, BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}])
    image = ec2.create_image(InstanceId=guest, Name="made")["ImageId"]
    cloud.settle()
    wanted = [{"Name": "block-device-mapping.encrypted", "Values": ["true"]}]
    assert [one["ImageId"] for one in ec2.describe_images(Filters=wanted)["Images"]] == [image]
    opened = {"Add": [{"UserId": cloud.account("other").id}]}
    assert code(lambda: ec2.modify_image_attribute(ImageId=image, LaunchPermission=opened)) == "InvalidParameter"
    copy = ec2.copy_image(Name="copy", SourceImageId=image, SourceRegion="us-east-1")["ImageId"]
    cloud.settle()
    again = volumes_of(ec2, launched(cloud, ec2, ImageId=copy))
    assert key_of(cloud, again["/dev/sda1"]) == key_of(cloud, volumes_of(ec2, guest)["/dev/sda1"])
    plain = ec2.create_image(InstanceId=launched(cloud, ec2), Name="plain")["ImageId"]
    cloud.settle()
    copy = ec2.copy_image(Name="again", SourceImageId=plain, SourceRegion="us-east-1", Encrypted=True)["ImageId"]
    cloud.settle()
    assert {one["ImageId"] for one in ec2.describe_images(Filters=wanted)["Images"]} >= {copy}
    asked = {"InstanceId": guest, "Name": "more", "BlockDeviceMappings": mapped(Encrypted=True)}
    assert code(lambda: ec2.create_image(**asked)) == "UnsupportedOperation"


def test_an_encrypted_copy_of_an_image_that_is_a_file_is_one_of_snapshots(cloud: Any, ec2: Any) -> None:
    asked = {"SourceImageId": cloud.image, "SourceRegion": "us-east-1", "Encrypted": True}
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}]
    copy = ec2.copy_image(Name="copy", **asked, TagSpecifications=tags)["ImageId"]
    assert ec2.describe_images(ImageIds=[copy])["Images"][0]["State"] == "pending"
    cloud.settle()
    (found,) = ec2.describe_images(ImageIds=[copy])["Images"]
    (disk,) = found["BlockDeviceMappings"]
    assert (found["State"], found["SourceImageId"], disk["Ebs"]["Encrypted"]) == ("available", cloud.image, True)
    snapshot = shown(ec2, disk["Ebs"]["SnapshotId"])
    assert (snapshot["State"], snapshot["Encrypted"], snapshot["Tags"]) == ("completed", True, tags[0]["Tags"])
    with cloud.database.read() as tx:
        assert volume.find(tx, snapshot["VolumeId"]) is None
    (root,) = volumes_of(ec2, launched(cloud, ec2, ImageId=copy)).values()
    assert key_of(cloud, root) == key_of(cloud, snapshot["SnapshotId"])
    ec2.deregister_image(ImageId=copy, DeleteAssociatedSnapshots=True)
    cloud.settle()
    assert code(lambda: shown(ec2, snapshot["SnapshotId"])) == "InvalidSnapshot.NotFound"
    cannot(cloud, "h1")
    assert code(lambda: ec2.copy_image(Name="again", **asked)) == "UnsupportedOperation"


def test_an_encrypted_copy_needs_the_file_no_more_that_it_was_made_of(cloud: Any, ec2: Any) -> None:
    values: dict[str, object] = {"account": cloud.admin.id, "name": "disk", "location": "admin/disk", "source": "/"}
    with cloud.database.write() as tx:
        id, file = image.take_in(tx, {**values, "declared": "raw"})
    cloud.settle()
    copy = ec2.copy_image(Name="copy", SourceImageId=id, SourceRegion="us-east-1", Encrypted=True)["ImageId"]
    cloud.settle()
    (found,) = ec2.describe_images(ImageIds=[copy])["Images"]
    assert (found["State"], found["BootMode"]) == ("available", "legacy-bios")
    ec2.deregister_image(ImageId=id)
    for _ in range(2):
        cloud.pass_time(70)
    with cloud.database.read() as tx:
        assert image.file(tx, file) is None
    assert launched(cloud, ec2, ImageId=copy)


def test_where_new_volumes_are_encrypted_copies_of_images_are_too(cloud: Any, ec2: Any) -> None:
    ec2.enable_ebs_encryption_by_default()
    asked = {"Name": "copy", "SourceImageId": cloud.image, "SourceRegion": "us-east-1"}
    copy = ec2.copy_image(**asked)["ImageId"]
    (found,) = ec2.describe_images(ImageIds=[copy])["Images"]
    assert found["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]


def test_an_encrypted_copy_that_cannot_be_made_has_failed_and_leaves_nothing(cloud: Any, ec2: Any) -> None:
    asked = {"Name": "copy", "SourceImageId": cloud.image, "SourceRegion": "us-east-1", "Encrypted": True}
    copy = ec2.copy_image(**asked)["ImageId"]
    (disk,) = ec2.describe_images(ImageIds=[copy])["Images"][0]["BlockDeviceMappings"]
    id = shown(ec2, disk["Ebs"]["SnapshotId"])["VolumeId"]
    with cloud.database.write() as tx:
        volume.change(tx, id, state="error", reason="no room")
    cloud.settle()
    assert ec2.describe_images(ImageIds=[copy])["Images"][0]["State"] == "failed"
    assert "no room" in shown(ec2, disk["Ebs"]["SnapshotId"])["StateMessage"]
    with cloud.database.read() as tx:
        assert volume.find(tx, id) is None


def test_all_new_volumes_of_an_account_are_encrypted_by_default_if_it_wants_so(cloud: Any, ec2: Any) -> None:
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    before = made(cloud, ec2, Encrypted=False)
    assert ec2.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    guest = launched(cloud, ec2, BlockDeviceMappings=mapped(Encrypted=False))
    assert all(shown(ec2, id)["Encrypted"] for id in volumes_of(ec2, guest).values())
    assert len({key_of(cloud, id) for id in volumes_of(ec2, guest).values()}) == 2
    assert shown(ec2, made(cloud, ec2, Encrypted=False))["Encrypted"]
    assert not shown(ec2, before)["Encrypted"]
    theirs = cloud.account("other").client()
    assert theirs.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert ec2.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert not shown(ec2, made(cloud, ec2, Encrypted=False))["Encrypted"]


def test_an_instance_goes_to_a_host_that_can_keep_its_encrypted_disks(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2")
    cannot(cloud, "h1")
    wanted = [{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}]
    for _ in range(2):
        guest = launched(cloud, ec2, BlockDeviceMappings=wanted)
        with cloud.database.read() as tx:
            assert [disk.host for disk in attachment.disks(tx, guest)] == ["h2"]
    cannot(cloud, "h2")
    asked = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": wanted}
    assert code(lambda: ec2.run_instances(**asked)) == "UnsupportedOperation"
