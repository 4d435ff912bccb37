"""The disks of an image that was made of an instance or of snapshots: what its instances' volumes are made from.

An image that was taken in as a file has none of these: its one disk is that file.
"""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, text, whole
from cumulet.model.snapshot import snapshot

image_disk = sa.Table(
    "image_disk",
    metadata,
    id_column("image", key=True),
    text("device", 32, key=True),
    id_column("snapshot", null=True, index=True),
    whole("size_gib"),
    text("type", 12, default="gp3"),
    whole("iops"),
    whole("throughput"),
    flag("delete_on_termination"),
)
"""One without a `snapshot` is empty. Those of a deregistered image are deleted."""


def of(tx: Tx, image: str) -> list[Row]:
    """An image's disks, by device."""
    return tx.all(_OF, of=image)


WITH_KEYS = sa.select(image_disk, snapshot.c.sealed).outerjoin(snapshot, snapshot.c.id == image_disk.c.snapshot)
_OF = WITH_KEYS.where(image_disk.c.image == sa.bindparam("of")).order_by(image_disk.c.device)
"""Disks, each with the sealed key of its snapshot."""


def using(tx: Tx, id: str) -> list[str]:
    """The images with a disk from this snapshot."""
    query = sa.select(image_disk.c.image).where(image_disk.c.snapshot == id)
    return sorted(set(tx.connection.scalars(query)))
