"""The disks of a guest that runs: plugged in, limited, and unplugged, which needs the guest's consent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import libvirt

from cumulet.drivers.hypervisor import chap, keys, led_on, pools
from cumulet.drivers.hypervisor.cut import close_all_but, cut, touch
from cumulet.drivers.hypervisor.domain_xml import ALIAS, Directories, disk_alias, disk_xml, volume_path
from cumulet.drivers.specs import DiskSpec, InstanceSpec

_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_ON_TOP = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
)
_AGAIN_SECONDS = 10.0
"""For so long a guest that was asked to let go is not asked again."""
_CONNECT_SECONDS = 3.0
"""For so long QEMU may take to connect again to an export that has grown."""
_NO_LIMITS = {"total_iops_sec": 0, "total_bytes_sec": 0}


def plugged(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """Name to the disk's XML, for those of a domain."""
    found = {}
    for disk in root.iterfind("devices/disk"):
        alias = disk.find("alias")
        name = alias.get("name", "") if alias is not None else ""
        if name.startswith(ALIAS):
            found[name.removeprefix(ALIAS)] = disk
    return found


def left(domain: Any) -> dict[str, ElementTree.Element]:
    """As `plugged`; what has been unplugged is closed by then."""
    there = plugged(ElementTree.fromstring(domain.XMLDesc()))
    close_all_but(domain, [element.get("index", "") for disk in there.values() for element in disk.iter()])
    return there


class Asked:
    """When guests were asked to let go of which disks. A guest that is asked again while it lets go is what libvirt 9
    does not stand: it ends, or leaves the file open in QEMU."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], float] = {}

    def is_due(self, domain: Any, name: str) -> bool:
        """Whether to ask now; whoever is told so does."""
        now, key = time.monotonic(), (domain.UUIDString(), name)
        self._times = {one: when for one, when in self._times.items() if when > now - _AGAIN_SECONDS}
        if key in self._times:
            return False
        self._times[key] = now
        return True


def ensure(domain: Any, spec: InstanceSpec, directories: Directories, asked: Asked) -> None:
    """Take one step: what is to go is asked to go, what is to come is there afterwards."""
    there = plugged(ElementTree.fromstring(domain.XMLDesc()))
    wanted = {disk.name for disk in spec.disks}
    if wanted - there.keys():
        there = left(domain)  # what is to come may be what libvirt forgot to close
    for name in there.keys() - wanted:
        if asked.is_due(domain, name):
            _ask_to_go(domain, name)
        if name in spec.cut or (there[name].get("type") == "network" and _waits_for_disk(domain)):
            _check_served(there[name])
            cut(domain, name, there[name])
    _change_layers(domain, [disk for disk in spec.disks if disk.name in there and not disk.export], there, directories)
    for disk in spec.disks:
        if disk.name not in there:
            pools.prepare(domain.connect(), directories.pool, [disk])
            with keys.told(domain.connect(), [disk]):
                domain.attachDeviceFlags(disk_xml(disk, directories), _LIVE)
            continue
        if disk.export:
            led_on.ensure(domain, disk, there[disk.name])
        if _limits(there[disk.name]) != _wanted_limits(disk):
            domain.setBlockIoTune(f"vd{disk.slot}", _wanted_limits(disk), _LIVE)
    grow(domain, spec.disks)


def _check_served(disk: ElementTree.Element) -> None:
    """Raises `Failure` for a disk by iSCSI that nobody serves: QEMU would wait for it before it does anything else."""
    source = disk.find("source[@protocol='iscsi']/host")
    if source is not None:
        chap.check(source.get("name", ""))


def _waits_for_disk(domain: Any) -> bool:
    """Whether the guest is paused because it could not read or write: it cannot let go of anything then."""
    return bool(domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR])


def grow(domain: Any, wanted: list[DiskSpec]) -> None:
    """Have the disks be as large as they are to become; the guest is told."""
    for disk in wanted:
        target, size = f"vd{disk.slot}", disk.size_gib << 30
        if size and domain.blockInfo(target)[0] < size:
            _resize(domain, disk, target, size)


def _resize(domain: Any, disk: DiskSpec, target: str, size: int) -> None:
    if disk.secret:
        chap.check(disk.export)
    end = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            domain.blockResize(target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
            break
        except libvirt.libvirtError:  # QEMU still has the size of when it connected
            if not disk.export or time.monotonic() > end:
                raise
        if not disk.secret:
            touch(domain, disk.name)
        time.sleep(0.02)
    if disk.export and _waits_for_disk(domain):  # it wrote in the moment in which nobody served it
        domain.resume()


def _change_layers(
    domain: Any, disks: list[DiskSpec], there: dict[str, ElementTree.Element], directories: Directories
) -> None:
    """Have the guest write to the volumes' new top layers, all at one moment, where they have such."""
    tops: dict[str, tuple[DiskSpec, Path]] = {}
    for disk in disks if directories.layered else []:
        source, top = there[disk.name].find("source"), volume_path(directories, disk)
        if source is not None and source.get("file") != str(top):
            tops[f"vd{disk.slot}"] = disk, top
    if not tops:
        return
    targets = [target.get("dev", "") for disk in there.values() if (target := disk.find("target")) is not None]
    parts = [_change(target, tops.get(target)) for target in targets]
    with keys.told(domain.connect(), [disk for disk, _ in tops.values()]):
        domain.snapshotCreateXML(f"<domainsnapshot><disks>{''.join(parts)}</disks></domainsnapshot>", _ON_TOP)


def _change(target: str, changed: tuple[DiskSpec, Path] | None) -> str:
    if changed is None:
        return f"<disk name='{target}' snapshot='no'/>"
    disk, top = changed
    source = keys.encrypted_source(disk.volume, top) if disk.key else f"<source file={quoteattr(str(top))}/>"
    return f"<disk name='{target}' snapshot='external'><driver type='qcow2'/>{source}</disk>"


def _ask_to_go(domain: Any, name: str) -> None:
    """The guest lets go some time after, and libvirt tells of it; asked again, QEMU says that it has been asked."""
    try:
        domain.detachDeviceAlias(disk_alias(name), _LIVE)
    except libvirt.libvirtError as e:
        gone = e.get_error_code() == libvirt.VIR_ERR_DEVICE_MISSING
        if not gone and "in the process of unplug" not in str(e):
            raise


def _limits(disk: ElementTree.Element) -> dict[str, int]:
    return {name: int(disk.findtext(f"iotune/{name}", "0")) for name in _NO_LIMITS}


def _wanted_limits(disk: DiskSpec) -> dict[str, int]:
    return {"total_iops_sec": disk.iops, "total_bytes_sec": disk.throughput_mib << 20}
