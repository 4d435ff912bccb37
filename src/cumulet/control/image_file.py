"""What must be true of an image file: it is in the store, inspected, or gone."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.control import image_copy
from cumulet.control.image_copy import AWAIT_SECONDS
from cumulet.control.object_links import Links
from cumulet.drivers.specs import ImageFileSpec, ObjectSpec, ObjectsSpec, VolumeSpec
from cumulet.engine.engine import Remote, Run
from cumulet.lib.errors import Failure, Impossible, Later
from cumulet.model import Tx, host, image, image_task, image_use, work
from cumulet.model.database import Row

GIB = 2**30
FETCH_SECONDS = 0.5
"""Between two looks at how far the fetching of objects is."""


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = image.file(tx, id)
        is_used = row is not None and image_use.is_used(tx, id)
    if row is None:
        with run.write() as tx:
            work.forget(tx, "image_file", id)
    elif row.desired == "absent":
        _remove(run, row)
    elif not is_used or row.unused is not None:
        _let_go(run, row)
    elif row.state != "failed":
        _make(run, row if row.host is not None else _place(run, row))


def _let_go(run: Run, row: Row) -> None:
    """Nobody needs it: it goes, unless that changes soon."""
    with run.write() as tx:
        is_used = image_use.is_used(tx, row.id)
        left = 0.0 if is_used and image_use.say_used(tx, row) else image_use.say_unused(tx, row)
    raise Later(left, "it is looked at again" if is_used else "nobody needs it any more")


def _place(run: Run, row: Row) -> Row:
    with run.write() as tx:
        hosts = host.usable(tx, "image")
        if not hosts:
            raise Later(1.0, "no image service is heard that this program can work with")
        table = image.image_file
        tx.change(table.update().where(table.c.id == row.id).values(host=min(hosts)))
        placed = image.file(tx, row.id)
    assert placed is not None
    return placed


def _make(run: Run, row: Row) -> None:
    driver = run.driver("image", row.host)
    known = (row.facts or {}).get("sha256") or None
    spec = ImageFileSpec(id=row.id, source=row.source, format=row.declared, sha256=known)
    if row.origin:
        _fetch(run, row, driver, spec)
    else:
        driver.ensure(spec)
    facts = row.facts
    if row.state != "available":
        facts = msgspec.json.decode(driver.ask("facts", row.id))
        with run.write() as tx:
            _say_available(tx, row.id, facts)
    if facts.get("virtual_size") and _has_pool(run, row.host):
        _keep_in_pool(run, row)


def _has_pool(run: Run, place: str) -> bool:
    """Whether the host keeps its volumes in a pool of Ceph, and does so now."""
    with run.read() as tx:
        return host.says(tx, place, "opens") and place in host.usable(tx, "volume")


def _keep_in_pool(run: Run, row: Row) -> None:
    """The image's disk is in the pool too, where volumes are made of it whatever becomes of this host.

    A volume of the file's own id is what they stand on there (`drivers.volume.rbd`).
    """
    volumes = run.driver("volume", row.host)
    if volumes.look(row.id) is None:
        volumes.ensure(VolumeSpec(id=row.id, size_gib=0, image_file=row.id))


def _fetch(run: Run, row: Row, driver: Remote, spec: ImageFileSpec) -> None:
    """What its objects hold is in the store; ends in `Later` while they are fetched."""
    on_its_way = _progress(driver, row.id)
    if not on_its_way and driver.look(row.id) is None:
        driver.ensure(msgspec.structs.replace(spec, objects=objects_of(run, row)))
        on_its_way = _progress(driver, row.id)
    if not on_its_way and driver.look(row.id) is not None:
        return
    stage = f"{on_its_way.get('stage', 'pending')}, {on_its_way.get('percent', 0)} %"
    if stage != row.stage:
        table = image.image_file
        with run.write() as tx:
            tx.change(table.update().where(table.c.id == row.id).values(stage=stage))
    raise Later(FETCH_SECONDS, stage)


def _progress(driver: Remote, id: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(driver.ask("progress", id))
    return found


def objects_of(run: Run, row: Row) -> ObjectsSpec:
    """Links to the objects of an image file, as of now."""
    origin = row.origin
    links = Links(run, origin.get("account", row.account), origin["by"])
    with run.read() as tx:
        key = tx.keys.unseal(row.sealed).decode() if row.sealed else ""
    return ObjectsSpec(
        parts=[ObjectSpec(**{**part, "url": links.to(origin["bucket"], part["url"])}) for part in origin["parts"]],
        key=key,
        iv=origin.get("iv", ""),
        sha1=origin.get("sha1", ""),
        size=origin.get("size", 0),
    )


def _say_available(tx: Tx, id: str, facts: dict[str, Any]) -> None:
    image_task.wake_of_file(tx, id)
    files, images = image.image_file, image.image
    tx.change(files.update().where(files.c.id == id).values(state="available", stage="", facts=facts))
    root_gib = max(1, -(-int(facts.get("virtual_size", 0)) // GIB))
    # an image may have been registered with a larger disk while its file was on its way
    largest = sa.case((images.c.root_gib > root_gib, images.c.root_gib), else_=root_gib)
    mine = images.update().where(images.c.image_file == id)
    tx.change(mine.values(root_gib=largest, architecture=facts.get("architecture", "x86_64")))
    # one with a kernel of its own boots with that
    tx.change(mine.where(images.c.kernel == "").values(boot=facts.get("boot", "bios")))
    for row in tx.all(sa.select(images).where(images.c.image_file == id)):
        if mode := row.attributes.get("BootMode"):
            image.change(tx, row.id, boot=image.BOOTS[mode])


def _remove(run: Run, row: Row) -> None:
    with run.write() as tx:
        copies = image_copy.let_go_all(tx, row.id)
    if copies:
        raise Later(AWAIT_SECONDS, f"its copies on {', '.join(copies)} go first")
    if row.host is not None:
        if _has_pool(run, row.host):
            run.driver("volume", row.host).remove(row.id)
        run.driver("image", row.host).remove(row.id)
    with run.write() as tx:
        tx.change(image.image_file.delete().where(image.image_file.c.id == row.id))
        work.forget(tx, "image_file", row.id)


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """The image is shown as failed, with the reason; one that was lost stays as it is until its bytes are back."""
    table = image.image_file
    values = {"state": "failed", "reason_code": reason.code, "reason": reason.message}
    with run.write() as tx:
        mine = table.update().where(table.c.id == id)
        image_task.wake_of_file(tx, id)
        if tx.change(mine.where(table.c.state == "pending").values(**values)) == 0:
            raise Failure(f"image file {id} was lost and cannot be made again: {reason}")
