"""What a driver says is there, and answers when it is asked, as plain data that also crosses the bus."""

from __future__ import annotations

from typing import Literal

import msgspec


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of ours that is there."""

    id: str
    state: str = "there"
    """Hypervisor: running, paused (not yet plugged), moving (neither here nor there yet), off.

    Others: there, or broken: to be made again."""
    generation: int = 0
    """Hypervisor: the start (`InstanceSpec.generation`) that this guest stands for."""
    ended: str = ""
    """Hypervisor, when off: why the guest is no longer there though nobody here stopped it
    (`shutdown`: by itself, `crashed`, `lost`: with its host, `moved`: to another host); empty when we stopped it."""


class Departure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a guest's departure is that has been ordered (`DepartureSpec`)."""

    state: Literal["none", "going", "failed"] = "none"
    """None: it has left, or nothing is known of an order."""
    number: int = 0
    why: str = ""
    done: int = 0
    total: int = 0
    """Bytes of memory and disks."""


class Landing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a host says of itself for guests that come to it, or leave it, while they run."""

    address: str
    """Of its passage (`drivers.hypervisor.passage`); empty: other hosts do not reach it."""
    certificate: str
    """By which the other end of a passage knows it, PEM."""
    volumes: str
    images: str
    consoles: str
    """Its directories."""
    devices: str = ""
    """Where volumes are as block devices there."""
    pool: str = ""
    """Which pool of Ceph they are in. Neither: they are files."""
    emulator: str = ""
    """QEMU's version."""
    processor: str = ""
    """What guests see of it; another one is another processor."""
