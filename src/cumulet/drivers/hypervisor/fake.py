"""A hypervisor without guests: domains are files, boot at once and obey at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import DiskSpec, InstanceSpec, Spec, tap_name
from cumulet.lib import crash
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Failure
from cumulet.lib.seen import Departure, Landing


class FakeHypervisor:
    """`on_change(id)` is called when a guest ends by itself; `obedient` guests shut down when asked.

    A guest that `lets_go` of a disk does so when it is asked to; `disks` has the volumes, if another world does.
    """

    def __init__(
        self,
        world: FakeWorld,
        on_change: Callable[[str], None] = lambda id: None,
        *,
        clock: Clock | None = None,
        obedient: bool = True,
        lets_go: bool = True,
        disks: FakeWorld | None = None,
    ) -> None:
        self._world = world
        self._disks = disks or world
        self._on_change = on_change
        self._clock = clock or Clock()
        self.obedient = obedient
        self.lets_go = lets_go
        self.refuses_to_leave = False
        self.processor = ""
        self.devices = ""

    def ensure(self, spec: Spec) -> None:
        assert isinstance(spec, InstanceSpec)
        if spec.departure is not None or spec.arrives_from:
            self._move(spec)
            return
        self._stay(spec.id)
        domain = self._domain(spec.id)
        if domain and domain["state"] != "off" and (spec.power == "off" or domain["generation"] < spec.generation):
            domain = self._shut_down(spec, domain)
        if spec.power == "on" and (domain is None or self._may_start(domain, spec)):
            with self._world.lock:
                domain = self._start(spec)
        if domain and domain["state"] != "off" and spec.power == "on":
            domain = self._plug_disks(spec, domain)
        if domain and domain["state"] == "paused" and not self._unplugged(domain):
            self._world.put("domain", spec.id, domain | {"state": "running"})

    def remove(self, id: str) -> None:
        self._world.remove("door", id)
        self._world.remove("domain", id)

    def observe(self) -> list[Seen]:
        return [seen for name in self._world.names("domain") if (seen := self.look(name)) is not None]

    def look(self, id: str) -> Seen | None:
        domain = self._domain(id)
        if domain is None:
            return None
        return Seen(id=id, state=domain["state"], generation=domain["generation"], ended=domain["ended"])

    def console(self, id: str) -> bytes:
        """What the guest has written; raises `Failure` if there is none."""
        domain = self._domain(id)
        if domain is None:
            raise Failure(f"there is no guest {id}")
        return f"start {domain['generation']} of {id}\n".encode()

    def disks(self, id: str) -> list[str]:
        """The names of the disks that the guest has; none where it does not run."""
        domain = self._domain(id)
        return sorted(domain["disks"]) if domain and domain["state"] != "off" else []

    def cut(self, id: str) -> list[str]:
        """What is taken away by force is gone at once."""
        return []

    def landing(self, id: str) -> Landing:
        """Its world is where others find it."""
        place = str(self._world.directory)
        return Landing(
            address=place,
            certificate=place,
            volumes=place,
            images=place,
            consoles=place,
            devices=self.devices,
            processor=self.processor,
        )

    def departure(self, id: str) -> Departure:
        """How far the guest is with leaving."""
        known = self._world.get("departure", id)
        return Departure(**known) if known is not None else Departure()

    def end(self, id: str, how: str = "shutdown") -> None:
        """The guest ends by itself (tests): `shutdown` or `crashed`."""
        domain = self._domain(id)
        assert domain is not None
        self._world.put("domain", id, domain | {"state": "off", "ended": how})
        self._on_change(id)

    def _domain(self, id: str) -> dict[str, Any] | None:
        domain = self._world.get("domain", id)
        if domain and domain["state"] != "off" and domain["boot"] != self._world.boot():
            return domain | {"state": "off", "ended": "lost"}
        return domain

    def _move(self, spec: InstanceSpec) -> None:
        if spec.departure is None:
            keys = {disk.volume: disk.key for disk in spec.disks}
            self._world.put("door", spec.id, {"from": spec.arrives_from, "keys": keys})
            return
        domain, known = self._domain(spec.id), self.departure(spec.id)
        failed = known.state == "failed" and known.number == spec.departure.number
        if domain is None or domain["state"] == "off" or failed:
            return
        there = FakeWorld(Path(spec.departure.landing.address))
        try:
            self._go_on(spec, domain, there)
        except Failure as e:
            said = {"state": "failed", "number": spec.departure.number, "why": str(e)}
            self._world.put("departure", spec.id, said)

    def _go_on(self, spec: InstanceSpec, domain: dict[str, Any], there: FakeWorld) -> None:
        """One step: first its memory is on its way, then it is frozen, then it is there, then it is not here."""
        assert spec.departure is not None
        if self.refuses_to_leave or (there.get("door", spec.id) or {}).get("from") != str(self._world.directory):
            raise Failure("the other host does not let it in")
        keys = (there.get("door", spec.id) or {}).get("keys", {})
        for disk in spec.disks:
            room = there.get("volume", disk.volume) or self._disks.get("volume", disk.volume) or {}
            if room.get("key", "") != keys.get(disk.volume, ""):
                raise Failure(f"the key of {disk.volume} was not told there")
        arrived = there.get("domain", spec.id)
        going = {"state": "going", "number": spec.departure.number, "done": 1, "total": 2}
        if arrived is None or arrived["boot"] != there.boot():
            self._world.put("departure", spec.id, going)
            there.put("domain", spec.id, domain | {"state": "moving", "boot": there.boot()})
            for tap in domain["taps"]:
                there.put("tap", tap, (there.get("tap", tap) or {}) | {"holder": spec.id})
            return
        self._world.put("domain", spec.id, domain | {"state": "moving"})
        crash.point("hypervisor.frozen")
        there.put("domain", spec.id, arrived | {"state": "paused"})
        crash.point("hypervisor.arrived")
        self._world.put("domain", spec.id, domain | {"state": "off", "ended": "moved"})
        self._world.remove("departure", spec.id)

    def _stay(self, id: str) -> None:
        """It leaves no more, nor is another one let in; what was frozen goes on."""
        comes = self._world.get("door", id) is not None
        self._world.remove("departure", id)
        self._world.remove("door", id)
        domain = self._domain(id)
        if domain and domain["state"] == "moving" and not comes:
            self._world.put("domain", id, domain | {"state": "running"})

    def _shut_down(self, spec: InstanceSpec, domain: dict[str, Any]) -> dict[str, Any]:
        if self.obedient or self._clock.now() >= spec.force_after:
            domain = domain | {"state": "off", "ended": ""}
            self._world.put("domain", spec.id, domain)
        return domain

    def _may_start(self, domain: dict[str, Any], spec: InstanceSpec) -> bool:
        return domain["state"] == "off" and (
            domain["generation"] < spec.generation or domain["ended"] not in ("shutdown", "crashed")
        )

    def _start(self, spec: InstanceSpec) -> dict[str, Any]:
        for disk in spec.disks:
            if not self._is_there(disk):
                raise Failure(f"starting {spec.id}: there is no disk {disk.volume}")
        taps = [tap_name(nic.interface) for nic in spec.nics]
        for tap in taps:
            found = self._world.get("tap", tap)
            if found is None or found["holder"] or found["place"] != "host":
                raise Failure(f"starting {spec.id}: there is no tap {tap}")
        for tap in taps:
            self._world.put("tap", tap, (self._world.get("tap", tap) or {}) | {"holder": spec.id})
        domain = {"generation": spec.generation, "ended": "", "boot": self._world.boot(), "taps": taps}
        domain["disks"] = [disk.name for disk in spec.disks]
        domain["state"] = "paused" if taps else "running"
        self._world.put("domain", spec.id, domain)
        return domain

    def _plug_disks(self, spec: InstanceSpec, domain: dict[str, Any]) -> dict[str, Any]:
        for disk in spec.disks:
            if disk.name not in domain["disks"] and not self._is_there(disk):
                raise Failure(f"plugging {disk.volume} into {spec.id}: there is no such disk")
            self._grow(disk)
        wanted = [disk.name for disk in spec.disks]
        kept = [name for name in domain["disks"] if name not in [*wanted, *spec.cut] and not self.lets_go]
        if domain["disks"] != wanted + kept:
            domain = domain | {"disks": wanted + kept}
            self._world.put("domain", spec.id, domain)
        return domain

    def _is_there(self, disk: DiskSpec) -> bool:
        """Whether the disk can be opened here; raises `Failure` where its key is another one."""
        volume = self._disks.get("volume", disk.volume)
        if not disk.export and volume is not None and volume.get("key", "") != disk.key:
            raise Failure(f"the key of {disk.volume} was not told")
        return bool(disk.export) or volume is not None

    def _grow(self, disk: DiskSpec) -> None:
        volume = self._disks.get("volume", disk.volume)
        if volume is not None and volume["size_gib"] < disk.size_gib:
            self._disks.put("volume", disk.volume, volume | {"size_gib": disk.size_gib})

    def _unplugged(self, domain: dict[str, Any]) -> bool:
        return any((self._world.get("tap", tap) or {}).get("place") == "host" for tap in domain["taps"])


def kill_in(world: FakeWorld) -> Callable[[Iterable[str]], list[str]]:
    """What ends guests of this world as `killing.Killer` does real ones."""

    def kill(ids: Iterable[str]) -> list[str]:
        for id in ids:
            domain = world.get("domain", id)
            if domain is not None and domain["state"] != "off":
                world.put("domain", id, domain | {"state": "off", "ended": ""})
        return []

    return kill
