"""Inside the private host: a cloud with real drivers, a namespace that plays the outside world, and a user."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cumulet.demo.inventory import differences, inventory
from cumulet.demo.process import CloudProcess, make_world, until
from cumulet.demo.report import failed, shown, step
from cumulet.demo.user import User
from cumulet.lib.errors import CumuletError
from cumulet.lib.private_host import SCRATCH_VARIABLE


def main(image: Path) -> int:
    """All the steps; the exit status."""
    cloud = CloudProcess(Path(os.environ[SCRATCH_VARIABLE]) / "cloud")
    try:
        with step("make a namespace that plays the outside world"):
            make_world()
        before = inventory()
        try:
            _use(cloud, image, before)
        finally:
            with step("stop the cloud"):
                cloud.stop()
    except (CumuletError, subprocess.SubprocessError) as e:
        failed(str(e))
        shown(cloud.log.read_text(errors="replace") if cloud.log.exists() else "", 30)
        return 1
    except KeyboardInterrupt:
        return 130
    return complain_of_left(before)


def complain_of_left(before: dict[str, set[str]]) -> int:
    """Say what was not there before; gives the exit status."""
    left = differences(before, inventory())
    for line in left:
        failed(line)
    return 1 if left else 0


def _use(cloud: CloudProcess, image: Path, before: dict[str, set[str]]) -> None:
    with step("start the cloud (cumulet up)"):
        cloud.start()
    with step("take in the tiny image (cumulet image build-tiny)"):
        cloud.take_in_tiny(image)
    User(cloud.environ(), cloud.state).do_everything()
    with step("see that nothing of the guest is left on the host"):
        until(lambda: not left_of_guests(before, cloud.state), 20, "the guest's things to go")


def left_of_guests(before: dict[str, set[str]], state: Path) -> list[str]:
    """What users' things have left, the cloud's own process aside."""
    now = inventory()
    kinds = ("domains", "links", "network namespaces")
    lines = differences({kind: before[kind] for kind in kinds}, {kind: now[kind] for kind in kinds})
    lines += [f"process {name}" for name in now["processes"] if "qemu" in name or "dnsmasq" in name]
    return lines + [f"disk {path.name}" for path in (state / "volumes").glob("vol-*")]
