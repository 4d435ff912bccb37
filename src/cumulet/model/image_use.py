"""Who needs the file of an image: images that are registered, disks and snapshots that stand on it, guests and tasks.

A file that nobody needs is kept for `GRACE_SECONDS`: longer than any transaction takes, so that whoever begins to use
what he has just seen is seen in time.
"""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.image import image, image_file
from cumulet.model.image_task import image_task
from cumulet.model.instance import instance
from cumulet.model.snapshot import NO_VOLUME, snapshot
from cumulet.model.volume import volume
from cumulet.model.work import wake

GRACE_SECONDS = 60.0


def base_of(tx: Tx, *, disk: str = NO_VOLUME, source: str | None = None) -> str | None:
    """The image file that a snapshot of this disk stands on, or a copy of the snapshot `source`; None: on none."""
    if source is not None:
        query = sa.select(snapshot.c.base).where(snapshot.c.id == source)
    else:
        query = sa.select(sa.func.coalesce(volume.c.image_file, volume.c.base)).where(volume.c.id == disk)
    found: str | None = tx.value(query)
    return found


def is_used(tx: Tx, id: str) -> bool:
    """Whether anybody needs the file."""
    return any(tx.first(query, of=id) is not None for query in _USES)


_OF: sa.BindParameter[str] = sa.bindparam("of")
_USES = (
    sa.select(image.c.id).where(image.c.image_file == _OF, sa.not_(image.c.deregistered)).limit(1),
    sa.select(image_task.c.id).where(image_task.c.image_file == _OF, image_task.c.state == "active").limit(1),
    sa.select(volume.c.id).where(volume.c.image_file == _OF).limit(1),
    sa.select(volume.c.id).where(volume.c.base == _OF).limit(1),
    sa.select(snapshot.c.id).where(snapshot.c.base == _OF).limit(1),
    sa.select(instance.c.id)
    .where(
        instance.c.state != "terminated",
        sa.or_(instance.c.image_file == _OF, instance.c.kernel_file == _OF, instance.c.ramdisk_file == _OF),
    )
    .limit(1),
)
"""The most likely first; the last one has no index, and is asked only of a file that is about to go."""


def let_go(tx: Tx, *ids: str | None) -> None:
    """Something that needed these files is gone: those that nobody needs any more are to go too."""
    for id in sorted(filter(None, ids)):
        if not is_used(tx, id):
            wake(tx, "image_file", id)


def wake_unused(tx: Tx) -> None:
    """Have all the files looked at that nobody needs any more."""
    registered = sa.exists().where(image.c.image_file == image_file.c.id, sa.not_(image.c.deregistered))
    present = sa.and_(image_file.c.desired == "present", image_file.c.unused.is_(None))
    let_go(tx, *tx.connection.scalars(sa.select(image_file.c.id).where(present, sa.not_(registered))))


def say_used(tx: Tx, row: Row) -> bool:
    """Somebody needs the file again; False if it is going already."""
    if row.unused is None:
        return True
    return _change(tx, row, unused=None)


def say_unused(tx: Tx, row: Row) -> float:
    """Nobody needs the file: it is to go when that has been so for long enough; gives the seconds until then."""
    if row.unused is None:
        _change(tx, row, unused=tx.now)
        return GRACE_SECONDS
    left = float(row.unused) + GRACE_SECONDS - tx.now
    if left <= 0:
        _change(tx, row, desired="absent")
    return max(left, 0.0)


def _change(tx: Tx, row: Row, **values: object) -> bool:
    """Unless somebody else has changed it meanwhile."""
    since = image_file.c.unused.is_(None) if row.unused is None else image_file.c.unused == row.unused
    mine = sa.and_(image_file.c.id == row.id, image_file.c.desired == "present", since)
    return tx.change(image_file.update().where(mine).values(**values)) == 1
