"""Copies of image files on hosts that make volumes of them: the cache of a host that shares no directory of images.

The copy that `image_file.host` has is the first one, and no row here. A copy is in use while anything on its host
stands on it. It is taken for something new only when it is `available`, which nothing but its own run says: so a copy
that is on its way out is never stood on.
"""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib import ids
from cumulet.model.database import Row, Tx
from cumulet.model.image import image_file
from cumulet.model.instance import instance
from cumulet.model.schema import flag, id_column, metadata, moment, text
from cumulet.model.snapshot import snapshot
from cumulet.model.volume import volume
from cumulet.model.work import wake, wake_new

USED_SECONDS = 1800.0

image_copy = sa.Table(
    "image_copy",
    metadata,
    id_column(key=True),
    id_column("image_file"),
    text("host", 64, index=True),
    text("desired", 10, default="present"),
    text("state", 12, default="pending"),
    text("stage", 64),
    flag("kept"),
    moment("used"),
    moment("created"),
    sa.UniqueConstraint("image_file", "host"),
)
"""`kept`: it was fetched ahead (`cumulet image prefetch`), and stays until the image goes. `used` is when it was last
wanted or found in use, `stage` how far it is on its way."""


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(image_copy).where(image_copy.c.id == id))


def of_file(tx: Tx, file: str) -> list[Row]:
    return tx.all(sa.select(image_copy).where(image_copy.c.image_file == file).order_by(image_copy.c.host))


def all(tx: Tx) -> list[Row]:
    return tx.all(sa.select(image_copy).order_by(image_copy.c.host))


def is_available(tx: Tx, file: str, host: str) -> bool:
    """Whether something may be made of it: False only while its copy there comes or goes."""
    state = tx.value(_STATE, of=file, at=host)
    return state in (None, "available")


_STATE = sa.select(image_copy.c.state).where(
    image_copy.c.image_file == sa.bindparam("of"), image_copy.c.host == sa.bindparam("at")
)


def want(tx: Tx, file: str, host: str, *, kept: bool = False) -> Row | None:
    """Have a copy there; None where it is not for us to see to: the file's own host has it, or the file goes."""
    found = tx.first(sa.select(image_file).where(image_file.c.id == file))
    if found is None or found.desired != "present" or found.host in (None, host):
        return None
    row = _at(tx, file, host) or _made(tx, file, host)
    values = {"desired": "present", "used": tx.now, "kept": row.kept or kept}
    tx.update(image_copy, {"id": row.id}, **values, **({"state": "pending"} if row.desired == "absent" else {}))
    wake(tx, "image_copy", row.id)
    return find(tx, row.id)


def _at(tx: Tx, file: str, host: str) -> Row | None:
    return tx.first(sa.select(image_copy).where(image_copy.c.image_file == file, image_copy.c.host == host))


def _made(tx: Tx, file: str, host: str) -> Row:
    """Its orders have numbers that are above those of all copies that were there before: they go by the time."""
    id = ids.new("image_copy")
    with suppress(IntegrityError), tx.attempt():  # somebody else may be quicker
        tx.insert(image_copy, {"id": id, "image_file": file, "host": host, "used": tx.now, "created": tx.now})
        wake_new(tx, "image_copy", [id], epoch=int(1000 * tx.now))
    row = _at(tx, file, host)
    assert row is not None
    return row


def wake_at(tx: Tx, file: str, host: str) -> None:
    """Have the copy of this host looked at, if there is one."""
    row = _at(tx, file, host)
    if row is not None:
        wake(tx, "image_copy", row.id)


def say(tx: Tx, row: Row, *, state: str, stage: str = "") -> bool:
    """How far it is; False where it is to go meanwhile."""
    return tx.update(image_copy, {"id": row.id, "desired": "present"}, state=state, stage=stage) == 1


def wake_waiting(tx: Tx, row: Row) -> None:
    """What waits for the copy goes on."""
    unmade = volume.c.host == row.host, volume.c.image_file == row.image_file, volume.c.state == "creating"
    for id in tx.connection.scalars(sa.select(volume.c.id).where(*unmade)):
        wake(tx, "volume", id)
    waits = instance.c.host == row.host, instance.c.state == "pending", _boots_from(row.image_file)
    for id in tx.connection.scalars(sa.select(instance.c.id).where(*waits)):
        wake(tx, "instance", id)


def is_used(tx: Tx, file: str, host: str) -> bool:
    """Whether anything on the host stands on it, or boots from it."""
    queries = (
        sa.select(volume.c.id).where(volume.c.host == host, _either(volume.c.image_file, volume.c.base, file)),
        sa.select(volume.c.id).where(volume.c.moving_to == host, volume.c.image_file == file),
        sa.select(snapshot.c.id).where(snapshot.c.host == host, snapshot.c.base == file),
        sa.select(instance.c.id).where(
            sa.or_(instance.c.host == host, instance.c.moving_to == host),
            instance.c.state != "terminated",
            _boots_from(file),
        ),
    )
    return any(tx.first(query.limit(1)) is not None for query in queries)


def _either(one: sa.Column[str], other: sa.Column[str], file: str) -> sa.ColumnElement[bool]:
    return sa.or_(one == file, other == file)


def _boots_from(file: str) -> sa.ColumnElement[bool]:
    return sa.or_(instance.c.image_file == file, instance.c.kernel_file == file, instance.c.ramdisk_file == file)


def let_go_unused(tx: Tx, seconds: float) -> None:
    """Copies that nobody has wanted for so long are to go, unless they are in use or kept."""
    old = sa.select(image_copy).where(
        image_copy.c.used < tx.now - seconds, image_copy.c.desired == "present", sa.not_(image_copy.c.kept)
    )
    for row in tx.all(old):
        if is_used(tx, row.image_file, row.host):
            tx.update(image_copy, {"id": row.id}, used=tx.now)
        else:
            let_go(tx, row)


def has_any(tx: Tx, host: str) -> bool:
    return tx.first(sa.select(image_copy.c.id).where(image_copy.c.host == host).limit(1)) is not None


def note_used(tx: Tx, host: str) -> None:
    """Copies on the host that are in use have been used now, to within `USED_SECONDS`."""
    mine = image_copy.c.host == host, image_copy.c.desired == "present", image_copy.c.used < tx.now - USED_SECONDS
    for row in tx.all(sa.select(image_copy).where(*mine)):
        if is_used(tx, row.image_file, host):
            tx.update(image_copy, {"id": row.id}, used=tx.now)


def let_go_for_room(tx: Tx, host: str, needed: int) -> list[str]:
    """Have copies go until those on their way out make up so many bytes, the longest unused first; gives their files.

    What is in use, kept, or not there yet stays.
    """
    needed -= going_size(tx, host)
    mine = image_copy.c.host == host, image_copy.c.state == "available", sa.not_(image_copy.c.kept)
    gone = []
    for row in tx.all(_WITH_FACTS.where(*mine).order_by(image_copy.c.used)):
        if needed <= 0:
            break
        if not is_used(tx, row.image_file, host):
            let_go(tx, row)
            gone.append(row.image_file)
            needed -= row.facts.get("size", 0)
    return gone


def going_size(tx: Tx, host: str) -> int:
    """The bytes of the copies that are on their way out."""
    going = tx.all(_WITH_FACTS.where(image_copy.c.host == host, image_copy.c.desired == "absent"))
    return sum(row.facts.get("size", 0) for row in going)


_WITH_FACTS = sa.select(image_copy, image_file.c.facts).join(image_file, image_file.c.id == image_copy.c.image_file)


def let_go(tx: Tx, row: Row) -> None:
    """The copy is to go; its own run looks once more whether it is in use."""
    tx.update(image_copy, {"id": row.id}, desired="absent", state="pending")
    wake(tx, "image_copy", row.id)


def keep_after_all(tx: Tx, row: Row) -> None:
    """It is in use again."""
    tx.update(image_copy, {"id": row.id}, desired="present", used=tx.now)


def forget(tx: Tx, row: Row) -> bool:
    """The host does not have it any more; False where somebody wants it again."""
    return tx.change(image_copy.delete().where(image_copy.c.id == row.id, image_copy.c.desired == "absent")) == 1


def forget_host(tx: Tx, host: str) -> None:
    """The host is gone for good."""
    tx.change(image_copy.delete().where(image_copy.c.host == host))
