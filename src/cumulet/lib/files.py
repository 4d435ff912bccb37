"""Small files of JSON that are whole whenever the process dies, and on request also when the host does."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, document: bytes, *, durable: bool) -> None:
    """Have the file at `path` hold the JSON `document`: whoever reads it finds the old one or the new one.

    `durable`: after a power cut too. Without it the old file is overwritten by one call, as renaming over a file
    makes ext4 flush it; spaces stand for what the old one was longer.
    """
    if not durable and _overwrite(path, document):
        return
    aside = path.with_suffix(".aside")
    with aside.open("wb") as file:
        file.write(document)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    aside.rename(path)


def _overwrite(path: Path, document: bytes) -> bool:
    """False where there is no such file yet."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        os.pwrite(descriptor, document.ljust(os.fstat(descriptor).st_size), 0)
    finally:
        os.close(descriptor)
    return True
