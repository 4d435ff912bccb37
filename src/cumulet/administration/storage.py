"""Volumes and images of all accounts."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.administration import named
from cumulet.administration.desk import Named, Nothing
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account, attachment, bucket, host, image, image_copy, object, snapshot, tag, volume, work
from cumulet.model.database import Row


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to be taken in as an image: `source` is its path as hosts of the role image see it, `declared` its format.

    Or it is the object `key` in `bucket`, whoever that belongs to. `instead`: the owner's images of the same name are
    deregistered; guests that run from them go on.
    """

    account: str
    name: str
    location: str
    source: str = ""
    bucket: str = ""
    key: str = ""
    declared: str | None = None
    description: str = ""
    public: bool = False
    instead: bool = False


def volumes(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each volume: id, account (its name), size_gib, state, whether it is encrypted, host, instance, device, whether
    its host exports it to the instance's, and the ids of its snapshots."""
    owners = account.all(tx)
    kept: dict[str, list[str]] = {}
    for one in (one for owner in owners for one in snapshot.of_account(tx, owner.id)):
        kept.setdefault(one.volume, []).append(one.id)
    return [
        {
            "id": row.id,
            "account": owner.name,
            "size_gib": row.size_gib,
            "state": "deleting" if row.desired == "absent" else row.state,
            "encrypted": bool(row.sealed),
            "host": row.host,
            "instance": row.instance,
            "device": row.device,
            "attachment": row.attach_state,
            "exported": bool(row.exported),
            "snapshots": kept.get(row.id, []),
        }
        for owner in owners
        for row in attachment.volumes(tx, owner.id)
    ]


def delete_volume(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Have a volume go that no instance has, whoever it belongs to; raises `Failure`."""
    row = attachment.find_volume(tx, wanted.name)
    if row is None:
        raise Failure(f"there is no volume {wanted.name}: `cumulet volume list` shows all of them")
    if row.attachment is not None:
        raise Failure(f"the volume {row.id} is in the instance {row.instance}")
    volume.change(tx, row.id, desired="absent")
    work.wake(tx, "volume", row.id)
    return {"id": row.id}


def images(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each image that is registered: id, name, account (its name), state, public, format, gib, boot, the reason of its
    state; location, and of its file source, sha256 and the hosts that have it, the first of which took it in."""
    copies: dict[str, list[str]] = {}
    for copy in image_copy.all(tx):
        copies.setdefault(copy.image_file, []).append(copy.host if copy.state == "available" else f"{copy.host}…")
    return [
        {**_described(row), "hosts": [*filter(None, [row.host]), *copies.get(row.image_file, [])]}
        for row in image.all(tx)
        if not row.deregistered
    ]


def image_of(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """One of them, and what keeps it from being taken in (`trouble`); raises `Failure`."""
    for row in image.all(tx):
        if row.id == wanted.name:
            waits = work.find(tx, "image_file", row.image_file) if row.image_file else None
            return {**_described(row), "trouble": waits.error if waits is not None else ""}
    raise Failure(f"the image {wanted.name} is gone: somebody has removed it meanwhile")


def take_in_image(tx: Tx, config: Config, wanted: Source) -> dict[str, Any]:
    """The image, pending; one that was refused is in nobody's way. Raises `Failure` where its name is taken."""
    owner = named(tx, wanted.account)
    table, files = image.image, image.image_file
    mine = table.c.account == owner.id, table.c.name == wanted.name, sa.not_(table.c.deregistered)
    refused = table.c.image_file.in_(sa.select(files.c.id).where(files.c.state == "failed"))
    unwanted = sa.true() if wanted.instead else refused
    tx.change(table.update().where(*mine, unwanted).values(deregistered=True))
    if tx.first(sa.select(table).where(*mine)) is not None:
        raise Failure(f"the account {owner.name} has an image {wanted.name} already: choose another --name")
    source = _object(tx, wanted.bucket, wanted.key) if wanted.bucket else {"source": wanted.source}
    id, _ = image.take_in(tx, {**msgspec.structs.asdict(wanted), **source, "account": owner.id})
    return image_of(tx, config, Named(id))


class Prefetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image, and the hosts that are to have it; none named: all that run guests or keep volumes."""

    name: str
    hosts: list[str] = []


def prefetch_image(tx: Tx, config: Config, wanted: Prefetch) -> list[dict[str, Any]]:
    """Have hosts fetch an image's files before anybody needs them there, and keep them until it goes.

    Gives host, state and stage of each copy; raises `Failure` for an image without a file of its own, or no host.
    """
    row = image.find(tx, wanted.name)
    if row is None or row.deregistered:
        raise Failure(f"there is no image {wanted.name}: `cumulet image list` shows all of them")
    if row.image_file is None:
        raise Failure(f"the image {row.id} is made of snapshots: they are copied to a host when it is launched there")
    known = host.living(tx, "image")
    strangers = sorted(set(wanted.hosts) - known)
    if strangers:
        text = "no image service is heard there: `cumulet service list` shows all of them"
        raise Failure(f"{', '.join(strangers)}: {text}")
    files = [row.image_file, *_files_of(tx, row)]
    found = [image_copy.want(tx, file, name, kept=True) for name in sorted(wanted.hosts or known) for file in files]
    return [{"host": one.host, "state": one.state, "stage": one.stage} for one in found if one is not None]


def _files_of(tx: Tx, row: Row) -> list[str]:
    """Those of the kernel and the initial RAM disk that it boots with, where these are images of their own."""
    parts = [image.find(tx, id) for id in (row.kernel, row.ramdisk) if id]
    return [part.image_file for part in parts if part is not None and part.image_file is not None]


def _object(tx: Tx, name: str, key: str) -> dict[str, Any]:
    """What `image.take_in` wants to know of an object; raises `Failure` where it is not there."""
    place, found = bucket.find(tx, name), object.newest(tx, name, key.encode())
    if place is None or found is None or found.marker:
        raise Failure(f"there is no object s3://{name}/{key}")
    part = {"url": key, "etag": found.etag, "size": found.size}
    origin = {"bucket": name, "account": place.account, "by": {"kind": "user"}, "parts": [part]}
    return {"source": f"s3://{name}/{key}", "origin": origin}


def remove_image(tx: Tx, config: Config, wanted: Named) -> dict[str, Any]:
    """Deregister an image, whoever it belongs to; guests that run from it go on. Raises `Failure`."""
    row = image.find(tx, wanted.name)
    if row is None or row.deregistered:
        raise Failure(f"there is no image {wanted.name}: `cumulet image list` shows all of them")
    if row.protection != image.UNPROTECTED:
        raise Failure(f"the image {row.id} is protected from being deregistered: its owner disables that first")
    image.deregister(tx, row.id)
    tag.remove(tx, row.id)
    return {"id": row.id}


def _described(row: Row) -> dict[str, Any]:
    facts = row.facts or {}
    return {
        "id": row.id,
        "name": row.name,
        "account": row.owner,
        "state": row.state,
        "public": bool(row.public),
        "format": facts.get("format", "") if row.image_file else "snapshot",
        "gib": row.root_gib,
        "boot": row.boot,
        "reason": f"{row.reason_code}: {row.reason}" if row.reason_code else row.stage,
        "location": row.location,
        "source": row.source,
        "sha256": facts.get("sha256"),
    }
