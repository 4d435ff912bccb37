"""Disks in Ceph: QEMU opens them by itself, with a key that libvirt has in its memory, and nobody else's QEMU has them.

Whoever had a volume open before is shut out by Ceph before a guest is given it: a host that was thought dead, or that
stood still, writes no more, whatever it does when it goes on.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any
from xml.sax.saxutils import quoteattr

from cumulet.drivers.specs import DiskSpec
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.rbd import Pool

log = Log("pools")
_NAMESPACE = uuid.UUID("5c2f4b57-6c0a-4a57-8a3f-0b5d3b4e9d11")


def source(pool: Pool, volume: str, encryption: str = "") -> str:
    """The source of a disk in a pool, with what is to be said of its encryption."""
    return f"""<source protocol='rbd' name={quoteattr(f"{pool.name}/{volume}")}>
        <config file={quoteattr(str(pool.settings))}/>
        <auth username={quoteattr(pool.user)}><secret type='ceph' uuid='{_uuid(pool)}'/></auth>{encryption}
      </source>"""


def prepare(connection: Any, pool: Pool | None, disks: list[DiskSpec]) -> None:
    """These disks are about to be opened for a guest: libvirt knows the key, and nobody else has them open.

    Raises `Failure`, where Ceph is not reached too.
    """
    own = [disk for disk in disks if not disk.export]
    if pool is None or not own:
        return
    tell(connection, pool)
    for disk in own:
        if pool.bars(disk.volume, disk.name):
            raise Failure(f"{disk.volume} was taken from its guest by force, while this host was not heard")
        for address in pool.shut_out(disk.volume):
            log.warning("somebody else had it open, and is shut out", volume=disk.volume, address=address)
        pool.hold(disk.volume, disk.name)


def tell(connection: Any, pool: Pool | None) -> None:
    """libvirt knows the key from now on, until it ends; a guest that comes here while it runs needs it too."""
    if pool is not None:
        xml = f"<secret ephemeral='yes' private='yes'><uuid>{_uuid(pool)}</uuid></secret>"
        connection.secretDefineXML(xml).setValue(base64.b64decode(pool.key()))


def _uuid(pool: Pool) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{pool.user} {pool.settings}"))
