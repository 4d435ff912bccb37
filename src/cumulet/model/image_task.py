"""Tasks of images: imports of objects as images or snapshots, and exports of images to objects."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, id_column, json, metadata, moment, text
from cumulet.model.work import wake

image_task = sa.Table(
    "image_task",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    text("kind", 10),
    text("desired", 10, default="done"),
    text("state", 10, default="active"),
    body("message"),
    text("description"),
    text("image_file", 40, index=True),
    text("image", 40),
    text("snapshot", 40),
    text("volume", 40),
    json("details"),
    moment("created"),
)
"""`kind` is image or snapshot (what comes of an import), disk (a part of an image, named in the `parts` of its task's
`details`) or export; `desired` is done or cancelled; `state` is AWS's:
active, completed or deleted, which is what cancelled and failed ones become. `image`, `snapshot` and `volume` are ids:
of what comes of an import (and the volume that a snapshot is taken of), or of the image that is exported."""


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(image_task).where(image_task.c.id == id))


def of_account(tx: Tx, account: str, kind: str) -> list[Row]:
    mine = sa.and_(image_task.c.account == account, image_task.c.kind == kind)
    return tx.all(sa.select(image_task).where(mine).order_by(image_task.c.created, image_task.c.id))


def add(tx: Tx, values: dict[str, Any]) -> None:
    """A new task, which is looked at from now on."""
    tx.insert(image_task, {**values, "created": tx.now})
    wake(tx, "image_task", values["id"])


def wake_of_file(tx: Tx, image_file: str) -> None:
    """Something has become of this file."""
    waiting = sa.and_(image_task.c.image_file == image_file, image_task.c.state == "active")
    for id in tx.connection.scalars(sa.select(image_task.c.id).where(waiting)).all():
        wake(tx, "image_task", id)


def wake_of_account(tx: Tx, account: str) -> None:
    """The account goes: its tasks are looked at, which go too, the ones that are over as well."""
    for id in tx.connection.scalars(sa.select(image_task.c.id).where(image_task.c.account == account)).all():
        wake(tx, "image_task", id)


def remove(tx: Tx, id: str) -> None:
    tx.change(image_task.delete().where(image_task.c.id == id))


def end(tx: Tx, id: str, state: str, message: str = "") -> bool:
    """The task is over; False if it was before."""
    mine = sa.and_(image_task.c.id == id, image_task.c.state == "active")
    return tx.change(image_task.update().where(mine).values(state=state, message=message)) == 1


def keep(tx: Tx, id: str, details: dict[str, Any]) -> None:
    """The task has these details from now on."""
    tx.change(image_task.update().where(image_task.c.id == id).values(details=details))


def cancel(tx: Tx, id: str, why: str = "") -> None:
    """Have the task end, and what it has begun go."""
    tx.change(image_task.update().where(image_task.c.id == id).values(desired="cancelled", message=why))
    wake(tx, "image_task", id)
