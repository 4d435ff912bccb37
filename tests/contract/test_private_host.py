"""The private host: nothing of it shows outside, and nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from support.libvirtd import bounded

from cumulet.lib.private_host import SCRATCH_VARIABLE

_START = [sys.executable, "-m", "cumulet.lib.private_host", "--"]


def _processes(text: str) -> list[int]:
    """The pids of the processes that are `sleep TEXT`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if arguments[:2] == [b"sleep", text.encode()]:
            found.append(int(process.name))
    return found


def _wait_for_process(text: str) -> None:
    for _ in bounded(30):
        if _processes(text):
            return


def _scratch(text: str) -> Path:
    """The scratch directory of the private host in which such a process is."""
    variables = Path(f"/proc/{_processes(text)[0]}/environ").read_text().split("\0")
    return Path(dict(variable.split("=", 1) for variable in variables if variable)[SCRATCH_VARIABLE])


def test_the_exit_status_is_the_commands(tmp_path: Path) -> None:
    assert subprocess.run([*_START, "sh", "-c", "exit 7"]).returncode == 7
    assert subprocess.run([*_START, "sh", "-c", "kill -KILL $$"]).returncode == 137
    missing = subprocess.run([*_START, "/no/such/program"], capture_output=True, text=True)
    assert missing.returncode == 1
    assert "/no/such/program" in missing.stderr


def test_what_is_made_inside_does_not_show_outside(tmp_path: Path) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    steps = f"ip netns add {name} && ip netns && ip link add {name} type veth && touch /run/{name} && virsh uri"
    look = f"ls -d /sys/class/net/{name} /run/netns/{name} /run/{name} /var/lib/libvirt/qemu"
    inside = subprocess.run([*_START, "sh", "-ec", f"{steps}; {look}"], capture_output=True, text=True)
    assert inside.returncode == 0, inside.stderr
    assert "qemu:///system" in inside.stdout
    assert name not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
    assert not Path(f"/sys/class/net/{name}").exists()
    assert not Path(f"/run/{name}").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_once_and_it_may_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    pause = f"90.{uuid.uuid4().int % 10**9:09d}"
    note = tmp_path / "note"
    script = f"trap 'echo cleaned >> {note}; exit 5' INT TERM; sleep {pause} & wait"
    with subprocess.Popen([*_START, "sh", "-c", script]) as outside:
        _wait_for_process(pause)
        scratch = _scratch(pause)
        outside.send_signal(number)
        assert outside.wait(timeout=30) == 5
    assert note.read_text() == "cleaned\n"
    assert _processes(pause) == []
    assert not scratch.exists()


def test_whoever_is_killed_outside_takes_along_all_that_is_inside(tmp_path: Path) -> None:
    pause = f"90.{uuid.uuid4().int % 10**9:09d}"
    with subprocess.Popen([*_START, "setsid", "sleep", pause]) as outside:
        _wait_for_process(pause)
        scratch = _scratch(pause)
        os.kill(outside.pid, signal.SIGKILL)
        before = time.monotonic()
        while _processes(pause) and time.monotonic() - before < 10:
            time.sleep(0.05)
    assert _processes(pause) == []
    assert scratch.exists()
    subprocess.run([*_START, "true"], check=True)
    assert not scratch.exists()
