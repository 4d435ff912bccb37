"""What the demonstration says: a line for each step, with its seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def said(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def shown(text: str, most: int = 12) -> None:
    """The last lines of what something has said, set apart."""
    for line in text.strip().splitlines()[-most:]:
        said(f"            | {line.rstrip()}")


def failed(text: str) -> None:
    said(f"   FAILED   {text}")


@contextmanager
def step(name: str) -> Iterator[None]:
    """One line when it is done: its seconds and its name."""
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        failed(f"{name} (after {time.monotonic() - begun:.1f} s)")
        raise
    said(f"{time.monotonic() - begun:8.2f} s   {name}")
