"""What a setting must be: by its type, and where that does not say enough by a rule of its own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DATABASES = ("sqlite:///", "postgresql+psycopg://", "mysql+pymysql://", "mariadb+pymysql://")
REGION = re.compile(r"(?![0-9]+$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
"""As boto3 has it, which signs for no other."""
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LVM_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
"""As lvm(8) has them, "." and ".." aside."""
CEPH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}")
"""Narrower than Ceph's, whose names QEMU and rbd(8) would take apart at other characters."""
LEAST_FENCE = 10
"""Seconds: two heartbeats may be lost."""
LONGEST_ACCOUNT = 64
LONGEST_ATTRIBUTE = 128
LINK_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.@-]{1,15}")
LAST_VLAN = 4094
"""IEEE 802.1Q: 0 is no VLAN, 4095 is reserved."""
_TEXTS = 'a table of texts, such as {rack = "r1"}'
Rule = tuple[Callable[[Any], bool], str]
_TYPES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    list: 'a list of texts, such as ["a", "b"]',
    dict: "a table of names, each with the whole numbers vcpus and memory_mib",
}


def of_type(type: Any) -> str:
    """What a value of this type is, in words."""
    if get_origin(type) is Literal:
        return "one of " + ", ".join(map(str, get_args(type)))
    return _TEXTS if get_args(type) == (str, str) else _TYPES[get_origin(type) or type]


def broken(values: dict[str, Any]) -> tuple[str, str] | None:
    """The first setting that breaks its rule, and what it must be; None if all are as they must be."""
    for key, (holds, right) in RULES.items():
        if key in values and not holds(values[key]):
            return key, right
    return None


def _at_least(least: int) -> Rule:
    return lambda value: bool(value >= least), f"at least {least}"


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _each(parse: Callable[[str], object]) -> Callable[[list[str]], bool]:
    return lambda texts: all(_parses(parse, text) for text in texts)


def _pool(text: str) -> None:
    first, dash, last = text.partition("-")
    if not dash:
        ipaddress.IPv4Network(text)
    elif ipaddress.IPv4Address(first.strip()) > ipaddress.IPv4Address(last.strip()):
        raise ValueError(text)


def _names_once(names: list[str]) -> bool:
    return len(set(names)) == len(names) and all(NAME.fullmatch(name) for name in names)


_LVM_NAME = "a name of letters, digits and + _ . -, such as nova-volumes"


def _is_lvm_name(name: str) -> bool:
    return LVM_NAME.fullmatch(name) is not None and name not in (".", "..")


_CEPH_NAME: Rule = (
    lambda name: CEPH_NAME.fullmatch(name) is not None,
    "a name of letters, digits and _ . -, such as volumes",
)
_ABSOLUTE: Rule = lambda path: bool(path.startswith("/")), "an absolute path, such as /etc/ceph/ceph.conf"
_ABOVE_ZERO: Rule = lambda value: bool(value > 0), "above 0"
_NETWORK: Rule = lambda text: _parses(ipaddress.IPv4Network, text), "an IPv4 range, such as 10.0.0.0/16"

RULES: dict[str, Rule] = {
    "database_url": (
        lambda url: not url or url.startswith(DATABASES),
        f"empty, or begin with {' or '.join(DATABASES)}",
    ),
    "region": (lambda name: REGION.fullmatch(name) is not None, "letters, digits and hyphens, such as us-east-1"),
    "zones": (_names_once, "names of letters, digits, hyphens, dots and underscores, each once"),
    "host_name": (
        lambda name: not name or NAME.fullmatch(name) is not None,
        "letters, digits, hyphens, dots and underscores",
    ),
    "account": (lambda name: 0 < len(name.strip()) <= LONGEST_ACCOUNT, f"1 to {LONGEST_ACCOUNT} characters"),
    "public_pool": (_each(_pool), "IPv4 ranges, such as 198.51.100.0/24 or 198.51.100.10-198.51.100.20"),
    "import_ranges": (_each(ipaddress.ip_network), "ranges, such as 10.0.0.0/8 or fd00::/8"),
    "vpc_cidr": _NETWORK,
    "transit_cidr": _NETWORK,
    "dns_servers": (_each(ipaddress.ip_address), "IP addresses"),
    "vlan_interface": (
        lambda name: not name or LINK_NAME.fullmatch(name) is not None,
        "empty, or the name of a network interface, such as eth1",
    ),
    "vlan_start": (lambda number: 1 <= number <= LAST_VLAN, f"1 to {LAST_VLAN}"),
    "vcpu_overcommit": _ABOVE_ZERO,
    "memory_overcommit": _ABOVE_ZERO,
    "disk_overcommit": _ABOVE_ZERO,
    "live_moves_at_once": _at_least(1),
    "host_attributes": (
        lambda found: all(NAME.fullmatch(key) and len(value) <= LONGEST_ATTRIBUTE for key, value in found.items()),
        f"names of letters, digits, hyphens, dots and underscores, with values of up to {LONGEST_ATTRIBUTE} characters",
    ),
    "object_domain": (
        lambda name: not name or DOMAIN.fullmatch(name) is not None,
        "a name in small letters, such as s3.example.org",
    ),
    "object_pool": (_CEPH_NAME[0], "a name of letters, digits and _ . -, such as objects"),
    "object_copies": _at_least(1),
    "object_audit_days": _at_least(0),
    "object_day_seconds": _ABOVE_ZERO,
    "quota_buckets": _at_least(0),
    "quota_objects": _at_least(0),
    "quota_object_gib": _at_least(0),
    "quota_bucket_objects": _at_least(0),
    "quota_bucket_gib": _at_least(0),
    "quota_instances": _at_least(0),
    "quota_vcpus": _at_least(0),
    "quota_memory_gib": _at_least(0),
    "quota_key_pairs": _at_least(0),
    "quota_images": _at_least(0),
    "quota_addresses": _at_least(0),
    "quota_snapshots": _at_least(0),
    "quota_groups": _at_least(0),
    "quota_rules": _at_least(0),
    "volume_group": (_is_lvm_name, _LVM_NAME),
    "volume_thin_pool": (lambda name: not name or _is_lvm_name(name), f"empty, or {_LVM_NAME}"),
    "rbd_pool": _CEPH_NAME,
    "rbd_user": (_CEPH_NAME[0], "the name of a user of Ceph without client., such as cumulet"),
    "rbd_conf": _ABSOLUTE,
    "rbd_keyring": (lambda path: not path or _ABSOLUTE[0](path), f"empty, or {_ABSOLUTE[1]}"),
    "fence_seconds": (lambda value: value == 0 or value >= LEAST_FENCE, f"0, or at least {LEAST_FENCE}"),
    "stop_grace_seconds": _at_least(0),
    "terminated_seconds": _at_least(0),
    "audit_days": _at_least(1),
    "audit_bucket_seconds": _ABOVE_ZERO,
    "image_copy_free_percent": (lambda value: 0 <= value < 100, "0 or more, and below 100"),
    "image_max_gib": _at_least(1),
    "threads": _at_least(1),
    "instance_types": (
        lambda types: all(kind["vcpus"] >= 1 and kind["memory_mib"] >= 1 for kind in types.values()),
        "vcpus and memory_mib of at least 1 for each name",
    ),
}
"""By key: what holds of a right value, and how a right one looks."""
