"""What processes use of the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def cpu_seconds(first: Sequence[int]) -> float:
    """Of processes and their living descendants, and of those that they have waited for (proc(5), stat)."""
    family, total = set(first), 0
    stats: dict[int, list[str]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
    grown = True
    while grown:
        more = {pid for pid, fields in stats.items() if int(fields[1]) in family} - family
        family |= more
        grown = bool(more)
    for pid in family:
        total += sum(int(field) for field in stats.get(pid, [])[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """A process's share of memory (proportional set size), MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
