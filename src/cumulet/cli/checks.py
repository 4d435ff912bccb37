"""What `cumulet doctor` checks: each function looks at one part of the host and says what it found."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from cumulet.cli import running
from cumulet.lib import tls_files
from cumulet.lib.command import run
from cumulet.lib.config import Config
from cumulet.lib.errors import CumuletError

FREE_BYTES = 5 << 30
FULL_PERCENT = 95.0
CERTIFICATE_DAYS = 30
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FAKE = "not needed by fake drivers"


class Finding(NamedTuple):
    """What was found: `ok`, `warning` or `problem`, in words, and what to do."""

    part: str
    level: Literal["ok", "warning", "problem"]
    text: str
    advice: str = ""


Check = Callable[[Config], Iterator[Finding]]


def guarded(check: Check, config: Config) -> list[Finding]:
    """What a check finds; where it cannot even look, that is a problem of the part."""
    try:
        return list(check(config))
    except PermissionError as e:
        name, advice = check.__name__.replace("_", " "), "run as the user whose cloud it is"
        return [Finding(name, "problem", f"{e.filename}: {e.strerror}", advice)]
    except (CumuletError, OSError) as e:
        return [Finding(check.__name__.replace("_", " "), "problem", str(e), "see the message")]


def programs(config: Config) -> Iterator[Finding]:
    """The programs that real guests and networks need are on the path."""
    packages = {
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "ip": "iproute2",
        "nft": "nftables",
        "dnsmasq": "dnsmasq-base",
    }
    for program, package in packages.items():
        path = shutil.which(program)
        if path is not None:
            yield Finding(program, "ok", path)
        else:
            yield Finding(program, _unless_fake(config), "it is not installed", f"apt-get install {package}")


def kvm(config: Config) -> Iterator[Finding]:
    """A guest runs under KVM; without it guests are emulated, which is no error."""
    from cumulet.lib.kvm import seconds_of_guest

    if config.emulation == "tcg":
        yield Finding("KVM", "ok", "not used: the setting emulation is tcg")
    elif _kvm_works():
        yield Finding("KVM", "ok", "a guest runs under it")
    elif config.emulation == "kvm":
        yield Finding("KVM", "problem", "no guest runs under it", "set emulation to auto or tcg, or make KVM work")
    elif seconds_of_guest("tcg") is not None:
        yield Finding("KVM", "ok", "guests run emulated, which is slower: none runs under it here")
    else:
        yield Finding("KVM", _unless_fake(config), "no guest runs, neither under KVM nor emulated", "see QEMU above")


def _kvm_works() -> bool:
    from cumulet.lib.kvm import kvm_works

    return kvm_works()


def libvirt(config: Config) -> Iterator[Finding]:
    """libvirt answers at the URI that is configured."""
    if config.drivers == "fake":
        yield Finding("libvirt", "ok", FAKE)
        return
    try:
        import libvirt as binding
    except ImportError:
        yield Finding("libvirt", "problem", "its Python binding is not installed", "make install")
        return
    binding.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = binding.openReadOnly(config.libvirt_uri)
        version = connection.getLibVersion()
        connection.close()
    except binding.libvirtError as e:
        yield Finding(
            "libvirt", "problem", f"{config.libvirt_uri}: {e}", "start libvirtd, or see the setting libvirt_uri"
        )
        return
    text = f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000} at {config.libvirt_uri}"
    yield Finding("libvirt", "ok", text)


def firewall(config: Config) -> Iterator[Finding]:
    """nft takes rules like ours, in a fresh network namespace."""
    rule = "type filter hook forward priority 0; ct state established accept;"
    command = ["unshare", "--net", "nft", "--file", "-"]
    try:
        run(command, stdin=f"table inet cumulet_doctor {{ chain forward {{ {rule} }}; }}\n", timeout=10)
    except CumuletError as e:
        yield Finding("firewall", _unless_fake(config), str(e), "nft needs root and a kernel with nf_tables")
    else:
        yield Finding("firewall", "ok", "nft takes stateful rules in a network namespace")


def trunk(config: Config) -> Iterator[Finding]:
    """The trunk of the VPCs' VLANs is there, and the kernel makes one there, in a fresh network namespace."""
    name = config.vlan_interface
    if not name or "network" not in config.role_names():
        return
    serious = _unless_fake(config) if config.tunnel_address else "warning"
    if not Path(f"/sys/class/net/{name}").exists():
        yield Finding("trunk", serious, f"this host has no interface {name}", "see the setting vlan_interface")
        return
    made = "link add trunk type veth\nlink add link trunk name trunk.2 type vlan id 2\n"
    try:
        run(["unshare", "--net", "ip", "-batch", "-"], stdin=made, timeout=10)
    except CumuletError as e:
        yield Finding("trunk", serious, f"this kernel makes no VLAN: {e}", "it needs 802.1q: modprobe 8021q")
        return
    if config.tunnel_address:
        yield Finding("trunk", "ok", f"{name} is there, and VLANs can be made")
    else:
        yield Finding("trunk", "warning", "the setting tunnel_address is empty", "hosts know each other by it: set it")


def forwarding(config: Config) -> Iterator[Finding]:
    """The kernel lets us switch on forwarding, for our own interfaces."""
    per_interface = Path("/proc/sys/net/ipv4/conf/lo/forwarding")
    if os.access(per_interface, os.W_OK) and not os.statvfs(per_interface).f_flag & os.ST_RDONLY:
        state = "on" if FORWARDING.read_text().strip() == "1" else "off; Cumulet switches it on for its own interfaces"
        yield Finding("forwarding", "ok", f"can be set; for all of the host it is {state}")
    else:
        yield Finding("forwarding", _unless_fake(config), f"{per_interface} cannot be written", "run as root")


def disk(config: Config) -> Iterator[Finding]:
    """There is room in the state directory, and where volumes and images are."""
    kept = (config.state_dir, config.volume_directory(), config.image_directory())
    there = [next(path for path in (wanted, *wanted.parents) if path.exists()) for wanted in kept]
    for where in {path.stat().st_dev: path for path in reversed(there)}.values():
        usage = shutil.disk_usage(where)
        full = 100 - 100 * usage.free / usage.total
        text = f"{usage.free / 2**30:.1f} GiB free, {full:.0f} % full"
        if usage.free < FREE_BYTES or full >= FULL_PERCENT:
            yield Finding("disk", "warning", text, f"make room in {where}: 5 GiB free and less than 95 % full")
        else:
            yield Finding("disk", "ok", text)


def volume_group(config: Config) -> Iterator[Finding]:
    """The volume group is there, and its thin pool, and has room."""
    from cumulet.drivers.volume.wiping import left
    from cumulet.lib.lvm import Group

    if config.volume_driver != "lvm":
        return
    if config.volume_thin_pool and shutil.which("thin_check") is None:
        text = "thin_check is not installed: LVM starts no thin pool without it"
        yield Finding("thin pool", _unless_fake(config), text, "apt-get install thin-provisioning-tools")
    group = Group(config.volume_group, config.volume_thin_pool)
    try:
        room, wiped = group.room(), left(group)
    except CumuletError as e:
        yield Finding("volume group", _unless_fake(config), str(e), "see the message, or the setting volume_group")
        return
    text = f"{group.name}{f'/{group.pool}' if group.pool else ''}: {room.free / 2**30:.1f} GiB free"
    text += f", {wiped / 2**30:.1f} GiB still to be wiped" if wiped else ""
    if room.free < FREE_BYTES or room.free < room.size * (1 - FULL_PERCENT / 100):
        yield Finding("volume group", "warning", text, f"`vgextend {group.name} DISK`, or delete volumes")
    else:
        yield Finding("volume group", "ok", text)


def rbd_pool(config: Config) -> Iterator[Finding]:
    """The pool in Ceph is reached, and has room; QEMU opens images of it."""
    from cumulet.drivers.volume.rbd import pool_of

    if config.volume_driver != "rbd":
        return
    pool, level = pool_of(config), _unless_fake(config)
    try:
        pool.volumes()
        pool.key()
        room = pool.room()
    except CumuletError as e:
        yield Finding("Ceph", level, str(e), "see the message, or the settings rbd_…; docs/volumes.md has an example")
        return
    if "rbd" not in run(["qemu-img", "--help"], check=False).stdout.partition("Supported formats:")[2].split():
        yield Finding("Ceph", level, "QEMU cannot open volumes in Ceph", "apt-get install qemu-block-extra")
    text = f"pool {pool.name}: {room.free / 2**30:.1f} GiB free"
    if room.free < FREE_BYTES or room.free < room.size * (1 - FULL_PERCENT / 100):
        yield Finding(
            "Ceph", "warning", text, "add disks (OSDs) to Ceph, or delete volumes: guests wait when it is full"
        )
    else:
        yield Finding("Ceph", "ok", text)


def certificates(config: Config) -> Iterator[Finding]:
    """Where volumes reach other hosts by NBD with TLS, this one has what that needs, and for the next month."""
    agents, directory = {"volume", "compute"} & set(config.role_names()), Path(config.volume_certificate_dir)
    if not agents or (config.volume_export != "nbd-tls" and not (directory / "ca-cert.pem").exists()):
        return
    level, advice = _unless_fake(config), "see docs/volumes.md, By NBD with TLS"
    files = [
        directory / f"{name}.pem" for name in ("ca-cert", "server-cert", "server-key", "client-cert", "client-key")
    ]
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        yield Finding("certificates", level, f"not there: {', '.join(missing)}", advice)
        return
    wrong = tls_files.wrong(directory, config.tunnel_address)
    if wrong:
        yield Finding("certificates", level, wrong, advice)
        return
    days = tls_files.days_left(directory)
    text = f"volumes reach other hosts by TLS; good for {days} days"
    if days < CERTIFICATE_DAYS:
        yield Finding("certificates", "warning", text, "make new ones: a daemon takes them when it starts")
    else:
        yield Finding("certificates", "ok", text)


def object_pool(config: Config) -> Iterator[Finding]:
    """The pool of objects in Ceph is reached, is this cloud's to write to, and has room."""
    from cumulet.drivers.blob.rados import pool_of
    from cumulet.lib.rados import check

    if config.object_driver != "rados" or "object" not in config.role_names():
        return
    pool = pool_of(config)
    try:
        check(pool)
        _check_owner(config)
        room = pool.room()
    except CumuletError as e:
        advice = "see the message, or the settings object_pool and rbd_…; docs/objects.md has an example"
        yield Finding("objects in Ceph", "problem", str(e), advice)
        return
    text = f"pool {pool.name}: {room.free / 2**30:.1f} GiB free"
    if room.free < FREE_BYTES or room.free < room.size * (1 - FULL_PERCENT / 100):
        yield Finding("objects in Ceph", "warning", text, "add disks (OSDs) to Ceph, or delete objects")
    else:
        yield Finding("objects in Ceph", "ok", text)


def _check_owner(config: Config) -> None:
    """Raises `Failure` where the pool keeps the objects of another cloud; one that is nobody's is left so."""
    from cumulet.cli import options
    from cumulet.drivers.blob.rados import OWNER, space_of
    from cumulet.services import blobs_of

    there_is_a_cloud = config.database_url or (config.state_dir / "cumulet.db").exists()
    if there_is_a_cloud and space_of(config)("").state(OWNER) is not None:
        with options.database(config) as opened:
            next(blobs_of(config, opened).observe(), None)


def state_directory(config: Config) -> Iterator[Finding]:
    """What is kept can be written."""
    where = config.state_dir
    if not where.exists():
        parent = next(path for path in where.parents if path.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield Finding("state directory", "ok", f"{where} will be made at the first start")
        else:
            yield Finding(
                "state directory", "problem", f"{parent} cannot be written", "run as root, or see --state-dir"
            )
        return
    try:
        with tempfile.TemporaryFile(dir=where) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as e:
        yield Finding("state directory", "problem", f"{where}: {e.strerror}", "run as root, or make room")
    else:
        yield Finding("state directory", "ok", f"{where} can be written")


def database(config: Config) -> Iterator[Finding]:
    """The database opens and its tables are of this program's version."""
    from cumulet.cli import options
    from cumulet.model import migrate

    if not config.database_url and not (config.state_dir / "cumulet.db").exists():
        yield Finding("database", "ok", "none yet; it will be made at the first start")
        return
    with options.database(config) as opened:
        found, newest = migrate.version(opened), migrate.newest()
    if found == newest:
        yield Finding("database", "ok", f"version {found}")
    elif not found:
        yield Finding("database", "problem", migrate.NO_VERSION, "use an empty database, or another state directory")
    elif found in migrate.known():
        yield Finding(
            "database", "warning", f"version {found}; {newest} is needed", "`cumulet db sync` brings it there"
        )
    else:
        text = f"version {found} is newer than this program's {newest}"
        yield Finding("database", "problem", text, "use the newer program")


def services(config: Config) -> Iterator[Finding]:
    """All the services that the database knows have been heard lately."""
    from cumulet.administration.overview import services as heard
    from cumulet.cli import options

    if running.pid(config.state_dir) is None:
        yield Finding("services", "warning", f"no cloud runs for {config.state_dir}", "`cumulet up` starts it")
        return
    with options.database(config) as opened, opened.read() as tx:
        found = heard(tx)
    silent = [f"{one['binary']} on {one['host']}" for one in found if not one["alive"]]
    if silent:
        yield Finding("services", "problem", f"not heard for 15 s: {', '.join(silent)}", "look at the log of that host")
    else:
        yield Finding("services", "ok", f"{len(found)} heard")


def interpreter(config: Config) -> Iterator[Finding]:
    """Which Python this is, and whether we are root, whom the network needs."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if os.geteuid() == 0 or config.drivers == "fake":
        yield Finding("user", "ok", f"uid {os.geteuid()}, Python {version}")
    else:
        yield Finding("user", "problem", f"uid {os.geteuid()} is not root", "real drivers need root: sudo cumulet …")


def _unless_fake(config: Config) -> Literal["ok", "problem"]:
    """A part that only real guests need."""
    return "ok" if config.drivers == "fake" else "problem"


ALL: tuple[Check, ...] = (
    interpreter,
    programs,
    kvm,
    libvirt,
    firewall,
    trunk,
    forwarding,
    disk,
    volume_group,
    rbd_pool,
    certificates,
    object_pool,
    state_directory,
    database,
    services,
)
