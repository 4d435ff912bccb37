"""The heartbeat: each role of a host says every few seconds that it is there, and what its host can carry."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec

from cumulet.bus.contract import Bus
from cumulet.lib.errors import Unreachable
from cumulet.lib.log import Log

log = Log("heartbeat")
EVERY_SECONDS = 5.0
CONTRACT = 1
"""The version of the orders and documents that this agent understands."""


class Beat(msgspec.Struct, kw_only=True):
    """One heartbeat of all the roles of a host."""

    host: str
    roles: list[str]
    zones: list[str]
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    contract: int = CONTRACT
    facts: dict[str, Any] = {}


class Heartbeat:
    """Beats in a thread of its own until it is stopped."""

    def __init__(self, bus: Bus, host: str, roles: list[str], zones: list[str], directory: Path) -> None:
        self._bus = bus
        self._host, self._roles, self._zones = host, roles, zones
        self._directory = directory
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True)
        self.facts: dict[str, Any] = {}

    def start(self) -> None:
        """The first beat is sent before this returns, if anybody hears it."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> None:
        message = Beat(
            host=self._host, roles=self._roles, zones=self._zones, **capacity(self._directory), facts=self.facts
        )
        try:
            self._bus.call("scheduler", msgspec.json.encode(message), 5.0)
        except Unreachable as e:
            log.warning("nobody heard the heartbeat", error=e)

    def _beat_until_stopped(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                self.beat()
            except Exception:  # noqa: BLE001 - a heart does not stop for one missed beat
                log.exception("heartbeat failed")


def capacity(directory: Path) -> dict[str, Any]:
    """The host's vCPUs, MiB of memory, and GiB of disk where `directory` is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = shutil.disk_usage(directory).total
    return {"vcpus": os.cpu_count() or 1, "memory_mib": memory >> 20, "disk_gib": disk >> 30}
