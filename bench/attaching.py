"""Volumes of a real guest: from AttachVolume until it can read the disk, from DetachVolume until it is gone, and 26."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from bench.figures import Figure, median, percentile
from cumulet.demo.process import ssh, until

MOST = 26
"""Volumes of one instance, its root disk included."""
COME = "while ! dd if=/dev/vdb of=/dev/null bs=4096 count=1 2>/dev/null; do sleep 0.01; done"
GONE = "while [ -b /dev/vdb ]; do sleep 0.01; done"
BEGIN_SECONDS = 2.0
"""By then the guest is looking: a login by SSH takes about half of it under emulation."""


def measure(ec2: Any, key: Path, address: str, id: str, rounds: int) -> list[Figure]:
    """The guest answers SSH at `address`; it has its root disk alone before and after."""
    zone = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]["Placement"]["AvailabilityZone"]
    made = [str(ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]) for _ in range(MOST - 1)]
    _until_all(ec2, made, "available")
    attached, detached = [], []
    for volume in (made * rounds)[:rounds]:
        attached.append(_guest_sees(key, address, COME, partial(_attach, ec2, volume, id, "b")))
        detached.append(_guest_sees(key, address, GONE, partial(ec2.detach_volume, VolumeId=volume)))
        _until_all(ec2, [volume], "available")
    for volume, letter in zip(made, ascii_lowercase[1:], strict=True):
        _attach(ec2, volume, id, letter)
    _until_all(ec2, made, "in-use")
    until(lambda: _disks(key, address) == MOST, 60, f"the guest to have {MOST} disks")
    note = f"at most, of {rounds}: "
    return [
        Figure("AttachVolume to a disk that the guest reads", median(attached), "s", "< 1 s", note + _most(attached)),
        Figure("DetachVolume to the guest's having let go", median(detached), "s", "< 1 s", note + _most(detached)),
        Figure("volumes of one guest", _disks(key, address), "", f"{MOST}", "as the guest counts them"),
    ]


def _guest_sees(key: Path, address: str, command: str, act: Callable[[], object]) -> float:
    """Seconds from the request until the guest has said so; its command ends then."""
    waiting = threading.Thread(target=lambda: ssh(key, address, command, timeout=60))
    waiting.start()
    time.sleep(BEGIN_SECONDS)
    begun = time.monotonic()
    act()
    waiting.join()
    return time.monotonic() - begun


def _attach(ec2: Any, volume: str, id: str, letter: str) -> None:
    ec2.attach_volume(VolumeId=volume, InstanceId=id, Device=f"/dev/vd{letter}")


def _disks(key: Path, address: str) -> int:
    return len(ssh(key, address, "ls /sys/block | grep ^vd", timeout=60).split())


def _until_all(ec2: Any, ids: list[str], state: str) -> None:
    def holds() -> bool:
        return {one["State"] for one in ec2.describe_volumes(VolumeIds=ids)["Volumes"]} == {state}

    until(holds, 120, f"{len(ids)} volumes to be {state}")


def _most(seconds: list[float]) -> str:
    return f"{percentile(seconds, 1.0):.2f} s"
