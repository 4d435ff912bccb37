"""The two clients: the `aws` command of today, and boto 2 with the EC2 API of 2012, signed with version 2."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from cumulet.lib.errors import Failure
from cumulet.tutorial.warm_aws import WarmAws

VERSION = "2012-07-20"
TYPE = "m1.tiny"


class Seen(NamedTuple):
    """An instance: its state and why, its addresses, type and zone; None where it has none."""

    state: str
    reason: str
    private: str | None
    public: str | None
    zone: str


class Client(Protocol):
    """What a tenant does; ids and addresses are texts. Each raises when it is refused."""

    name: str

    def images(self) -> list[str]: ...

    def zones(self, *names: str) -> list[tuple[str, str]]:
        """Name and state."""

    def create_key_pair(self, name: str) -> str: ...
    def run_instance(self, image: str, key: str) -> str: ...
    def instances(self) -> list[str]: ...
    def look(self, instance: str) -> Seen: ...
    def console(self, instance: str) -> str: ...
    def authorize(self, protocol: str, first: int, last: int) -> None: ...
    def allocate(self) -> str: ...
    def associate(self, address: str, instance: str) -> None: ...
    def create_volume(self, gib: int, zone: str) -> str: ...
    def volume(self, id: str) -> tuple[str, str | None]:
        """Its state, and that of its attachment."""

    def attach(self, volume: str, instance: str, device: str) -> None: ...
    def detach(self, volume: str) -> None: ...
    def terminate(self, instance: str) -> None: ...
    def delete_volume(self, volume: str) -> None: ...
    def release(self, address: str) -> None: ...


class Aws:
    """`aws ec2 …` with what `source novarc` has set, and nothing else."""

    name = "aws"

    def __init__(self, aws: WarmAws, environ: dict[str, str]) -> None:
        self._aws = aws
        self._environ = {**environ, "AWS_EC2_METADATA_DISABLED": "true"}

    def images(self) -> list[str]:
        return [one["ImageId"] for one in self._ask("describe-images")["Images"]]

    def are_available(self, images: list[str]) -> bool:
        """Raises `Failure` for one that cannot be."""
        found = self._ask("describe-images", "--image-ids", *images)["Images"]
        failed = [one for one in found if one["State"] == "failed"]
        if failed:
            raise Failure(f"{failed[0]['ImageId']} has failed: {failed[0].get('StateReason')}")
        return all(one["State"] == "available" for one in found)

    def make_public(self, image: str) -> None:
        everybody = ["--launch-permission", "Add=[{Group=all}]"]
        self._ask("modify-image-attribute", "--image-id", image, *everybody)

    def zones(self, *names: str) -> list[tuple[str, str]]:
        found = self._ask("describe-availability-zones", *(["--zone-names", *names] if names else []))
        return [(one["ZoneName"], one["State"]) for one in found["AvailabilityZones"]]

    def create_key_pair(self, name: str) -> str:
        return str(self._ask("create-key-pair", "--key-name", name)["KeyMaterial"])

    def run_instance(self, image: str, key: str) -> str:
        made = self._ask("run-instances", "--image-id", image, "--key-name", key, "--instance-type", TYPE)
        return str(made["Instances"][0]["InstanceId"])

    def instances(self) -> list[str]:
        found = self._ask("describe-instances")["Reservations"]
        return [one["InstanceId"] for reservation in found for one in reservation["Instances"]]

    def look(self, instance: str) -> Seen:
        found = self._ask("describe-instances", "--instance-ids", instance)["Reservations"][0]["Instances"][0]
        reason = found.get("StateReason", {}).get("Message", "")
        addresses = found.get("PrivateIpAddress"), found.get("PublicIpAddress")
        return Seen(found["State"]["Name"], reason, *addresses, found["Placement"]["AvailabilityZone"])

    def console(self, instance: str) -> str:
        return str(self._ask("get-console-output", "--instance-id", instance).get("Output", ""))

    def authorize(self, protocol: str, first: int, last: int) -> None:
        rule = ["--group-name", "default", "--protocol", protocol, "--port", f"{first}-{last}" if first >= 0 else "-1"]
        self._ask("authorize-security-group-ingress", *rule, "--cidr", "0.0.0.0/0")

    def allocate(self) -> str:
        return str(self._ask("allocate-address")["PublicIp"])

    def associate(self, address: str, instance: str) -> None:
        self._ask("associate-address", "--public-ip", address, "--instance-id", instance)

    def create_volume(self, gib: int, zone: str) -> str:
        return str(self._ask("create-volume", "--size", str(gib), "--availability-zone", zone)["VolumeId"])

    def volume(self, id: str) -> tuple[str, str | None]:
        found = self._ask("describe-volumes", "--volume-ids", id)["Volumes"][0]
        return found["State"], found["Attachments"][0]["State"] if found["Attachments"] else None

    def attach(self, volume: str, instance: str, device: str) -> None:
        self._ask("attach-volume", "--volume-id", volume, "--instance-id", instance, "--device", device)

    def detach(self, volume: str) -> None:
        self._ask("detach-volume", "--volume-id", volume)

    def terminate(self, instance: str) -> None:
        self._ask("terminate-instances", "--instance-ids", instance)

    def delete_volume(self, volume: str) -> None:
        self._ask("delete-volume", "--volume-id", volume)

    def release(self, address: str) -> None:
        found = self._ask("describe-addresses", "--public-ips", address)["Addresses"][0]
        self._ask("release-address", "--allocation-id", found["AllocationId"])

    def _ask(self, *words: str) -> Any:
        said = self._aws.run(["ec2", *words, "--output", "json"], self._environ)
        return json.loads(said) if said.strip() else {}


def connection_of_2012(url: str, key: str, secret: str, region: str) -> Any:
    """boto 2's EC2 connection, by the API version of that year and signature version 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from boto.ec2.connection import EC2Connection
        from boto.ec2.regioninfo import RegionInfo

    class OfThatTime(EC2Connection):  # type: ignore[misc]
        APIVersion = VERSION

        def _required_auth_capability(self) -> list[str]:
            return ["ec2"]  # version 2; later releases of boto 2 prefer version 4

    place = urlsplit(url)
    where = {"port": place.port, "region": RegionInfo(name=region, endpoint=place.hostname)}
    return OfThatTime(aws_access_key_id=key, aws_secret_access_key=secret, is_secure=False, **where)


class Boto2:
    """boto 2.49, as a program of 2012 would have used it: by EC2_URL and the keys of `novarc`."""

    name = "boto 2"

    def __init__(self, environ: dict[str, str]) -> None:
        os.environ.pop("AWS_SECURITY_TOKEN", None)
        keys = environ["EC2_ACCESS_KEY"], environ["EC2_SECRET_KEY"]
        self._ec2 = connection_of_2012(environ["EC2_URL"], *keys, "nova")

    def images(self) -> list[str]:
        return [one.id for one in self._ec2.get_all_images()]

    def zones(self, *names: str) -> list[tuple[str, str]]:
        return [(zone.name, zone.state) for zone in self._ec2.get_all_zones(list(names) or None)]

    def create_key_pair(self, name: str) -> str:
        return str(self._ec2.create_key_pair(name).material)

    def run_instance(self, image: str, key: str) -> str:
        return str(self._ec2.run_instances(image, key_name=key, instance_type=TYPE).instances[0].id)

    def instances(self) -> list[str]:
        return [one.id for one in self._ec2.get_only_instances()]

    def look(self, instance: str) -> Seen:
        (found,) = self._ec2.get_only_instances([instance])
        reason = found.state_reason["message"] if found.state_reason else ""
        return Seen(found.state, reason, found.private_ip_address, found.ip_address or None, found.placement)

    def console(self, instance: str) -> str:
        return str(self._ec2.get_console_output(instance).output or b"")

    def authorize(self, protocol: str, first: int, last: int) -> None:
        rule = {"ip_protocol": protocol, "from_port": first, "to_port": last, "cidr_ip": "0.0.0.0/0"}
        self._ec2.authorize_security_group("default", **rule)

    def allocate(self) -> str:
        return str(self._ec2.allocate_address().public_ip)

    def associate(self, address: str, instance: str) -> None:
        self._ec2.associate_address(instance, address)

    def create_volume(self, gib: int, zone: str) -> str:
        return str(self._ec2.create_volume(gib, zone).id)

    def volume(self, id: str) -> tuple[str, str | None]:
        (found,) = self._ec2.get_all_volumes([id])
        return found.status, found.attach_data.status

    def attach(self, volume: str, instance: str, device: str) -> None:
        self._ec2.attach_volume(volume, instance, device)

    def detach(self, volume: str) -> None:
        self._ec2.detach_volume(volume)

    def terminate(self, instance: str) -> None:
        self._ec2.terminate_instances([instance])

    def delete_volume(self, volume: str) -> None:
        self._ec2.delete_volume(volume)

    def release(self, address: str) -> None:
        (found,) = self._ec2.get_all_addresses([address])
        self._ec2.release_address(allocation_id=found.allocation_id)

    def namespace(self) -> str:
        """The XML namespace of an answer."""
        body = self._ec2.make_request("DescribeRegions").read().decode()
        return str(body.partition(' xmlns="')[2].partition('"')[0])
