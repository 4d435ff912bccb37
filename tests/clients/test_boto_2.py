"""A client of 2012: boto 2 with the EC2 API of that year, signed with version 2."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from cumulet import testing

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="boto 2 does not run on this Python")
VERSION = "2012-07-20"


@pytest.fixture(scope="module")
def cloud() -> Iterator[testing.RunningCloud]:
    with testing.cloud() as made:
        yield made


@pytest.fixture
def ec2(cloud: testing.RunningCloud) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from boto.ec2.connection import EC2Connection
        from boto.ec2.regioninfo import RegionInfo

        class OfThatTime(EC2Connection):  # type: ignore[misc]
            APIVersion = VERSION

            def _required_auth_capability(self) -> list[str]:
                return ["ec2"]  # version 2; later releases of boto 2 prefer version 4

        host, _, port = cloud.url.removeprefix("http://").partition(":")
        keys = {"aws_access_key_id": cloud.access_key, "aws_secret_access_key": cloud.secret_key}
        region = RegionInfo(name=cloud.region, endpoint=host)
        return OfThatTime(**keys, is_secure=False, port=int(port), region=region)


def test_answers_are_in_the_namespace_of_the_version_asked_for(ec2: Any) -> None:
    body = ec2.make_request("DescribeRegions").read().decode()
    assert f'xmlns="http://ec2.amazonaws.com/doc/{VERSION}/"' in body
    ec2.APIVersion = '2016-11-15/"><x'
    body = ec2.make_request("DescribeRegions").read().decode()
    assert 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"' in body
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
