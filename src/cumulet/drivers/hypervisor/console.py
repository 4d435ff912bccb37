"""The files into which serial consoles are written: kept bounded, and read from the end."""

from __future__ import annotations

import os
from pathlib import Path

KEPT = 64 * 1024
"""Bytes that a user gets, as from AWS."""
_LARGE = 1024 * 1024


def prepare(file: Path) -> None:
    """Make the file be there for QEMU, which appends to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    rotate(file)


def rotate(file: Path) -> None:
    """Cut a file that has grown large, keeping its end in `file.0`. It is cut in place, as QEMU has it open."""
    try:
        if file.stat().st_size <= _LARGE:
            return
        _older(file).write_bytes(_end_of(file, KEPT))
        os.truncate(file, 0)
    except FileNotFoundError:
        return


def read(file: Path) -> bytes:
    """The last 64 KiB that were written; nothing where there is no file."""
    newest = _end_of(file, KEPT)
    return _end_of(_older(file), KEPT - len(newest)) + newest


def remove(file: Path) -> None:
    """Remove the file and all that was kept of it before (virtlogd keeps more than one)."""
    for each in (file, *file.parent.glob(f"{file.name}.*")):
        each.unlink(missing_ok=True)


def _older(file: Path) -> Path:
    return file.with_name(f"{file.name}.0")


def _end_of(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - size))
            return opened.read(size)
    except FileNotFoundError:
        return b""
