"""Encrypted volumes: made, shown, and in instances; what is made of them; and nobody is told their keys."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched
from support.more_hosts import add_host
from support.refusals import code, message
from support.tested_cloud import TestedCloud

from cumulet.control import moving
from cumulet.control.fleet import Fleet
from cumulet.model import host, secret, snapshot, volume

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
    wanted = {"SourceRegion": "us-east-1", "SourceSnapshotId": plain, "Encrypted": True}
    assert code(lambda: ec2.copy_snapshot(**wanted)) == "UnsupportedOperation"
    assert "encrypted volume" in message(lambda: ec2.copy_snapshot(**wanted))


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
def test_it_moves_only_while_its_guest_is_off(cloud: Any, ec2: Any) -> None:
    guest = launched(cloud, ec2)
    id = made(cloud, ec2)
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    ec2.attach_volume(VolumeId=id, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    for how in ("live", "cold"):
        with cloud.database.write() as tx:
            fleet = Fleet(cloud.config)
            fleet.learn(tx)
            if how == "live":
                with pytest.raises(Exception, match="is encrypted, and only a guest that is off"):
                    moving.ask(tx, cloud.config, fleet, guest, how=how)
            else:
                moving.ask(tx, cloud.config, fleet, guest, how="cold")
    cloud.settle()
    assert shown(ec2, id)["Attachments"][0]["State"] == "attached"


def test_where_no_host_can_keep_it_that_is_said(cloud: Any, ec2: Any) -> None:
    with cloud.database.write() as tx:
        for row in host.all(tx):
            facts = {name: said for name, said in row.facts.items() if name != "encrypts"}
            host.describe(tx, row.name, {"facts": facts})
    wanted = {"AvailabilityZone": ZONE, "Size": 1, "Encrypted": True}
    assert code(lambda: ec2.create_volume(**wanted)) == "UnsupportedOperation"
    assert "not in LVM" in message(lambda: ec2.create_volume(**wanted))
