"""A client of 2012: boto 2 with the EC2 API of that year, signed with version 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cumulet import testing
from cumulet.tutorial.clients import VERSION, connection_of_2012

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="boto 2 does not run on this Python")


@pytest.fixture(scope="module")
def cloud() -> Iterator[testing.RunningCloud]:
    with testing.cloud() as made:
        yield made


@pytest.fixture
def ec2(cloud: testing.RunningCloud) -> Any:
    return connection_of_2012(cloud.url, cloud.access_key, cloud.secret_key, cloud.region)


def test_answers_are_in_the_namespace_of_the_version_asked_for(ec2: Any) -> None:
    body = ec2.make_request("DescribeRegions").read().decode()
    assert f'xmlns="http://ec2.amazonaws.com/doc/{VERSION}/"' in body
    ec2.APIVersion = '2016-11-15/"><x'
    body = ec2.make_request("DescribeRegions").read().decode()
    assert "<Code>NoSuchVersion</Code>" in body
    assert "<x" not in body


def test_a_tenants_part_of_the_tutorial(ec2: Any) -> None:
    image = ec2.get_all_images()[0]
    pair = ec2.create_key_pair("k")
    assert "PRIVATE KEY" in pair.material
    assert ec2.authorize_security_group("default", ip_protocol="tcp", from_port=22, to_port=22, cidr_ip="0.0.0.0/0")
    assert ec2.authorize_security_group("default", ip_protocol="icmp", from_port=-1, to_port=-1, cidr_ip="0.0.0.0/0")
    instance = image.run(key_name="k", instance_type="m1.tiny").instances[0]
    assert instance.state in ("pending", "running")
    while instance.update() != "running":
        pass
    address = ec2.allocate_address()
    assert ec2.associate_address(instance.id, address.public_ip)
    instance.update()
    assert instance.ip_address == address.public_ip
    volume = ec2.create_volume(1, instance.placement)
    while volume.update() != "available":
        pass
    assert volume.attach(instance.id, "/dev/vdb") in (True, "attaching")
    while (volume.update(), volume.attach_data.status) != ("in-use", "attached"):
        pass
    assert (volume.attach_data.device, volume.attach_data.instance_id) == ("/dev/vdb", instance.id)
    assert volume.attach_data.attach_time
    volume.detach()
    while volume.update() != "available":
        pass
    assert volume.delete()
    assert [one.id for one in ec2.terminate_instances([instance.id])] == [instance.id]
    while instance.update() != "terminated":
        pass
    assert ec2.release_address(allocation_id=address.allocation_id or ec2.get_all_addresses()[0].allocation_id)


def test_an_administrator_is_shown_hosts_and_services_with_smileys(ec2: Any, cloud: testing.RunningCloud) -> None:
    shown = [(zone.name, zone.state) for zone in ec2.get_all_zones(["verbose"])]
    assert shown[0] == (f"{cloud.region}a", "available")
    assert shown[1][0].startswith("|- ")
    services = {name.removeprefix("| |- "): state for name, state in shown if name.startswith("| |- ")}
    assert {"compute", "network", "volume"} <= set(services)
    assert services["compute"].startswith("enabled :-) 20")
