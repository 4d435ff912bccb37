"""glibc's allocator, told to keep little of what threads have freed (mallopt(3)); another does as it does."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
ARENAS = 2


def keep_little() -> None:
    """Before threads are made. By itself glibc has up to eight arenas for each processor, and what was freed in one is
    of use to its own threads only: with 32 clients, and objects of 8 MiB, that was 25 MiB. Threads that hold Python's
    lock while they allocate gain nothing by so many."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
