"""The configuration: every key with its default and its meaning, from a TOML file, the environment and the command.

A key comes from the command line, else from `CUMULET_KEY` in the environment, else from the file, else its default.
A mistake is named with its key, its value and what would be right.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from cumulet.lib import config_rules
from cumulet.lib.errors import Failure
from cumulet.lib.sealed import Keyring

Meaning = msgspec.Meta
AGENTS = ("image", "volume", "network", "compute")
"""The roles of a host, in the order in which their things need each other."""
ROLES = ("api", "scheduler", "object", *AGENTS)


def _key(default: Any, meaning: str) -> Any:
    MEANINGS.append(meaning)
    if isinstance(default, (list, dict)):
        return msgspec.field(default_factory=default.copy)
    return default


MEANINGS: list[str] = []
CERTIFICATES = "/etc/pki/qemu"
"""Where libvirt has QEMU look for them, if nobody has told it otherwise."""
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")


class InstanceType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An instance type that the operator adds: `[instance_types."x1.huge"]` in the file."""

    vcpus: int
    memory_mib: int
    requires: dict[str, str] = {}
    """Attributes that a host must have to take one: `requires = {ssd = "true"}`."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one process; `MEANINGS` has a line for each, in this order."""

    state_dir: Path = _key(Path("/var/lib/cumulet"), "directory of everything that is kept")
    listen: str = _key("127.0.0.1:8773", "address and port of the AWS endpoint")
    database_url: str = _key("", "PostgreSQL or MariaDB, see docs/databases.md; empty: SQLite in the state directory")
    secret_key_file: str = _key("", "keys that secrets rest sealed with; empty: secret.key in the state directory")
    bus_url: str = _key("", "RabbitMQ, as amqps://USER:PASSWORD@HOST:PORT/VHOST; empty: all within this process")
    bus_ca_file: str = _key("", "certificates that RabbitMQ's is checked with; empty: the system's")
    bus_admin_url: str = _key("", "RabbitMQ's management, http://ADMINISTRATOR:PASSWORD@HOST:15672; for `host add`")
    roles: list[str] = _key(
        [], "what this process does: api, scheduler, object, image, volume, network, compute; empty: all"
    )
    region: str = _key("us-east-1", "name of the region, for which clients sign; any name will do")
    zones: list[str] = _key([], "availability zones; empty: the region's name with a and b")
    host_name: str = _key("", "name of this host; empty: as the system says")
    drivers: Literal["real", "fake"] = _key("real", "real guests, or fakes for tests of clients")
    test: bool = _key(False, "allow POST /_cumulet/reset, with fake drivers only; keep nothing through a power cut")
    libvirt_uri: str = _key("qemu:///system", "which libvirt runs the guests")
    emulation: Literal["auto", "kvm", "tcg"] = _key("auto", "auto: KVM where a guest has been seen to run under it")
    public_interface: str = _key("", "where public addresses are; empty: the interface of the default route")
    public_pool: list[str] = _key(["198.51.100.0/24"], "ranges of public addresses, CIDR or FIRST-LAST")
    vpc_cidr: str = _key("172.31.0.0/16", "range of each account's default VPC")
    transit_cidr: str = _key("100.64.0.0/16", "range of the links between this host and its VPCs; never seen outside")
    dns_servers: list[str] = _key([], "where guests' questions go; empty: the host's own servers")
    tunnel_address: str = _key("", "this host's address on the network between the hosts; empty: there is none")
    vlan_interface: str = _key("", "trunk between the hosts: each VPC made from now on has a VLAN there; empty: VXLAN")
    vlan_start: int = _key(100, "number of the first VPC's VLAN; the others follow, up to 4094")
    guest_mtu: int = _key(0, "largest packet of a guest; 0: 1500, or what fits between the hosts (VXLAN, trunk)")
    volume_export: Literal["nbd", "nbd-tls", "iscsi"] = _key(
        "nbd", "how volumes reach instances on other hosts, nbd-tls: encrypted, iscsi: by tgt; see docs/volumes.md"
    )
    volume_certificate_dir: str = _key(
        CERTIFICATES, "directory of this host's certificates for nbd-tls: nbd_tls_x509_cert_dir of libvirt's qemu.conf"
    )
    vcpu_overcommit: float = _key(16.0, "virtual CPUs promised for each of the host's")
    memory_overcommit: float = _key(1.0, "guests' memory promised for each byte of the host's")
    disk_overcommit: float = _key(4.0, "guests' disks promised for each byte of the host's")
    placement_policy: Literal["spread", "pack"] = _key(
        "spread", "spread: the host with most memory left; pack: the one with least that suffices"
    )
    live_moves_at_once: int = _key(2, "guests that move while they run, from a host and to it together; others wait")
    host_attributes: dict[str, str] = _key({}, "of this host, for placement: rack, dedicated_to, any other")
    quota_instances: int = _key(1000, "instances of an account")
    quota_vcpus: int = _key(4000, "virtual CPUs of an account's instances together")
    quota_memory_gib: int = _key(16000, "memory of an account's instances together, GiB")
    quota_key_pairs: int = _key(5000, "key pairs of an account")
    quota_images: int = _key(1000, "images of an account")
    quota_volumes: int = _key(5000, "volumes of an account")
    quota_volume_gib: int = _key(51200, "GiB of an account's volumes together")
    quota_snapshots: int = _key(10000, "snapshots of an account")
    quota_addresses: int = _key(100, "public addresses (Elastic IPs) of an account")
    quota_groups: int = _key(500, "security groups of a VPC")
    quota_rules: int = _key(200, "rules of a security group, each direction")
    stop_grace_seconds: float = _key(60.0, "from asking a guest to shut down to switching it off")
    audit_dir: str = _key("", "directory of the audit log; empty: audit in the state directory")
    audit_bucket: str = _key("", "bucket of the first account that the audit log is delivered to; empty: none")
    audit_bucket_seconds: float = _key(300.0, "how often what is new is delivered there")
    access_log_seconds: float = _key(300.0, "how often the access logs of buckets are delivered")
    audit_days: int = _key(90, "how long the audit log is kept, in days")
    terminated_seconds: float = _key(3600.0, "how long a terminated instance stays visible")
    image_dir: str = _key(
        "", "directory of images, the same on all hosts (NFS); empty: each host fetches those that it needs"
    )
    volume_dir: str = _key(
        "",
        "directory of volumes, the same on all hosts of a zone (NFS, CephFS); empty: in the state directory",
    )
    volume_driver: Literal["directory", "lvm", "rbd"] = _key(
        "directory",
        "how this host keeps volumes: as files in a directory, in LVM or in Ceph (rbd), see docs/volumes.md",
    )
    volume_group: str = _key("nova-volumes", "LVM's volume group that volumes are kept in")
    volume_thin_pool: str = _key("", "thin pool in that group, for volumes that take the room of what was written")
    rbd_pool: str = _key("volumes", "Ceph's pool that volumes are kept in, the same on all hosts of a zone")
    rbd_user: str = _key("cumulet", "whom Ceph knows the hosts as: client. and this name")
    rbd_conf: str = _key("/etc/ceph/ceph.conf", "file of Ceph's own settings")
    rbd_keyring: str = _key("", "file with the key of rbd_user; empty: where Ceph looks for it")
    fence_seconds: float = _key(
        0.0,
        "so long unheard, a host stops the guests that others can start, and these do (volume_dir, rbd); 0: never",
    )
    image_copy_hours: float = _key(
        168.0, "how long a host without image_dir keeps its copy of an image that it does not use"
    )
    image_copy_free_percent: float = _key(
        10.0, "how much of its file system such a host keeps free, in percent, by giving up copies; 0: none"
    )
    image_max_gib: int = _key(2048, "largest virtual size of an imported image")
    import_ranges: list[str] = _key(
        [], "ranges (CIDR) of addresses that are not public, from which images may be downloaded all the same"
    )
    object_domain: str = _key("", "domain whose names are S3's, with a bucket in front or none; empty: paths only")
    object_listen: str = _key("", "one more address and port, of S3 alone; empty: S3 is at the AWS endpoint only")
    object_url: str = _key(
        "", "where hosts, and an api without objects, reach S3, http://HOST:PORT; empty: at this process"
    )
    object_driver: Literal["directory", "rados"] = _key(
        "directory", "how objects are kept: as files in object_dirs, or in Ceph (rados), see docs/objects.md"
    )
    object_pool: str = _key("objects", "Ceph's pool that objects are kept in, the same on all hosts; see also rbd_user")
    object_dirs: list[str] = _key([], "directories (disks) of objects; empty: one in the state directory")
    object_copies: int = _key(1, "copies of each object, in as many of the directories")
    object_ownership: Literal["ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"] = _key(
        "ObjectWriter", "of new buckets; ObjectWriter: access control lists have effect; AWS's is BucketOwnerEnforced"
    )
    object_audit_days: float = _key(30.0, "in how many days every object's bytes are checked; 0: never")
    object_day_seconds: float = _key(86400.0, "length of a day of lifecycle rules; shorter for tests")
    quota_buckets: int = _key(1000, "buckets of an account; 0: any number, as with the following")
    quota_objects: int = _key(0, "objects (versions) of an account")
    quota_object_gib: int = _key(0, "GiB of an account's objects")
    quota_bucket_objects: int = _key(0, "objects (versions) of a bucket")
    quota_bucket_gib: int = _key(0, "GiB of a bucket's objects")
    account: str = _key("admin", "name of the account made at the first start")
    threads: int = _key(4, "reconcilers at a time")
    log_level: Literal["debug", "info", "warning", "error"] = _key("info", "what is worth a line in the log")
    instance_types: dict[str, InstanceType] = _key({}, "more instance types: vcpus, memory_mib, requires by name")

    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir}/cumulet.db"

    def keyring(self) -> Keyring:
        """The keys that secrets in the database are sealed with; they are kept apart from it."""
        return Keyring(Path(self.secret_key_file) if self.secret_key_file else self.state_dir / "secret.key")

    def audit_directory(self) -> Path:
        return Path(self.audit_dir) if self.audit_dir else self.state_dir / "audit"

    def access_log_directory(self) -> Path:
        return self.state_dir / "access-logs"

    def image_directory(self) -> Path:
        return Path(self.image_dir) if self.image_dir else self.state_dir / "images"

    def shares_volumes(self) -> bool:
        """Whether other hosts have the volumes that this one keeps, too."""
        return bool(self.volume_dir) or self.volume_driver == "rbd"

    def volume_directory(self) -> Path:
        return Path(self.volume_dir) if self.volume_dir else self.state_dir / "volumes"

    def zone_names(self) -> list[str]:
        return self.zones or [f"{self.region}a", f"{self.region}b"]

    def host(self) -> str:
        return self.host_name or socket.gethostname()

    def role_names(self) -> tuple[str, ...]:
        """The roles of this process; raises `Failure` for one that there is not, or that needs a bus to be apart."""
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown:
            raise Failure(f"the setting roles names {', '.join(unknown)}; there are {', '.join(ROLES)}")
        if self.roles and set(self.roles) != set(ROLES) and not self.bus_url:
            raise Failure(f"the setting roles is {', '.join(self.roles)}: roles apart need RabbitMQ, see bus_url")
        return tuple(role for role in ROLES if role in self.roles or not self.roles)

    def address(self) -> tuple[str, int]:
        """Where to listen: host and port; port 0 lets the system choose."""
        return _address("listen", self.listen)

    def object_address(self) -> tuple[str, int] | None:
        """Where S3 alone is."""
        return _address("object_listen", self.object_listen) if self.object_listen else None

    def object_directories(self) -> list[Path]:
        return [Path(one) for one in self.object_dirs] or [self.state_dir / "objects"]


def _address(key: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise Failure(f"the setting {key} is {text!r}; it is ADDRESS:PORT, such as 127.0.0.1:8773")
    return host.strip("[]"), int(port)


def load(
    path: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[Config, dict[str, str]]:
    """The configuration, and for each key where it comes from: `command`, `environment`, the file's name or `default`.

    Raises `Failure` that names the key, the value and what would be right.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Config.__struct_fields__, "default")
    for origin, found in (
        (str(path), _from_file(path)),
        ("environment", _from_environment(environ)),
        ("command", {key: value for key, value in overrides.items() if value is not None}),
    ):
        values.update(found)
        origins.update(dict.fromkeys(found, origin))
    for key in values:
        if key not in Config.__struct_fields__:
            raise Failure(f"there is no setting {key!r}{_where(key, origins)}{_meant(key)}")
    return _checked(values, origins), origins


def _checked(values: dict[str, Any], origins: dict[str, str]) -> Config:
    try:
        config = msgspec.convert(values, Config, strict=False, dec_hook=lambda wanted, value: wanted(value))
    except msgspec.ValidationError as e:
        key = str(e).partition(" - at `$.")[2].rstrip("`").split("[")[0].split(".")[0]
        raise _wrong(key, values[key], origins, config_rules.of_type(get_type_hints(Config)[key])) from None
    known = msgspec.to_builtins(config, enc_hook=str)
    broken = config_rules.broken(known)
    if broken is not None:
        key, right = broken
        raise _wrong(key, known[key], origins, right)
    if config.volume_driver != "directory" and config.volume_dir:
        right = f'empty where volume_driver is "{config.volume_driver}", which knows no directory'
        raise _wrong("volume_dir", config.volume_dir, origins, right)
    if config.object_driver == "rados" and (config.object_dirs or config.object_copies != 1):
        key, right = ("object_dirs", "empty") if config.object_dirs else ("object_copies", "1")
        right += ' where object_driver is "rados": Ceph has its own disks, and the pool says how many copies'
        raise _wrong(key, known[key], origins, right)
    config.address()
    config.object_address()
    config.role_names()
    return config


def _wrong(key: str, value: Any, origins: dict[str, str], right: str) -> Failure:
    shown = _PASSWORD.sub(r"\1***@", repr(value))
    return Failure(f"the setting {key} is {shown}{_where(key, origins)}; it must be {right}")


def _where(key: str, origins: dict[str, str]) -> str:
    """Where to correct a setting; nothing for the command line, which is before the user's eyes."""
    by_variable = {"environment": f" (by CUMULET_{key.upper()})", "command": "", "default": ""}
    return by_variable.get(origins[key], f" (in {origins[key]})")


def _meant(key: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, Config.__struct_fields__, 1)
    return f"; did you mean {close[0]}?" if close else "; `cumulet config` lists them all"


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as e:
        raise Failure(f"the configuration {path} cannot be read") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise Failure(f"the configuration {path} is not TOML") from e


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in Config.__struct_fields__:
        text = environ.get(f"CUMULET_{key.upper()}")
        if text is not None:
            found[key] = _from_text(_default(key), text)
    return found


def _from_text(default: Any, text: str) -> Any:
    """Lists are parted by commas, and so are tables: `rack=r1,ssd=true`."""
    parts = [part for part in text.split(",") if part]
    if isinstance(default, dict):
        return {key: value for key, _, value in (part.partition("=") for part in parts)}
    return parts if isinstance(default, list) else text


def _default(key: str) -> Any:
    return getattr(Config(), key)
