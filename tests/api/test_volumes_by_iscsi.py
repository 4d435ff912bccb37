"""Volumes that reach another host by iSCSI: a secret for each export, and one host that it lets in."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched
from support.more_hosts import add_host
from support.tested_cloud import TestedCloud

from cumulet.drivers.fake_world import FakeWorld
from cumulet.model import attachment, secret

ISCSI = {"tunnel_address": "192.0.2.1", "volume_export": "iscsi"}
pytestmark = pytest.mark.parametrize("cloud", [ISCSI], indirect=True)


def order(cloud: TestedCloud, volume: str) -> Any:
    """How the host h1 exports the volume; None where it does not."""
    with cloud.database.read() as tx:
        row = attachment.find_volume(tx, volume)
        assert row is not None
        told = FakeWorld(cloud.config.state_dir / "world").get("volume_export", row.attachment)
        if told is not None:
            assert told["secret"] not in row.chap
            assert tx.keys.unseal(row.chap).decode() == told["secret"]
    return told


def test_each_export_has_a_secret_and_lets_one_host_in(cloud: Any, ec2: Any) -> None:
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    guest = launched(cloud, ec2, Placement={"HostId": "h2"})
    ec2.attach_volume(VolumeId=volume, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    first = order(cloud, volume)
    assert (len(first["secret"]), first["client"]) == (32, "192.0.2.2")
    with cloud.database.write() as tx:
        secret.seal_again(tx)
    assert order(cloud, volume) == first
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    assert order(cloud, volume) is None
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert order(cloud, volume)["secret"] != first["secret"]
