"""What must be true of an image file: it is in the store, inspected, or gone."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from cumulet.drivers.specs import ImageFileSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure, Impossible, Later
from cumulet.model import Tx, host, image, work
from cumulet.model.database import Row

GIB = 2**30


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = image.file(tx, id)
    if row is None:
        with run.write() as tx:
            work.forget(tx, "image_file", id)
    elif row.desired == "absent":
        _remove(run, row)
    elif row.state != "failed":
        _make(run, row if row.host is not None else _place(run, row))


def _place(run: Run, row: Row) -> Row:
    with run.write() as tx:
        hosts = host.living(tx, "image")
        if not hosts:
            raise Later(1.0, "no image service is heard")
        table = image.image_file
        tx.change(table.update().where(table.c.id == row.id).values(host=min(hosts)))
        placed = image.file(tx, row.id)
    assert placed is not None
    return placed


def _make(run: Run, row: Row) -> None:
    driver = run.driver("image", row.host)
    known = (row.facts or {}).get("sha256") or None
    driver.ensure(ImageFileSpec(id=row.id, source=row.source, format=row.declared, sha256=known))
    if row.state == "available":
        return
    facts = msgspec.json.decode(driver.ask("facts", row.id))
    with run.write() as tx:
        _say_available(tx, row.id, facts)


def _say_available(tx: Tx, id: str, facts: dict[str, Any]) -> None:
    files, images = image.image_file, image.image
    tx.change(files.update().where(files.c.id == id).values(state="available", facts=facts))
    root_gib = max(1, -(-int(facts.get("virtual_size", 0)) // GIB))
    # an image may have been registered with a larger disk while its file was on its way
    largest = sa.case((images.c.root_gib > root_gib, images.c.root_gib), else_=root_gib)
    values = {"boot": facts.get("boot", "bios"), "architecture": facts.get("architecture", "x86_64")}
    tx.change(images.update().where(images.c.image_file == id).values(root_gib=largest, **values))
    for row in tx.all(sa.select(images).where(images.c.image_file == id)):
        if mode := row.attributes.get("BootMode"):
            image.change(tx, row.id, boot=image.BOOTS[mode])


def _remove(run: Run, row: Row) -> None:
    if row.host is not None:
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
        if tx.change(mine.where(table.c.state == "pending").values(**values)) == 0:
            raise Failure(f"image file {id} was lost and cannot be made again: {reason}")
