"""Encrypted volumes that are devices or images in Ceph: LUKS on the whole of one, its header before what a guest sees.

Nothing says of a sector that it was never written, so what is not reads as noise, and zeroes are written as others are.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from cumulet.drivers.volume import encrypted, luks
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

LENGTH = luks.WHOLE_LENGTH
"""Bytes that an encrypted volume has more than its guest sees."""


class Store(Protocol):
    """A group of LVM, or a pool of Ceph."""

    def lock(self, name: str) -> None: ...
    def device(self, name: str) -> object: ...
    def node(self, name: str) -> dict[str, Any]: ...
    def secret(self) -> str: ...


def whole(size: int, key: str) -> int:
    """Bytes that a volume has of which a guest sees so many."""
    return size + LENGTH if key else size


def check(name: str, key: str, *, is_locked: bool) -> None:
    """Raises `Failure` where a volume is encrypted and no key was told, or the other way round."""
    if is_locked != bool(key):
        raise Failure(f"{name} is encrypted, and its key was not told" if not key else f"{name} is not encrypted")


def begin(store: Store, name: str, key: str) -> None:
    """Have a volume be encrypted from now on, by a new master key; what was in it is noise then."""
    store.lock(name)
    with encrypted.in_memory(luks.header(key, LENGTH)) as header:
        words = ["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "-t", "none"]
        run([*words, f"/proc/self/fd/{header}", str(store.device(name))], descriptors=[header])


def target(store: Store, name: str) -> str:
    """What a guest would see of a volume, as a file name of QEMU's tools, which are `told` the secrets."""
    options = {"driver": "luks", "key-secret": encrypted.SECRET, "file": store.node(name)}
    return "json:" + msgspec.json.encode(options).decode()
