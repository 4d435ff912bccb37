"""A `nova.conf`: which of its flags mean something today, and what.

It is a flag file (`--name=value`, one a line) or INI (`name = value`), as both were in use. `$name` in a value is the
value of another flag.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from cumulet.lib.errors import Failure
from cumulet.lib.urls import without_password

_LINE = re.compile(r"(?:--)?(?P<no>no)?(?P<name>[A-Za-z_][\w-]*)\s*(?:=\s*(?P<value>.*))?")
_REFERENCE = re.compile(r"\$\{?(\w+)\}?")

SETTINGS = {
    "state_path": "state_dir",
    "sql_connection": "database_url",
    "public_interface": "public_interface",
    "vlan_interface": "vlan_interface",
    "vlan_start": "vlan_start",
    "libvirt_type": "emulation",
    "libvirt_uri": "libvirt_uri",
    "host": "host_name",
    "zone_name": "zones",
    "node_availability_zone": "zones",
    "storage_availability_zone": "zones",
    "floating_range": "public_pool",
    "verbose": "log_level",
    "quota_instances": "quota_instances",
    "quota_cores": "quota_vcpus",
    "quota_volumes": "quota_volumes",
    "quota_gigabytes": "quota_volume_gib",
    "iscsi_helper": "volume_export",
    "volume_group": "volume_group",
    "rbd_pool": "rbd_pool",
    "quota_floating_ips": "quota_addresses",
    "dns_server": "dns_servers",
    "flat_network_dns": "dns_servers",
}
"""The setting that a flag is."""
HERE = {
    "fixed_range": "the range of `network create`",
    "num_networks": "how many networks `network create` makes",
    "network_size": "the size of each",
    "flagfile": "one more file of flags",
}
"""The flags that nova-manage itself goes by."""
VLANS = ("vlan_interface", "vlan_start")
"""The flags that the network manager VlanManager alone went by, which was the one by default."""
BUS = ("rabbit_host", "rabbit_port", "rabbit_userid", "rabbit_password", "rabbit_virtual_host")
REASONS = {
    "daemonize": "systemd, or whoever starts it, sees to that",
    "dhcpbridge": "the network role runs dnsmasq itself, without a script",
    "dhcpbridge_flagfile": "the network role runs dnsmasq itself, without a script",
    "logdir": "logs go to standard error, where systemd keeps them",
    "lock_path": "there are no lock files",
    "s3_host": "the api answers S3 itself",
    "s3_port": "the api answers S3 itself",
    "ec2_host": "see the setting listen",
    "ec2_dmz_host": "metadata is answered in each VPC",
    "ec2_url": "see the setting listen",
    "glance_host": "the image role keeps images, see the setting image_dir",
    "glance_api_servers": "the image role keeps images, see the setting image_dir",
    "image_service": "the image role keeps images, see the setting image_dir",
    "network_manager": "each account has VPCs, joined by VLANs where there is a vlan_interface, and else by VXLAN",
    "iscsi_ip_prefix": "a volume's host exports it at its tunnel_address",
    "volume_driver": "volumes are files, in LVM or in Ceph: see the setting volume_driver",
    "FAKE_subdomain": "it has never had a meaning in a release",
    "use_deprecated_auth": "every request is signed",
    "root_helper": "the host's roles run as root",
}
"""Why a flag has no meaning today."""
_SCHEMES = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "postgresql": "postgresql+psycopg"}
_SCHEMES |= {"postgres": "postgresql+psycopg", "sqlite": "sqlite"}
_EMULATION = {"kvm": "kvm", "qemu": "tcg"}


class Read(NamedTuple):
    """What flags come to: settings of Cumulet, flags that nova-manage goes by, and why the others mean nothing."""

    settings: dict[str, str]
    own: dict[str, str]
    without_meaning: dict[str, str]


def read(path: Path, seen: frozenset[Path] = frozenset()) -> dict[str, str]:
    """The flags of a file and of those that it names, as they are written; raises `Failure` for a line that is none."""
    try:
        text = path.read_text()
    except OSError as e:
        raise Failure(f"the flag file {path} cannot be read") from e
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";", "[")):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Failure(f"{path}:{number}: {line!r} is no flag, such as --verbose=1 or verbose = 1")
        name, value = _flag(match)
        if name == "flagfile":
            if Path(value) not in seen:
                found |= read(Path(value), seen | {path})
        else:
            found[name] = value
    return found


def _flag(match: re.Match[str]) -> tuple[str, str]:
    """`--noverbose` is verbose=false, and `--verbose` is verbose=true."""
    name, value = match["name"].replace("-", "_"), match["value"]
    if value is None:
        return (name, "false") if match["no"] else (name, "true")
    return (match["no"] or "") + name, value.strip().strip("\"'")


def meaning(flags: dict[str, str]) -> Read:
    """What flags come to; raises `Failure` for a value that cannot be."""
    values = {name: _REFERENCE.sub(lambda one: flags.get(one[1], one[0]), value) for name, value in flags.items()}
    manager = values.get("network_manager", "VlanManager").rpartition(".")[2]
    unused = {name: f"{manager} has no VLANs" for name in VLANS if name in values and manager != "VlanManager"}
    if manager == "VlanManager" and "vlan_interface" in values:
        values.pop("network_manager", None)
    settings = {
        SETTINGS[name]: _setting(name, value)
        for name, value in values.items()
        if name in SETTINGS and name not in unused
    }
    if "rabbit_host" in values:
        settings["bus_url"] = _bus(values)
    own = {name: value for name, value in values.items() if name in HERE}
    known = {*SETTINGS, *HERE, *BUS}
    nothing = {name: REASONS.get(name, "Cumulet has no such flag") for name in values if name not in known}
    return Read({key: value for key, value in settings.items() if value}, own, nothing | unused)


def _setting(name: str, value: str) -> str:
    match name:
        case "sql_connection":
            scheme, _, rest = value.partition("://")
            database = scheme.partition("+")[0]  # whichever driver was meant, here there is one for each
            if database not in _SCHEMES:
                shown = without_password(value)
                raise Failure(f"the flag sql_connection is {shown!r}; it begins with {', '.join(_SCHEMES)}")
            return f"{_SCHEMES[database]}://{rest}"
        case "libvirt_type":
            if value not in _EMULATION:
                raise Failure(f"the flag libvirt_type is {value!r}; here it is kvm or qemu")
            return _EMULATION[value]
        case "iscsi_helper":
            return "iscsi"  # by tgt, whichever it was
        case "verbose":
            return "debug" if value.lower() in ("1", "true", "yes") else "info"
    return value


def _bus(values: dict[str, str]) -> str:
    user, password = values.get("rabbit_userid", "guest"), values.get("rabbit_password", "guest")
    place = f"{values['rabbit_host']}:{values.get('rabbit_port', '5672')}"
    vhost = values.get("rabbit_virtual_host", "/")
    return f"amqp://{user}:{password}@{place}/{'' if vhost == '/' else vhost}"
