"""Encrypted volumes: libvirt knows their keys, in its memory alone, while QEMU opens them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import libvirt

from cumulet.drivers.hypervisor import chap
from cumulet.drivers.places import backing
from cumulet.drivers.specs import WITHHELD, DiskSpec
from cumulet.lib.errors import Failure

_NAMESPACE = uuid.UUID("0f1d1c55-6c1e-4a43-9f0e-6d3f6f4d2b39")


@contextmanager
def told(connection: Any, disks: list[DiskSpec]) -> Iterator[None]:
    """While this lasts, libvirt knows the keys of these disks, and their secrets of iSCSI; raises `Failure`."""
    try:
        tell(connection, disks)
        with chap.told(connection, disks):
            yield
    finally:
        forget(connection, disks)


def tell(connection: Any, disks: list[DiskSpec]) -> None:
    """libvirt knows the keys of these disks from now on, until it is to `forget` them; raises `Failure`."""
    locked = [disk for disk in disks if disk.key]
    if any(disk.key == WITHHELD for disk in locked):
        raise Failure("a key of a volume is known to the control plane alone")
    for disk in locked:
        connection.secretDefineXML(_definition(disk.volume)).setValue(disk.key.encode())


def forget(connection: Any, disks: list[DiskSpec]) -> None:
    """libvirt does not know the keys of these disks any more; it need not have known them."""
    for disk in disks:
        if disk.key:
            with suppress(libvirt.libvirtError):
                connection.secretLookupByUUIDString(_uuid(disk.volume)).undefine()


def source(disk: DiskSpec, file: Path) -> str:
    """The source of a disk that is a file; libvirt is told of all that an encrypted one stands on, and to open that."""
    if not disk.key:
        return f"<source file={quoteattr(str(file))}/>"
    return encrypted_source(disk.volume, file) + _below(disk.volume, backing(file))


def encrypted_source(volume: str, file: Path) -> str:
    """An encrypted file of a volume, as a source."""
    return f"<source file={quoteattr(str(file))}>{_encryption(volume)}</source>"


def encryption(disk: DiskSpec) -> str:
    """What the source of a disk says that is no file; nothing of one that is not encrypted."""
    return _encryption(disk.volume) if disk.key else ""


def _encryption(volume: str) -> str:
    secret = f"<secret type='passphrase' uuid='{_uuid(volume)}'/>"
    return f"<encryption format='luks' engine='qemu'>{secret}</encryption>"


def _below(volume: str, file: Path | None) -> str:
    if file is None:
        return "<backingStore/>"
    inner = encrypted_source(volume, file) + _below(volume, backing(file))
    return f"<backingStore type='file'><format type='qcow2'/>{inner}</backingStore>"


def _definition(volume: str) -> str:
    return f"<secret ephemeral='yes' private='yes'><uuid>{_uuid(volume)}</uuid></secret>"


def _uuid(volume: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, volume))
