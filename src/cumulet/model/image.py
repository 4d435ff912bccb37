"""Images, which users name, and image files, which hosts keep."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model.account import account as owner
from cumulet.model.database import Row, Tx
from cumulet.model.image_disk import WITH_KEYS, image_disk
from cumulet.model.schema import body, flag, id_column, json, metadata, moment, text, whole
from cumulet.model.sharing import Shares
from cumulet.model.snapshot import UNFINISHED, snapshot
from cumulet.model.work import wake

UNPROTECTED = "disabled"
COOLDOWN = "enabled-with-cooldown"
"""AWS's words for an image that may be deregistered, and for one that may be so a day after that was allowed."""
COOLDOWN_SECONDS = 24 * 3600.0

image = sa.Table(
    "image",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("image_file", null=True, index=True),
    text("name", 128),
    text("description"),
    text("location"),
    text("architecture", 20, default="x86_64"),
    text("boot", 10, default="bios"),
    text("kind", 10, default="machine"),
    text("kernel", 40),
    text("ramdisk", 40),
    flag("public"),
    flag("deregistered"),
    flag("disabled"),
    moment("deprecates"),
    text("protection", 30, default=UNPROTECTED),
    moment("protected_until"),
    text("root_device", 20, default="/dev/sda1"),
    whole("root_gib", 1),
    json("attributes"),
    moment("created"),
)
"""`kind` is machine, kernel or ramdisk; a machine image may name the ids of those two that its guests boot with.
It is deprecated from `deprecates` on. `protection` is AWS's DeregistrationProtection, and `protected_until` when a
cooldown ends that has begun."""
ID_KINDS = {"machine": "image", "kernel": "kernel_image", "ramdisk": "ramdisk_image"}
"""By the `kind` of an image, whose prefix its id has: ami, aki or ari."""
image_file = sa.Table(
    "image_file",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    text("location"),
    text("source", 1024),
    text("declared", 10, default=None),
    text("desired", 10, default="present"),
    text("state", 12, default="pending"),
    text("host", 64, default=None),
    text("reason_code", 64),
    body("reason"),
    json("facts"),
    json("origin"),
    body("sealed"),
    text("stage", 64),
    flag("public"),
    moment("created"),
    moment("unused"),
)
"""`unused` is since when nobody needs it (`model.image_use`).
`facts`: format, virtual_size (bytes), size (bytes), sha256, boot, architecture, as the image driver found them.
`origin` says which objects it is made of, where it is made of any: bucket, parts (`url`, which is the key, and sha1,
etag and size as `drivers.specs.ObjectSpec` has them) and with whose rights they are read: `by`, and `account` where it
is not the file's; of a bundle also the
tarball's sha1 and size and the iv, while its key is what is `sealed`. `stage` is how far it is on its way."""


BOOTS = {"legacy-bios": "bios", "uefi": "uefi", "uefi-preferred": "uefi"}
"""AWS's BootMode, which an image may have in its `attributes`, to how its guests boot."""

image_permission = sa.Table(
    "image_permission",
    metadata,
    id_column("image", key=True),
    sa.Column("account", sa.String(40), primary_key=True, index=True),
)
"""An account that may use an image of another's that is not public."""
SHARES = Shares(image, image_permission, "image")


def visible(tx: Tx, account: str) -> list[Row]:
    """The images that an account may use: its own, the public ones and those that were opened to it."""
    return tx.all(_VISIBLE, by=account)


def find(tx: Tx, id: str) -> Row | None:
    """An image by its id, deregistered or not."""
    return tx.first(_FIND, of=id)


def usable(tx: Tx, account: str, id: str) -> Row | None:
    """An image by its id, deregistered or not, if the account may use it."""
    return tx.first(_USABLE, of=id, by=account)


def all(tx: Tx) -> list[Row]:
    """The images of all accounts, deregistered or not, each with its file's `source` and `host`, and its `owner`."""
    query = _with_file().add_columns(image_file.c.source, image_file.c.host, owner.c.name.label("owner"))
    return tx.all(query.join(owner, owner.c.id == image.c.account).order_by(image.c.created, image.c.id))


def disks_of_visible(tx: Tx, account: str) -> dict[str, list[Row]]:
    """Image id to its disks, for those images that an account may use which have any."""
    found: dict[str, list[Row]] = {}
    for row in tx.all(_DISKS_OF_VISIBLE, by=account):
        found.setdefault(row.image, []).append(row)
    return found


def snapshots(tx: Tx, id: str) -> list[Row]:
    """The snapshots of an image's disks, those that are not completed first."""
    query = sa.select(snapshot).join(image_disk, image_disk.c.snapshot == snapshot.c.id)
    done = sa.case((snapshot.c.state == "completed", 1), else_=0)
    return tx.all(query.where(image_disk.c.image == id).order_by(done, image_disk.c.device))


def _with_file() -> sa.Select[Any]:
    """Images, each with `state`, `reason_code` and `reason` of its file and its disks' snapshots together.

    Of its file, if it has one, there are also the `facts`, and `provided` says that the cloud's operator gave it.
    """
    files = image_file.c
    columns = _STATE, files.stage, _REASON_CODE, _REASON, files.facts, files.public.label("provided")
    return sa.select(image, *columns).outerjoin(image_file, files.id == image.c.image_file)


def _with_snapshot(*states: str) -> sa.ColumnElement[bool]:
    """Whether one of the image's disks is made from a snapshot in one of these states."""
    disk, kept = image_disk.c, snapshot.c
    return sa.exists().where(disk.image == image.c.id, disk.snapshot == kept.id, kept.state.in_(states))


_STATE = sa.case(
    (image.c.disabled, "disabled"),
    (_with_snapshot("error"), "failed"),
    (_with_snapshot(*UNFINISHED), "pending"),
    (image.c.image_file.is_(None), "available"),
    else_=image_file.c.state,
).label("state")
_LOST = "Client.InvalidSnapshot.NotFound"
_REASON_CODE = sa.case((_with_snapshot("error"), _LOST), else_=image_file.c.reason_code).label("reason_code")
_REASON = sa.case(
    (_with_snapshot("error"), "A snapshot of the image could not be taken or was lost."), else_=image_file.c.reason
).label("reason")


_USABLE_BY = sa.or_(
    image.c.account == sa.bindparam("by"),
    image.c.public,
    image.c.id.in_(sa.select(image_permission.c.image).where(image_permission.c.account == sa.bindparam("by"))),
)
_FIND = _with_file().where(image.c.id == sa.bindparam("of"))
_USABLE = _FIND.where(_USABLE_BY)
_VISIBLE = _with_file().where(_USABLE_BY, sa.not_(image.c.deregistered)).order_by(image.c.created, image.c.id)
_DISKS_OF_VISIBLE = (
    WITH_KEYS.join(image, image.c.id == image_disk.c.image).where(_USABLE_BY).order_by(image_disk.c.device)
)


def named(tx: Tx, account: str, name: str) -> Row | None:
    """The account's own image of that name, unless it has been deregistered."""
    mine = sa.and_(image.c.account == account, image.c.name == name, sa.not_(image.c.deregistered))
    return tx.first(sa.select(image).where(mine))


def count(tx: Tx, account: str) -> int:
    mine = sa.and_(image.c.account == account, sa.not_(image.c.deregistered))
    return int(tx.value(sa.select(sa.func.count()).select_from(image).where(mine)))


def permissions(tx: Tx, account: str) -> dict[str, list[str]]:
    """Image id to the accounts that it has been opened to, for all of an account's own images."""
    query = sa.select(image_permission).join(image, image.c.id == image_permission.c.image)
    found: dict[str, list[str]] = {}
    for row in tx.all(query.where(image.c.account == account).order_by(image_permission.c.account)):
        found.setdefault(row.image, []).append(row.account)
    return found


def file(tx: Tx, id: str) -> Row | None:
    return tx.first(sa.select(image_file).where(image_file.c.id == id))


def file_at(tx: Tx, account: str, location: str) -> Row | None:
    """The imported file that an account may register under this location."""
    mine = sa.or_(image_file.c.account == account, image_file.c.public)
    query = sa.select(image_file).where(mine, image_file.c.location == location, image_file.c.desired == "present")
    return tx.first(query.order_by(image_file.c.created.desc()))


def take_in(tx: Tx, values: dict[str, object]) -> tuple[str, str]:
    """A new image and its file, to be taken in from `values["source"]`; gives (image id, image file id).

    `values`: account, name, location, source, and where they differ from the defaults declared (format),
    public, description, architecture, kind, kernel, ramdisk, root_device, attributes, origin, sealed.
    """
    kind = str(values.get("kind", "machine"))
    image_id = ids.new(ID_KINDS[kind])
    shared = {"account": values["account"], "location": values["location"], "public": values.get("public", False)}
    source: dict[str, object] = {key: values[key] for key in _OF_FILE if key in values}
    file_id = keep_file(tx, {**shared, **source})
    named = {"name": values["name"], "description": values.get("description", ""), "kind": kind}
    named |= {key: values[key] for key in _AS_GIVEN if key in values}
    boots = "kernel" if values.get("kernel") else "bios"
    tx.insert(
        image,
        {"boot": boots, **shared, **named, "id": image_id, "image_file": file_id, "created": tx.now},
    )
    return image_id, file_id


_OF_FILE = ("source", "declared", "origin", "sealed")
_AS_GIVEN = ("architecture", "kernel", "ramdisk", "root_device", "attributes")


def keep_file(tx: Tx, values: dict[str, object]) -> str:
    """A file to be taken in, of which no image is made yet; gives its id. `values`: the columns that are known."""
    id = ids.new("image_file")
    tx.insert(image_file, {**values, "id": id, "created": tx.now})
    wake(tx, "image_file", id)
    return id


def register(tx: Tx, account: str, file: Row, values: dict[str, object]) -> str:
    """A new image of a file that was taken in; gives its id. `values`: name, and what differs from the defaults."""
    id = str(values.get("id") or ids.new("image"))
    facts = file.facts or {}
    root_gib = max(1, -(-int(facts.get("virtual_size", 0)) // 2**30))
    found = {"boot": facts.get("boot", "bios"), "architecture": facts.get("architecture", "x86_64")}
    base = {"id": id, "account": account, "image_file": file.id, "location": file.location, "created": tx.now}
    tx.insert(image, {**base, **found, "root_gib": root_gib, **values})
    return id


def add(tx: Tx, values: dict[str, Any], disks: list[dict[str, Any]]) -> None:
    """A new image, by its columns, with these disks of its own."""
    tx.insert(image, {**values, "created": tx.now})
    in_order = sorted(disks, key=lambda disk: str(disk["device"]))
    tx.insert(image_disk, *({**disk, "image": values["id"]} for disk in in_order))


def change(tx: Tx, id: str, **values: object) -> None:
    tx.change(image.update().where(image.c.id == id).values(**values))


def deregister(tx: Tx, id: str) -> bool:
    """Nothing can be launched from it any more, and its file goes with the last use; whether it was registered."""
    tx.change(image_disk.delete().where(image_disk.c.image == id))
    mine = sa.and_(image.c.id == id, sa.not_(image.c.deregistered))
    if not tx.change(image.update().where(mine).values(deregistered=True)):
        return False
    kept = tx.value(sa.select(image.c.image_file).where(image.c.id == id))
    if kept is not None:
        wake(tx, "image_file", kept)
    return True
