"""Guests killed without libvirt: by the processes that QEMU is, found by the UUID on their command lines.

Which guests were killed is noted, so that their hypervisor does not take them for crashed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cumulet.drivers.specs import domain_uuid
from cumulet.lib.log import Log

log = Log("killing")
_PROC = Path("/proc")
_PATIENCE = 5.0


class Killed:
    """The notes, a file a guest in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, id: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / id).touch()

    def has(self, id: str) -> bool:
        return (self._directory / id).exists()

    def forget(self, id: str) -> None:
        (self._directory / id).unlink(missing_ok=True)


class Killer:
    """Notes in `directory` what it kills."""

    def __init__(self, directory: Path) -> None:
        self._killed = Killed(directory)

    def __call__(self, ids: Iterable[str]) -> list[str]:
        """Kill these guests; gives those that are not dead within seconds: what waits for a dead disk cannot die."""
        wanted = {domain_uuid(id): id for id in ids}
        end = time.monotonic() + _PATIENCE
        seen: set[int] = set()
        while found := _processes(wanted):
            for pid, id in found.items():
                if pid not in seen:
                    log.warning("killed: the host's lease is over", instance=id, pid=pid)
                    self._killed.note(id)
                seen.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > end:
                return sorted(found.values())
            time.sleep(0.02)
        return []


def _processes(wanted: dict[str, str]) -> dict[int, str]:
    """Process to guest, for those of these UUIDs."""
    found = {}
    for entry in _PROC.glob("[0-9]*/cmdline") if wanted else ():
        with suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if b"qemu" in words[0] and b"-uuid" in words:
                id = wanted.get(words[words.index(b"-uuid") + 1].decode())
                if id is not None:
                    found[int(entry.parent.name)] = id
    return found
