"""Encrypted qcow2 files: how QEMU's tools are told the key, and open a file with all that it stands on.

The key is in no argument list, which all users of a host can read: it goes by a file in memory that only the process
has which is started with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cumulet.drivers.places import backing
from cumulet.drivers.volume import qcow2

SECRET = "key"
"""What QEMU's tools call it."""
POOL_SECRET = "pool"
"""And the key of a pool of Ceph, which is base64."""


class Told(NamedTuple):
    """What a tool must be given: words of its command line, and descriptors that it inherits."""

    words: list[str]
    descriptors: tuple[int, ...]


@contextmanager
def told(key: str, pool_key: str = "") -> Iterator[Told]:
    """While this lasts, a tool can be told the key, and that of a pool; nothing is told where there is none."""
    with ExitStack() as files:
        words, descriptors = [], []
        for name, secret, form in ((SECRET, key, "raw"), (POOL_SECRET, pool_key, "base64")):
            if secret:
                descriptors.append(files.enter_context(in_memory(secret.encode())))
                where = f"file=/proc/self/fd/{descriptors[-1]}"
                words += ["--object", f"secret,id={name},{where},format={form}"]
        yield Told(words, tuple(descriptors))


@contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A file that only this process has, and those that it gives the descriptor."""
    file = os.memfd_create("key")
    try:
        os.write(file, content)
        yield file
    finally:
        os.close(file)


def options(file: Path, secret: str = SECRET) -> dict[str, Any]:
    """The file and all that it stands on, as QEMU's block options; `secret` is its name of the key."""
    found: dict[str, Any] = {"driver": "qcow2", "file": {"driver": "file", "filename": str(file)}}
    if qcow2.is_encrypted(file):
        found["encrypt"] = {"format": "luks", "key-secret": secret}
        below = backing(file)
        if below is not None:
            found["backing"] = options(below, secret)
    return found


def name(file: Path) -> str:
    """The same as a file name of QEMU's tools, which say the format themselves then."""
    return "json:" + msgspec.json.encode(options(file)).decode()
