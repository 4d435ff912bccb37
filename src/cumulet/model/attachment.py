"""Attachments: which volume should be in which instance, as what device, and how far that has come.

Whoever makes an attachment true is the instance's reconciler: it is one more disk in the guest. `disks` are volumes
together with their attachments: the volume's columns, and of the attachment `attachment` (its id), `instance`,
`device`, `slot`, `attach_desired`, `attach_state`, `forced`, `asked`, `attached`, `exported`, `chap`, `tls` and
`delete_on_termination`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, flag, id_column, metadata, moment, text
from cumulet.model.volume import volume

attachment = sa.Table(
    "attachment",
    metadata,
    id_column(key=True),
    id_column("account"),
    id_column("volume"),
    id_column("instance"),
    text("device", 32),
    text("slot", 2),
    text("desired", 10, default="attached"),
    text("state", 12, default="attaching"),
    flag("forced"),
    flag("delete_on_termination"),
    moment("attached"),
    moment("asked"),
    text("exported", 64),
    body("chap"),
    flag("tls"),
    sa.UniqueConstraint("volume"),
    sa.UniqueConstraint("instance", "slot"),
)
"""`desired` is attached or detached; `state` is attaching, attached, detaching or busy, and the row is gone when the
guest has let go. `attached` is when it was asked for, `asked` when its end was; `forced`: whether the guest likes it
or not; `exported`: the host that may export it to the instance's, empty where it is on that host itself; `chap`: the
sealed secret of that export, empty where it is by NBD; `tls`: whether it is so with TLS."""

_OF_ATTACHMENT: list[Any] = [
    attachment.c.id.label("attachment"),
    attachment.c.instance,
    attachment.c.device,
    attachment.c.slot,
    attachment.c.desired.label("attach_desired"),
    attachment.c.state.label("attach_state"),
    attachment.c.forced,
    attachment.c.asked,
    attachment.c.attached,
    attachment.c.exported,
    attachment.c.chap,
    attachment.c.tls,
    attachment.c.delete_on_termination,
]
_DISKS = sa.select(volume, *_OF_ATTACHMENT).join(attachment, attachment.c.volume == volume.c.id)
_IN_ORDER = (sa.func.length(attachment.c.slot), attachment.c.slot)


def disks(tx: Tx, instance: str) -> list[Row]:
    """An instance's volumes, the root disk first."""
    return tx.all(_DISKS_OF_ONE, of=instance)


_DISKS_OF_ONE = _DISKS.where(attachment.c.instance == sa.bindparam("of")).order_by(*_IN_ORDER)


def disks_of(tx: Tx, instances: list[str]) -> list[Row]:
    """The volumes of these instances, the root disk of each before its others."""
    return tx.all(_DISKS_OF, of=instances)


_DISKS_OF = _DISKS.where(attachment.c.instance.in_(sa.bindparam("of", expanding=True))).order_by(*_IN_ORDER)


def disks_of_account(tx: Tx, account: str) -> list[Row]:
    """All the volumes that an account has in instances."""
    return tx.all(_DISKS_OF_ACCOUNT, of=account)


_DISKS_OF_ACCOUNT = _DISKS.where(volume.c.account == sa.bindparam("of")).order_by(*_IN_ORDER)


def volumes(tx: Tx, account: str) -> list[Row]:
    """All of an account's volumes as disks, `attachment` being None where there is none."""
    query = sa.select(volume, *_OF_ATTACHMENT).outerjoin(attachment, attachment.c.volume == volume.c.id)
    return tx.all(query.where(volume.c.account == account).order_by(volume.c.created, volume.c.id))


def find_volume(tx: Tx, id: str) -> Row | None:
    """A volume as a disk; it stays as it is until the end of the transaction."""
    tx.first(sa.select(volume.c.id).where(volume.c.id == id).with_for_update())
    query = sa.select(volume, *_OF_ATTACHMENT).outerjoin(attachment, attachment.c.volume == volume.c.id)
    return tx.first(query.where(volume.c.id == id))


def of_volume(tx: Tx, volume: str) -> Row | None:
    return tx.first(_OF_VOLUME, of=volume)


_OF_VOLUME = sa.select(attachment).where(attachment.c.volume == sa.bindparam("of"))


def free_volumes(tx: Tx, host: str) -> list[Row]:
    """The volumes of a host that no instance has, and that stay there."""
    taken = sa.select(attachment.c.volume)
    free = sa.and_(volume.c.moving_to == "", volume.c.desired == "present", volume.c.id.not_in(taken))
    return tx.all(sa.select(volume).where(volume.c.host == host, free).order_by(volume.c.id))


def add(tx: Tx, *rows: dict[str, Any]) -> None:
    """New attachments: account, volume, instance, device, slot, and what differs from the defaults."""
    tx.insert(attachment, *({"attached": tx.now, **row, "id": ids.new("volume_attachment")} for row in rows))


def move(tx: Tx, id: str, expected: str, **values: Any) -> bool:
    """Change an attachment that still should be as `expected` (attached or detached); whether it still should."""
    return tx.update(attachment, {"id": id, "desired": expected}, **values) == 1


def say_unexported(tx: Tx, id: str) -> None:
    """The volume's host does not export it any more."""
    tx.change(attachment.update().where(attachment.c.id == id).values(exported=""))


def rename(tx: Tx, id: str) -> None:
    """By its old name nobody reaches the volume any more, who had it by that."""
    tx.change(attachment.update().where(attachment.c.id == id).values(id=ids.new("volume_attachment")))


def exported_by(tx: Tx, host: str) -> list[str]:
    """The attachments that a host may export."""
    return list(tx.connection.scalars(sa.select(attachment.c.id).where(attachment.c.exported == host)))


def keep(tx: Tx, id: str, goes: bool) -> None:
    """Whether the volume goes with its instance."""
    tx.change(attachment.update().where(attachment.c.id == id).values(delete_on_termination=goes))


def remove(tx: Tx, id: str) -> None:
    """The volume is in no guest any more."""
    tx.change(attachment.delete().where(attachment.c.id == id))
