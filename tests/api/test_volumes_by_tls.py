"""Volumes that reach another host by NBD with TLS: from when that is wanted, until the export ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.launching import launched
from support.more_hosts import add_host
from support.tested_cloud import TestedCloud

from cumulet.control import moving
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import VolumeExportSpec, VolumeSpec
from cumulet.model import attachment, volume

SETTINGS = {"tunnel_address": "192.0.2.1"}
pytestmark = pytest.mark.parametrize("cloud", [SETTINGS], indirect=True)


def is_secured(cloud: TestedCloud, volume: str) -> tuple[bool, bool]:
    """Whether the export that h1 has of the volume is with TLS, and whether the guest's host is told so."""
    with cloud.database.read() as tx:
        row = attachment.find_volume(tx, volume)
    assert row is not None
    told = FakeWorld(cloud.config.state_dir / "world").get("volume_export", row.attachment)
    assert told is not None
    return bool(told.get("tls")), row.tls


def test_exports_are_with_tls_from_when_that_is_wanted(cloud: Any, ec2: Any) -> None:
    first, second = (ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"] for _ in range(2))
    cloud.settle()
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    guest = launched(cloud, ec2, Placement={"HostId": "h2"})
    ec2.attach_volume(VolumeId=first, InstanceId=guest, Device="/dev/sdf")
    cloud.settle()
    assert is_secured(cloud, first) == (False, False)
    engine = cloud.cloud.control.engine
    engine.settings = msgspec.structs.replace(engine.settings, volume_export="nbd-tls")
    ec2.attach_volume(VolumeId=second, InstanceId=guest, Device="/dev/sdg")
    cloud.settle()
    assert (is_secured(cloud, first), is_secured(cloud, second)) == ((False, False), (True, True))
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    ec2.start_instances(InstanceIds=[guest])
    cloud.settle()
    assert is_secured(cloud, first) == (True, True)


def noted(ensure: Callable[[Any], None], orders: list[Any]) -> Callable[[Any], None]:
    """The same as `ensure`, which keeps what was ordered."""

    def keeping(spec: Any) -> None:
        orders.append(spec)
        ensure(spec)

    return keeping


@pytest.mark.parametrize("wanted", ["nbd", "nbd-tls"])
def test_a_volume_that_moves_is_copied_so_too(cloud: Any, ec2: Any, wanted: str, monkeypatch: Any) -> None:
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    cloud.settle()
    there = add_host(cloud, "h2", tunnel_address="192.0.2.2")
    engine = cloud.cloud.control.engine
    engine.settings = msgspec.structs.replace(engine.settings, volume_export=wanted)
    ordered: list[Any] = []
    for agents in (cloud.cloud.host.agents, there.agents):
        monkeypatch.setattr(agents["volume"].driver, "ensure", noted(agents["volume"].driver.ensure, ordered))
    with cloud.database.write() as tx:
        row = volume.find(tx, volume_id)
        assert row is not None
        moving.carry(tx, cloud.config, row, "h2")
    cloud.settle()
    with cloud.database.read() as tx:
        moved = volume.find(tx, volume_id)
    assert moved is not None
    assert moved.host == "h2"
    secured = wanted == "nbd-tls"
    assert {spec.tls for spec in ordered if isinstance(spec, VolumeExportSpec)} == {secured}
    assert {spec.source_tls for spec in ordered if isinstance(spec, VolumeSpec) and spec.source} == {secured}
