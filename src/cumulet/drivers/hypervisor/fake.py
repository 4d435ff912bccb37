"""A hypervisor without guests: domains are files, boot at once and obey at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import DiskSpec, InstanceSpec, Spec, tap_name
from cumulet.lib.clock import Clock
from cumulet.lib.errors import Failure


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

    def ensure(self, spec: Spec) -> None:
        assert isinstance(spec, InstanceSpec)
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
            if not disk.export and self._disks.get("volume", disk.volume) is None:
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
            here = disk.export or self._disks.get("volume", disk.volume) is not None
            if disk.name not in domain["disks"] and not here:
                raise Failure(f"plugging {disk.volume} into {spec.id}: there is no such disk")
            self._grow(disk)
        wanted = [disk.name for disk in spec.disks]
        kept = [name for name in domain["disks"] if name not in [*wanted, *spec.cut] and not self.lets_go]
        if domain["disks"] != wanted + kept:
            domain = domain | {"disks": wanted + kept}
            self._world.put("domain", spec.id, domain)
        return domain

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
