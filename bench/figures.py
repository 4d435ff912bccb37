"""Figures: what was measured, beside what it is compared with, as a table and as JSON."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line: `value` in `unit`; `target` as the issue has it; `note` says of what it is the median or the sum."""

    name: str
    value: float
    unit: str
    target: str = ""
    note: str = ""


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(figures: Sequence[Figure]) -> str:
    rows = [("what", "measured", "aim", "")] + [(f.name, f"{f.value:.4g} {f.unit}", f.target, f.note) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def save(figures: Sequence[Figure], directory: Path) -> Path:
    """Write them as JSON, with the time and the machine's kind."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    machine = {"machine": platform.machine(), "kernel": platform.release(), "python": platform.python_version()}
    file.write_text(json.dumps({**machine, "figures": [asdict(figure) for figure in figures]}, indent=2) + "\n")
    return file
