"""What a driver says is there, as plain data that also crosses the bus."""

from __future__ import annotations

import msgspec


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of ours that is there."""

    id: str
    state: str = "there"
    """Hypervisor: running, paused (not yet plugged), off. Others: there, or broken: to be made again."""
    generation: int = 0
    """Hypervisor: the start (`InstanceSpec.generation`) that this guest stands for."""
    ended: str = ""
    """Hypervisor, when off: why the guest is no longer there though nobody here stopped it
    (`shutdown`: by itself, `crashed`, `lost`: with its host); empty when we stopped it."""
