"""Guests that leave this host while they run: libvirt carries them over, in a thread for each.

The passage is this process's. So a departure ends with it, and the guest goes on here, or is there already.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from cumulet.drivers.hypervisor.disks import plugged
from cumulet.drivers.hypervisor.domain_xml import Directories, console_file
from cumulet.drivers.hypervisor.passage import Ends, Passage
from cumulet.drivers.places import volume_file
from cumulet.drivers.specs import DepartureSpec, InstanceSpec
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.seen import Departure

log = Log("departures")
_FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_PAUSED
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
)
_SAME_FILES = libvirt.VIR_MIGRATE_UNSAFE
"""libvirt wants cache=none then; QEMU on Linux has written all before it leaves, and drops what it had cached there."""


@dataclass
class _Leaving:
    number: int
    thread: threading.Thread = field(default_factory=threading.Thread)
    ended: bool = False
    why: str = ""
    """Why it has failed."""


class Departures:
    """Those of one host. What it knows is lost with the process, and so are the departures.

    `on_end(id)` is called when one has ended, well or not.
    """

    def __init__(self, passage: Passage, images: Path, on_end: Callable[[str], None]) -> None:
        self._passage = passage
        self._on_end = on_end
        self._images = images
        self._known: dict[str, _Leaving] = {}

    def go_on(self, domain: Any, spec: InstanceSpec) -> None:
        """Have the guest leave, if it is not leaving, nor has failed to under this number."""
        assert spec.departure is not None
        known = self._known.get(spec.id)
        if self._goes(known) or _has_job(domain) or (known is not None and known.number == spec.departure.number):
            return
        leaving = self._known[spec.id] = _Leaving(spec.departure.number)
        xml = _there(domain, spec, spec.departure, self._images)
        leaving.thread = threading.Thread(
            target=self._leave, args=(leaving, domain, spec, spec.departure, xml), name=f"leave {spec.id}", daemon=True
        )
        log.info("leaving", instance=spec.id, to=spec.departure.landing.address)
        leaving.thread.start()

    def look(self, id: str, domain: Any) -> Departure:
        """How far it is; `domain` may be None."""
        known = self._known.get(id)
        number = known.number if known is not None else 0
        if self._goes(known) or (domain is not None and _has_job(domain)):
            done, total = _progress(domain)
            return Departure(state="going", number=number, done=done, total=total)
        if known is not None and known.why:
            return Departure(state="failed", number=number, why=known.why)
        return Departure()

    def stop(self, id: str, domain: Any) -> bool:
        """Have the guest stay; whether it is still leaving, which ends soon."""
        if self._goes(self._known.get(id)) or _has_job(domain):
            with contextlib.suppress(libvirt.libvirtError):
                domain.abortJob()
            return True
        self._known.pop(id, None)
        return False

    def forget(self, id: str) -> None:
        """Nothing is known of a guest that is gone."""
        if not self._goes(self._known.get(id)):
            self._known.pop(id, None)

    def _goes(self, known: _Leaving | None) -> bool:
        return known is not None and known.thread.is_alive() and not known.ended

    def _leave(self, leaving: _Leaving, domain: Any, spec: InstanceSpec, departure: DepartureSpec, xml: str) -> None:
        to, errors = departure.landing, list[str]()
        try:
            with self._passage.leading_to(spec.id, to.address, to.certificate) as ends:
                errors = ends.errors
                disks = libvirt.VIR_MIGRATE_NON_SHARED_DISK if departure.carries_disks else _SAME_FILES
                uri = f"qemu+unix:///system?socket={ends.libvirt}"
                domain.migrateToURI3(uri, _parameters(spec, departure, ends, xml), _FLAGS | disks)
        except (libvirt.libvirtError, Failure) as e:
            leaving.why = "; ".join([*dict.fromkeys(errors), f"{e}" if e.__cause__ is None else f"{e} ({e.__cause__})"])
            log.warning("it has not left", instance=spec.id, to=to.address, why=leaving.why)
        leaving.ended = True
        self._on_end(spec.id)


def _parameters(spec: InstanceSpec, departure: DepartureSpec, ends: Ends, xml: str) -> dict[str, Any]:
    given: dict[str, Any] = {
        libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{ends.memory}",
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: xml,
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: xml,
    }
    if departure.carries_disks:
        given[libvirt.VIR_MIGRATE_PARAM_DISKS_URI] = f"unix://{ends.disks}"
        given[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = [f"vd{disk.slot}" for disk in spec.disks]
    return given


def _there(domain: Any, spec: InstanceSpec, departure: DepartureSpec, images: Path) -> str:
    """The domain as it is to be on the other host: its files are in that one's directories."""
    landing = departure.landing
    root = ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE))
    volumes = {disk.name: disk.volume for disk in spec.disks}
    if departure.carries_disks and landing.devices:
        raise Failure(f"moving guest {spec.id}: volumes are in LVM there, where no guest carries its own to")
    if departure.carries_disks and landing.pool:
        raise Failure(f"moving guest {spec.id}: volumes are in Ceph there, where no guest carries its own to")
    for name, disk in plugged(root).items() if departure.carries_disks else ():
        source = disk.find("source")
        if name not in volumes or source is None or source.get("file") is None:
            raise Failure(f"moving guest {spec.id}: its disk {name} is not a file of this host")
        source.set("file", str(volume_file(Path(landing.volumes), volumes[name])))
        for below in disk.findall("backingStore"):
            disk.remove(below)
        if source.find("encryption") is not None:
            ElementTree.SubElement(disk, "backingStore")  # it stands on nothing there
    there = Directories(Path(landing.volumes), Path(landing.images), Path(landing.consoles))
    for console in (*root.iterfind("devices/serial/source"), *root.iterfind("devices/console/source")):
        console.set("path", str(console_file(there, spec.id)))
    for file in (*root.iterfind("os/kernel"), *root.iterfind("os/initrd")):
        file.text = (file.text or "").replace(str(images), landing.images, 1)
    return ElementTree.tostring(root, encoding="unicode")


def _has_job(domain: Any) -> bool:
    try:
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError:
        return False


def _progress(domain: Any) -> tuple[int, int]:
    """Bytes that are there, and all."""
    try:
        known = domain.jobStats() if domain is not None else {}
    except libvirt.libvirtError:
        known = {}
    total = int(known.get("data_total", 0))
    return max(total - int(known.get("data_remaining", 0)), 0), total
