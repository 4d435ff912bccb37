"""The watchdog of a host: a process that stops guests when the host's lease is over, whatever became of the agents.

It is started by the agents and outlives them, as guests do. It needs nothing but the lease's file, the compute agent's
documents, and /proc.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cumulet.agent import fence
from cumulet.agent.documents import Documents
from cumulet.lib import log as logs
from cumulet.lib.log import Log

log = Log("watchdog")
EVERY_SECONDS = 1.0
START_SECONDS = 10.0


class Watchdog:
    """Starts the process for a state directory, and starts it again where it has died; `kind` as the drivers are."""

    def __init__(self, state: Path, kind: str) -> None:
        self._state, self._kind = state, kind
        self._mine: subprocess.Popen[bytes] | None = None

    def watches(self) -> bool:
        """Whether the process runs, now that it has been seen to."""
        if self._mine is None:
            _end(self._state)  # what an older version has left
        if self._mine is None or self._mine.poll() is not None:
            command = [sys.executable, "-m", "cumulet.agent.watchdog", str(self._state), self._kind]
            self._mine = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not _is_locked(self._state):
            if self._mine.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True


def killer(state: Path, kind: str) -> fence.Kill:
    """What stops guests of these drivers."""
    if kind == "fake":
        from cumulet.drivers.fake_world import FakeWorld
        from cumulet.drivers.hypervisor.fake import kill_in

        return kill_in(FakeWorld(state / "world"))
    from cumulet.drivers.hypervisor.killing import Killer

    return Killer(fence.directory(state) / "killed")


def look(state: Path, kind: str) -> list[str]:
    """Stop what must not run; gives the guests that are not dead yet."""
    if fence.lease_of(state).is_held():
        return []
    return killer(state, kind)(fence.guests(Documents(state / "agents" / "compute")))


def _end(state: Path) -> None:
    file = _lock_file(state)
    with suppress(OSError, ValueError):
        if _is_locked(state):
            os.kill(int(file.read_text()), signal.SIGTERM)
    end = time.monotonic() + START_SECONDS
    while _is_locked(state) and time.monotonic() < end:
        time.sleep(0.02)


def _is_locked(state: Path) -> bool:
    """Whether a watchdog runs: it holds the lock for as long as it lives."""
    try:
        with _lock_file(state).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock_file(state: Path) -> Path:
    return fence.directory(state) / "watchdog"


def _spare_me() -> None:
    """Out of memory, the kernel shall kill others."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")


def main(state: Path, kind: str) -> None:
    logs.start("info")
    with _lock_file(state).open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _spare_me()
        while True:
            try:
                left = look(state, kind)
                if left:
                    log.error("guests do not die", instances=" ".join(left))
            except Exception:  # noqa: BLE001 - it goes on, whatever it is
                log.exception("not looked")
            time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
