"""Disks by iSCSI: libvirt knows their secrets while QEMU opens them, and QEMU opens none that nobody serves.

QEMU's initiator connects, and waits for a target that is gone, in the thread in which QEMU answers libvirt.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from xml.sax.saxutils import escape

import libvirt

from cumulet.drivers.specs import ISCSI_PORT, DiskSpec
from cumulet.lib.errors import Failure

_SECONDS = 2.0
_NAMESPACE = uuid.UUID("7b1f7c52-51f4-4d1c-a9a7-0a9b8c3c5a51")


@contextmanager
def told(connection: Any, disks: list[DiskSpec]) -> Iterator[None]:
    """While this lasts, libvirt knows the secrets of these disks, in its memory alone; raises `Failure` as `check`."""
    private = [disk for disk in disks if disk.secret]
    for disk in private:
        check(disk.export)
    made = []
    try:
        for disk in private:
            made.append(connection.secretDefineXML(_xml(disk)))
            made[-1].setValue(disk.secret.encode())
        yield
    finally:
        for secret in made:
            with suppress(libvirt.libvirtError):
                secret.undefine()


def check(address: str) -> None:
    """Raises `Failure` where nobody serves iSCSI."""
    try:
        socket.create_connection((address, ISCSI_PORT), timeout=_SECONDS).close()
    except OSError as e:
        raise Failure(f"iSCSI at {address}, TCP port {ISCSI_PORT}: {e}") from e


def _xml(disk: DiskSpec) -> str:
    name = escape(disk.name)
    return f"""<secret ephemeral='yes' private='yes'><uuid>{uuid.uuid5(_NAMESPACE, disk.name)}</uuid>
      <usage type='iscsi'><target>{name}</target></usage></secret>"""
