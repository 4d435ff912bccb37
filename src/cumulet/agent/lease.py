"""The lease on a host: what lets it run guests that are started on another host when this one is lost.

A heartbeat promises that the host stops those guests when nobody has answered it for so many seconds. The scheduler's
answer renews the lease for as long, counted from before the heartbeat was sent, by a clock that goes on while the host
sleeps. The scheduler waits longer than that, from when it heard the heartbeat: so its guests are dead before they are
started elsewhere, whoever of the two was cut off.

A lease has a number that only grows. A host that was given up is answered with a higher one, which it takes up when
the guests that it runs by an older one are dead; and what it was ordered under an older one it does not start again.
The lease is a file, so that whoever watches over it (`agent.watchdog`) outlives the agents.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cumulet.drivers.specs import InstanceSpec, Spec
from cumulet.lib import files
from cumulet.lib.errors import Failure, Superseded

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Held(msgspec.Struct, kw_only=True):
    """The number that the host has taken up, and until when it holds the lease."""

    number: int = 0
    until: float | None = 0.0
    """Seconds since the host's start; None: it has promised nothing, and holds the lease until it is told otherwise."""
    boot: str = ""
    """The host's start that `until` is counted from."""


def uptime() -> float:
    """Seconds since the host's start, those that it slept through included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """That of the host whose agents keep it in `file`."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = uptime, boot_id_file: Path = BOOT_ID) -> None:
        self._file = file
        self.clock = clock
        self._boot_id_file = boot_id_file
        file.parent.mkdir(parents=True, exist_ok=True)

    @property
    def number(self) -> int:
        return self._held().number

    def is_held(self) -> bool:
        """Whether the host has been answered lately enough."""
        held = self._held()
        return held.boot == self._boot() and (held.until is None or self.clock() < held.until)

    def renew(self, until: float | None) -> None:
        """It is held until this moment of `clock`; None: with no end."""
        self._write(Held(number=self.number, until=until, boot=self._boot()), durable=False)

    def take_up(self, number: int) -> None:
        """The host has this lease from now on, and does not hold it before the next answer."""
        self._write(Held(number=number), durable=True)

    def check(self, spec: Spec) -> None:
        """Raises `Superseded` for a guest that is not to be started here any more, `Failure` for one not now."""
        if not isinstance(spec, InstanceSpec) or spec.lease is None or spec.power != "on":
            return
        if spec.lease < self.number:
            raise Superseded(f"{spec.id} was to run by lease {spec.lease} of this host, which has {self.number} now")
        if spec.lease > self.number or not self.is_held():
            raise Failure(f"{spec.id} is not started: the lease {spec.lease} of this host is not held")

    def _held(self) -> Held:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Held)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Held()

    def _write(self, held: Held, *, durable: bool) -> None:
        files.write(self._file, msgspec.json.encode(held), durable=durable)

    def _boot(self) -> str:
        return self._boot_id_file.read_text().strip()
