"""Guests by libvirt and QEMU. A guest is a persistent domain, named by its id, with our facts in its metadata."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from cumulet.drivers.contract import Seen
from cumulet.drivers.hypervisor import console, cut, disks, facts, keys, pools
from cumulet.drivers.hypervisor.connection import Connection
from cumulet.drivers.hypervisor.departures import Departures
from cumulet.drivers.hypervisor.domain_xml import Directories, Emulation, console_file, domain_xml
from cumulet.drivers.hypervisor.facts import Facts, Mark
from cumulet.drivers.hypervisor.killing import Killed
from cumulet.drivers.hypervisor.passage import Passage
from cumulet.drivers.hypervisor.processor import host_processor
from cumulet.drivers.specs import DiskSpec, InstanceSpec, Spec, domain_uuid, tap_name
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.seen import Departure, Landing

log = Log("hypervisor")
EMULATOR, _PACKAGE = "qemu-system-x86_64", "qemu-system-x86"
_EMULATED = Emulation()
_PRESS_AGAIN = 5.0
"""Seconds until the power button is pressed once more: a guest that was booting has not felt the first time."""
_OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)
_PAUSED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED)
_MOVING = ([libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION],)
_ENDS: dict[int, Mark] = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: "moved",
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


class LibvirtHypervisor:
    """The driver of `InstanceSpec`. No verb waits for a guest: a guest that is to shut down is still there when
    `ensure` returns, and a later `ensure` goes on. `on_change(id)` is called in a thread of its own when something
    has happened to a guest; it may ask this driver."""

    def __init__(
        self,
        uri: str,
        directories: Directories,
        emulation: Emulation | Callable[[], Emulation] = _EMULATED,
        on_change: Callable[[str], None] = lambda _: None,
        *,
        killed: Killed | None = None,
        clock: Clock | None = None,
        boot_id_file: Path = Path("/proc/sys/kernel/random/boot_id"),
        passage: Passage | None = None,
    ) -> None:
        self.directories = directories
        self._emulation = emulation
        self._on_change = on_change
        self._killed = killed
        self._clock = clock or Clock()
        self._boot_id_file = boot_id_file
        self._pressed: dict[str, float] = {}
        self._asked = disks.Asked()
        self._passage = passage or Passage(directories.consoles, directories.consoles / "passage.pem", "")
        self._departures = Departures(self._passage, directories.images.absolute(), on_change)
        self._opened: dict[str, list[DiskSpec]] = {}
        """The disks whose keys libvirt knows for a guest that comes here."""
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._connection = Connection(uri, self._changed, lambda: [seen.id for seen in self.observe()])

    def ensure(self, spec: Spec) -> None:
        """Take one step towards `spec`: start, plug, press the power button, or stop by force."""
        assert isinstance(spec, InstanceSpec)
        if spec.arrives_from:
            console.prepare(console_file(self.directories, spec.id))
            with self._only_one(spec.id), self._saying(f"making ready for guest {spec.id}"):
                pools.tell(self._connection.get(), self.directories.pool)
                self._opened[spec.id] = spec.disks
                keys.tell(self._connection.get(), spec.disks)
            self._passage.open(spec.id, spec.arrives_from)
            return
        self._passage.close(spec.id)
        with self._only_one(spec.id), self._saying(f"making guest {spec.id} be {spec.power}"):
            self._forget_keys(spec.id)
            found = self._find(spec.id)
            if spec.departure is not None or (found is not None and self._departures.stop(spec.id, found[0])):
                self._move(spec, found)
                return
            if found is None and spec.power == "on":
                self._start(spec)
                return
            domain, known = found or self._define(spec, spec.generation)
            if not _is_off(domain):
                self._tend(spec, domain, known)
            elif spec.power == "on" and self._may_start(spec, self._recorded(domain, known)):
                self._start(spec)

    def _move(self, spec: InstanceSpec, found: tuple[Any, Facts] | None) -> None:
        """It is to leave, if it is here; or it is still leaving, though it is to stay: it is told so."""
        if spec.departure is not None and found is not None and not _is_off(found[0]):
            self._departures.go_on(found[0], spec)

    def _forget_keys(self, id: str) -> None:
        """It has come, or does not: libvirt needs them no more."""
        if id in self._opened:
            keys.forget(self._connection.get(), self._opened.pop(id))

    def remove(self, id: str) -> None:
        """Stop it by force and forget it, its firmware's variables and its console."""
        self._passage.close(id)
        with self._only_one(id), self._saying(f"removing guest {id}"):
            self._forget_keys(id)
            found = self._find(id)
            if found is not None:
                domain, known = found
                self._destroy(domain, known)
                domain.undefineFlags(_UNDEFINE)
            if self._killed is not None:
                self._killed.forget(id)
            console.remove(console_file(self.directories, id))
            self._pressed.pop(id, None)
            self._departures.forget(id)

    def observe(self) -> list[Seen]:
        """All the guests whose metadata is ours."""
        with self._saying("listing the guests"):
            domains = [(domain, _facts(domain)) for domain in self._connection.get().listAllDomains()]
            return [self._seen(domain, known) for domain, known in domains if known is not None]

    def look(self, id: str) -> Seen | None:
        """One guest; what is learnt about its end is written down."""
        with self._only_one(id), self._saying(f"looking at guest {id}"):
            found = self._find(id)
            if found is None:
                return None
            domain, known = found
            return self._seen(domain, self._recorded(domain, known) if _is_off(domain) else known)

    def console(self, id: str) -> bytes:
        """The last 64 KiB of what the guest has written to its serial console."""
        return console.read(console_file(self.directories, id))

    def disks(self, id: str) -> list[str]:
        """The names of the disks that the guest has; none where it does not run."""
        with self._only_one(id), self._saying(f"looking at the disks of guest {id}"):
            found = self._find(id)
            return sorted(disks.left(found[0])) if found is not None and not _is_off(found[0]) else []

    def cut(self, id: str) -> list[str]:
        """Those of the guest's disks that have been taken away from behind their devices."""
        there = self.disks(id)
        with self._only_one(id), self._saying(f"looking behind the disks of guest {id}"):
            found = self._find(id)
            return cut.done(found[0], there) if found is not None and there else []

    def landing(self, id: str) -> Landing:
        """What a host must know to send a guest here, or to let one in that comes from here."""
        emulation = self._emulation if isinstance(self._emulation, Emulation) else self._emulation()
        with self._saying("asking for the version of QEMU"):
            number = self._connection.get().getVersion()
        version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        kvm = emulation.accelerator == "kvm"
        return Landing(
            address=self._passage.address,
            certificate=self._passage.certificate,
            volumes=str(self.directories.volumes.absolute()),
            images=str(self.directories.images.absolute()),
            consoles=str(self.directories.consoles.absolute()),
            devices=str(self.directories.devices or ""),
            pool=self.directories.pool.name if self.directories.pool else "",
            emulator=version,
            processor=host_processor() if kvm else f"of QEMU {version}",
        )

    def departure(self, id: str) -> Departure:
        """How far the guest is with leaving."""
        with self._saying(f"looking at the departure of guest {id}"):
            found = self._find(id)
            return self._departures.look(id, found[0] if found is not None else None)

    def vnc_socket(self, id: str) -> Path | None:
        """The Unix socket of the guest's screen; None where it does not run."""
        with self._saying(f"asking for the screen of guest {id}"):
            found = self._find(id)
            if found is None or _is_off(found[0]):
                return None
            listen = ElementTree.fromstring(found[0].XMLDesc()).find("devices/graphics/listen[@type='socket']")
            return Path(listen.get("socket", "")) if listen is not None else None

    def close(self) -> None:
        """Hang up; guests go on."""
        self._connection.close()

    def _may_start(self, spec: InstanceSpec, known: Facts) -> bool:
        return spec.generation > known.generation or known.boot != self._boot() or known.mark in ("new", "ours")

    def _tend(self, spec: InstanceSpec, domain: Any, known: Facts) -> None:
        """What is to do with a guest that is there."""
        if spec.power == "off" or spec.generation > known.generation:
            self._shut_down(spec, domain, known)
            if spec.power == "on" and _is_off(domain):
                self._start(spec)
            return
        console.rotate(console_file(self.directories, spec.id))
        if known.mark == "new" or known.boot != self._boot():  # it may have come from another host
            mark: Mark = "up" if known.mark == "new" else known.mark
            self._record(domain, replace(known, mark=mark, boot=self._boot()))
        disks.ensure(domain, spec, self.directories, self._asked)
        self._plug(spec, domain)

    def _shut_down(self, spec: InstanceSpec, domain: Any, known: Facts) -> None:
        if known.mark != "ours":
            known = self._record(domain, known.marked("ours"))
        if self._clock.now() >= spec.force_after or domain.state()[0] in _PAUSED:
            self._destroy(domain, known)
        elif time.monotonic() - self._pressed.get(spec.id, -_PRESS_AGAIN) >= _PRESS_AGAIN:
            self._pressed[spec.id] = time.monotonic()
            with _unless_gone():
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def _destroy(self, domain: Any, known: Facts) -> None:
        if not _is_off(domain):
            if known.mark != "ours":
                self._record(domain, known.marked("ours"))
            with _unless_gone():
                domain.destroy()

    def _define(self, spec: InstanceSpec, generation: int) -> tuple[Any, Facts]:
        known = Facts(spec.id, generation, self._boot())
        emulation = self._emulation if isinstance(self._emulation, Emulation) else self._emulation()
        xml = domain_xml(spec, known, self.directories, emulation)
        try:
            return self._connection.get().defineXML(xml), known
        except libvirt.libvirtError as e:
            if shutil.which(EMULATOR) is None:
                raise Failure(f"making guest {spec.id}: {EMULATOR} is not installed (the package {_PACKAGE})") from e
            raise

    def _start(self, spec: InstanceSpec) -> None:
        """Start it, paused until its interfaces' taps have been moved to where they belong."""
        missing = [tap for tap in _taps(spec) if not _is_here(tap)]
        if missing:
            raise Failure(f"starting guest {spec.id}: its tap {missing[0]} is not there yet")
        console.prepare(console_file(self.directories, spec.id))
        self._pressed.pop(spec.id, None)
        domain, known = self._define(spec, spec.generation)
        log.info("starting", instance=spec.id, generation=spec.generation)
        pools.prepare(self._connection.get(), self.directories.pool, spec.disks)
        with keys.told(self._connection.get(), spec.disks):
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if spec.nics else 0)
        self._record(domain, known.marked("up"))
        if self._killed is not None:
            self._killed.forget(spec.id)
        disks.grow(domain, spec.disks)
        self._plug(spec, domain)

    def _plug(self, spec: InstanceSpec, domain: Any) -> None:
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_PAUSED and not any(map(_is_here, _taps(spec))):
            domain.resume()
            if reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR:
                # it goes on at once where there is room again, and is paused again where there is none
                raise Failure(
                    f"guest {spec.id} waits until a disk of it can be written: make room at its volumes, or see to the "
                    "host that exports it"
                )

    def _seen(self, domain: Any, known: Facts) -> Seen:
        state = domain.state()[0]
        if state in _OFF:
            ended = self._end(domain, known).ended(self._boot())
            return Seen(id=known.id, state="off", generation=known.generation, ended=ended)
        running = "moving" if domain.state() in _MOVING else "paused" if state in _PAUSED else "running"
        return Seen(id=known.id, state=running, generation=known.generation)

    def _end(self, domain: Any, known: Facts) -> Facts:
        """The facts about a domain that is off, with what libvirt knows about its end."""
        if known.mark != "up" or known.boot != self._boot():
            return known
        if self._killed is not None and self._killed.has(known.id):
            return known.marked("ours")
        return known.marked(_ENDS.get(domain.state()[1], "crashed"))

    def _recorded(self, domain: Any, known: Facts) -> Facts:
        end = self._end(domain, known)
        return end if end == known else self._record(domain, end)

    def _record(self, domain: Any, known: Facts) -> Facts:
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if not _is_off(domain):
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        domain.setMetadata(kind, known.xml(), facts.PREFIX, facts.NAMESPACE, flags)
        return known

    def _find(self, id: str) -> tuple[Any, Facts] | None:
        try:
            domain = self._connection.get().lookupByUUIDString(domain_uuid(id))
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        known = _facts(domain)
        return None if known is None else (domain, known)

    def _boot(self) -> str:
        return self._boot_id_file.read_text().strip()

    def _changed(self, id: str) -> None:
        with contextlib.suppress(Failure):
            self.look(id)
        self._on_change(id)

    @contextlib.contextmanager
    def _only_one(self, id: str) -> Iterator[None]:
        """One thread at a time for a guest: an event may be looked at while the guest is started."""
        with self._guard:
            lock = self._locks.setdefault(id, threading.Lock())
        with lock:
            yield

    @contextlib.contextmanager
    def _saying(self, act: str) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as e:
            raise self._connection.failure(act, e) from e


def _facts(domain: Any) -> Facts | None:
    try:
        return facts.parse(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, facts.NAMESPACE))
    except libvirt.libvirtError as e:
        if e.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise


def _is_off(domain: Any) -> bool:
    return domain.state()[0] in _OFF


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """What is ordered of a guest that has just ended by itself has nothing left to do."""
    try:
        yield
    except libvirt.libvirtError as e:
        if e.get_error_code() not in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise


def _taps(spec: InstanceSpec) -> list[str]:
    return [tap_name(nic.interface) for nic in spec.nics]


def _is_here(tap: str) -> bool:
    """Whether a link is in this process's network namespace, which is libvirtd's."""
    try:
        socket.if_nametoindex(tap)
    except OSError:
        return False
    return True
