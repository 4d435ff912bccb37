"""Inside the private host: a cloud with real drivers, a namespace that plays the outside world, and a user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cumulet.demo.inventory import differences, inventory
from cumulet.demo.report import failed, shown, step
from cumulet.demo.user import User
from cumulet.lib.command import run
from cumulet.lib.errors import CumuletError, Failure
from cumulet.lib.private_host import SCRATCH_VARIABLE

WORLD = "world"
POOL = "198.51.100.0/24"
_LINKS = """\
link add pub0 type veth peer name eth0 netns world
addr add 192.0.2.1/24 dev pub0
link set pub0 up
route add default via 192.0.2.2 dev pub0
"""


def main(image: Path) -> int:
    """All the steps; the exit status."""
    state = Path(os.environ[SCRATCH_VARIABLE]) / "cloud"
    try:
        with step("make a namespace that plays the outside world"):
            make_world()
        before = inventory()
        with running_cloud(state, image) as environ:
            User(environ, state).do_everything()
            with step("compare what is here with what was here before"):
                _wait_until(lambda: not _left(before, state), 20, "nothing of the guest to be left")
        after = differences(before, inventory())
    except (CumuletError, subprocess.SubprocessError, AssertionError) as e:
        failed(str(e))
        return 1
    except KeyboardInterrupt:
        failed("interrupted")
        return 130
    for line in after:
        failed(line)
    return 1 if after else 0


def make_world() -> None:
    """A network namespace that reaches the pool of public addresses through `pub0`, as a user's network would."""
    run(["ip", "netns", "add", WORLD])
    run(["ip", "-batch", "-"], stdin=_LINKS)
    inside = ["link set lo up", "addr add 192.0.2.2/24 dev eth0", "link set eth0 up", f"route add {POOL} dev eth0"]
    run(["ip", "-n", WORLD, "-batch", "-"], stdin="\n".join(inside) + "\n")


@contextmanager
def running_cloud(state: Path, image: Path) -> Iterator[dict[str, str]]:
    """`cumulet up` with the tiny image in it; gives the environment of its clients."""
    state.mkdir(parents=True)
    state.chmod(0o755)
    shutil.copytree(image, state / "tiny")
    log = state / "log"
    options = ["--state-dir", str(state), "--listen", "127.0.0.1:8773"]
    settings = {"CUMULET_PUBLIC_POOL": POOL, "CUMULET_PUBLIC_INTERFACE": "pub0"}
    with log.open("wb") as output, step("start the cloud (cumulet up)"):
        command = [sys.executable, "-m", "cumulet", "up", *options]
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
        try:
            _wait_until(lambda: (state / "endpoint").exists() or process.poll() is not None, 30, "the cloud to answer")
        except BaseException:
            process.kill()
            raise
    try:
        with step("take in the tiny image (cumulet image build-tiny)"):
            cumulet("image", "build-tiny", "--state-dir", str(state))
        yield _environment(cumulet("env", "--state-dir", str(state)))
    except BaseException:
        shown(log.read_text(errors="replace"), 30)
        raise
    finally:
        with step("stop the cloud (cumulet down)"):
            process.terminate()
            process.wait(timeout=30)


def cumulet(*arguments: str) -> str:
    """What the command says."""
    return run([sys.executable, "-m", "cumulet", *arguments], timeout=120).stdout


def _environment(exports: str) -> dict[str, str]:
    lines = [line.removeprefix("export ").partition("=") for line in exports.splitlines() if line.startswith("export ")]
    return {name: value.strip("'\"") for name, _, value in lines}


def _left(before: dict[str, set[str]], state: Path) -> list[str]:
    """What the user's things have left, the cloud itself aside."""
    now: dict[str, Any] = inventory()
    kinds = ("domains", "links", "network namespaces")
    lines = differences({kind: before[kind] for kind in kinds}, {kind: now[kind] for kind in kinds})
    lines += [f"process {name}" for name in now["processes"] if "qemu" in name or "dnsmasq" in name]
    return lines + [f"disk {path.name}" for path in (state / "volumes").glob("vol-*")]


def _wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)
