"""The tree of paths under a version: categories and values, with AWS's names and AWS's form of listings.

Source: "Instance metadata categories" in the EC2 User Guide. A directory lists one name to a line, directories with a
slash; `public-keys/` lists `0=name`, and `security-groups` and the like are one value of several lines.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from cumulet.drivers.specs import InterfaceSpec, MetadataSpec, ProfileSpec
from cumulet.lib.dns_names import public_name
from cumulet.lib.zones import zone_id

_VERSIONS = """\
1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10 2007-12-15 2008-02-01 2008-09-01 2009-04-04 2011-01-01
2011-05-01 2012-01-12 2014-02-25 2014-11-05 2015-10-20 2016-04-19 2016-06-30 2016-09-02 2018-03-28 2018-08-17
2018-09-24 2019-10-01 2020-10-27 2021-01-03 2021-03-23 2021-07-15 2022-09-24 2024-04-11 latest
"""
VERSIONS = tuple(_VERSIONS.split())

Tree = Mapping[str, "Tree | bytes"]


def versions() -> bytes:
    """What the root lists."""
    return "\n".join(VERSIONS).encode()


def find(tree: Tree, names: list[str]) -> bytes | None:
    """The value at a path, or the listing of a directory; None: there is nothing."""
    here: Tree | bytes = tree
    for name in names:
        if isinstance(here, bytes) or name not in here:
            return None
        here = here[name]
    return here if isinstance(here, bytes) else _listing(here, names)


def _listing(directory: Tree, names: list[str]) -> bytes:
    if names and names[-1] == "public-keys":
        return b"\n".join(f"{index}={_key_name(key)}".encode() for index, key in directory.items())
    # The name is for the listing of the directory above alone.
    shown = [name if isinstance(value, bytes) else name + "/" for name, value in directory.items() if name[0] != "."]
    return "\n".join(sorted(shown)).encode()


def _key_name(key: Tree | bytes) -> str:
    assert not isinstance(key, bytes)
    name = key[_NAME]
    assert isinstance(name, bytes)
    return name.decode()


_NAME = ".name"


def tree(interface: InterfaceSpec, metadata: MetadataSpec) -> Tree:
    """All that is told under a version, but for what has to be signed (`dynamic`)."""
    told: dict[str, Tree | bytes] = {"meta-data": _meta_data(interface, metadata)}
    if metadata.user_data:
        told["user-data"] = base64.b64decode(metadata.user_data)
    return told


def _meta_data(interface: InterfaceSpec, metadata: MetadataSpec) -> Tree:
    told: dict[str, Tree | bytes] = {
        "ami-id": metadata.image_id.encode(),
        "ami-launch-index": str(metadata.launch_index).encode(),
        "ami-manifest-path": b"(unknown)",
        "block-device-mapping": {name: device.encode() for name, device in metadata.block_devices.items()},
        "events": {"maintenance": {"history": b"[]", "scheduled": b"[]"}},
        "hostname": metadata.hostname.encode(),
        "instance-action": b"none",
        "instance-id": metadata.instance_id.encode(),
        "instance-life-cycle": metadata.life_cycle.encode(),
        "instance-type": metadata.instance_type.encode(),
        "local-hostname": metadata.hostname.encode(),
        "local-ipv4": interface.ip.encode(),
        "mac": interface.mac.encode(),
        "network": {"interfaces": {"macs": {interface.mac: _interface(interface, metadata)}}},
        "placement": _placement(metadata),
        "reservation-id": metadata.reservation_id.encode(),
        "security-groups": "\n".join(metadata.security_groups).encode(),
        "services": {"domain": b"amazonaws.com", "partition": b"aws"},
    }
    told |= {name: id.encode() for name, id in _kernel(metadata) if id}
    if interface.public_ip:
        told["public-hostname"] = public_name(interface.public_ip, metadata.region).encode()
        told["public-ipv4"] = interface.public_ip.encode()
    if metadata.public_key:
        told["public-keys"] = {
            "0": {_NAME: metadata.key_name.encode(), "openssh-key": metadata.public_key.strip().encode() + b"\n"}
        }
    if metadata.profile is not None:
        told["iam"] = _profile(metadata.profile)
    if metadata.tags_enabled:
        told["tags"] = {"instance": {key: value.encode() for key, value in metadata.tags.items()}}
    return told


def _kernel(metadata: MetadataSpec) -> list[tuple[str, str]]:
    return [("kernel-id", metadata.kernel_id), ("ramdisk-id", metadata.ramdisk_id)]


def _profile(profile: ProfileSpec) -> Tree:
    """The credentials as every SDK of AWS's reads them."""
    updated = _time(profile.issued)
    info = {"InstanceProfileArn": profile.arn, "InstanceProfileId": profile.id}
    told: dict[str, Tree | bytes] = {"info": _json({"Code": "Success", "LastUpdated": updated, **info})}
    if profile.role:
        credentials = {
            "Code": "Success",
            "LastUpdated": updated,
            "Type": "AWS-HMAC",
            "AccessKeyId": profile.key,
            "SecretAccessKey": profile.secret,
            "Token": profile.token,
            "Expiration": _time(profile.expires),
        }
        told["security-credentials"] = {profile.role: _json(credentials)}
    return told


def _json(value: dict[str, str]) -> bytes:
    return json.dumps(value, indent=2).encode()


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _interface(interface: InterfaceSpec, metadata: MetadataSpec) -> Tree:
    told: dict[str, Tree | bytes] = {
        "device-number": b"0",
        "interface-id": interface.id.encode(),
        "local-hostname": metadata.hostname.encode(),
        "local-ipv4s": interface.ip.encode(),
        "mac": interface.mac.encode(),
        "owner-id": (metadata.owner_id or metadata.account_id).encode(),
        "security-group-ids": "\n".join(metadata.security_group_ids).encode(),
        "security-groups": "\n".join(metadata.security_groups).encode(),
        "subnet-id": metadata.subnet_id.encode(),
        "subnet-ipv4-cidr-block": interface.subnet_cidr.encode(),
        "vpc-id": (metadata.vpc_id or interface.vpc).encode(),
        "vpc-ipv4-cidr-block": interface.vpc_cidr.encode(),
        "vpc-ipv4-cidr-blocks": interface.vpc_cidr.encode(),
    }
    if interface.public_ip:
        told["ipv4-associations"] = {interface.public_ip: interface.ip.encode()}
        told["public-hostname"] = public_name(interface.public_ip, metadata.region).encode()
        told["public-ipv4s"] = interface.public_ip.encode()
    return told


def _placement(metadata: MetadataSpec) -> Tree:
    return {
        "availability-zone": metadata.zone.encode(),
        "availability-zone-id": zone_id(metadata.region, metadata.zone).encode(),
        "region": metadata.region.encode(),
    }
