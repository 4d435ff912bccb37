"""Small files that are whole whenever the process dies, and on request also when the host does."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: bytes, *, durable: bool) -> None:
    """Have the file at `path` hold `text`: whoever reads it finds all of the old one or all of the new one.

    `durable`: after a power cut too. One writer of a path at a time; only its user may read it.
    """
    aside = path.with_suffix(".aside")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, len(text))  # else ext4 flushes it when it is renamed over the old one
        os.write(descriptor, text)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.rename(path)


def sync_directory(directory: Path) -> None:
    """What was made, renamed or removed in the directory stays so after a power cut too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
