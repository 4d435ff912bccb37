"""What must be true of a task of images: its image or snapshot is there, or its object, or what was begun is gone."""

from __future__ import annotations

from cumulet.control import export_links, image_parts
from cumulet.drivers.specs import ExportSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.model import Tx, account, capacity, image, image_task, snapshot, tag, volume, work
from cumulet.model import object as objects
from cumulet.model.database import Row

AWAIT_SECONDS = 2.0
"""Others wake the task when they are done; this is for a wake that was lost."""
EXPORT_SECONDS = 1.0


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = image_task.find(tx, id)
        owner = account.find(tx, row.account) if row is not None else None
    if row is None:
        with run.write() as tx:
            work.forget(tx, "image_task", id)
    elif owner is None:
        _go(run, row)
    elif row.state == "active":
        _DO[row.kind if row.desired == "done" else "cancelled"](run, row)


def _file(run: Run, row: Row) -> Row:
    """The file that the import is made of, once it is there; raises `Impossible` if it was refused."""
    with run.read() as tx:
        file = image.file(tx, row.image_file)
    if file is None or file.state == "failed":
        raise Impossible("ClientError", file.reason if file is not None else "its file is gone")
    if file.state != "available":
        raise Later(AWAIT_SECONDS, "waiting for its file")
    return file


def _import_image(run: Run, row: Row) -> None:
    if row.details.get("parts"):
        image_parts.register(run, row)
        return
    file = _file(run, row)
    details = row.details
    values = {"name": row.id, "description": row.description, "attributes": details.get("attributes", {})}
    if mode := values["attributes"].get("BootMode"):
        values["boot"] = image.BOOTS[mode]
    with run.write() as tx:
        if image_task.end(tx, row.id, "completed"):
            image.register(tx, row.account, file, {**values, "id": row.image})


def _import_snapshot(run: Run, row: Row) -> None:
    """A volume on top of the file, which is nobody's, and a snapshot of that."""
    file = _file(run, row)
    with run.write() as tx:
        disk, taken = volume.find(tx, row.volume), snapshot.find(tx, row.snapshot)
        if taken is None and disk is None:
            _place_volume(run, tx, row, file)
        elif taken is None and disk is not None and disk.state == "ready":
            _take_snapshot(tx, row, disk)
        elif taken is not None and taken.state == "completed" and image_task.end(tx, row.id, "completed"):
            volume.let_hidden_go(tx, row.volume)
    if disk is not None and disk.state == "error":
        raise Impossible("ServerError", "the volume that it is taken of cannot be made")
    if taken is None or taken.state != "completed":
        raise Later(EXPORT_SECONDS, f"waiting for {row.volume if taken is None else row.snapshot}")


def _place_volume(run: Run, tx: Tx, row: Row, file: Row) -> None:
    size = max(1, -(-int(file.facts["virtual_size"]) // 2**30))
    zone = run.settings.zone_names()[0]
    encrypted = bool(row.details.get("encrypted"))
    beside = image_parts.host_of_first(tx, row) if row.kind == "disk" else ""
    if beside is None:
        raise Later(AWAIT_SECONDS, "waiting for the first disk of its image")
    if beside:
        host = beside if capacity.claim_disk(tx, beside, size, run.settings) else None
    else:
        host = capacity.place_disk(tx, zone, size, run.settings, needs="encrypts" if encrypted else "")
    if host is None:
        raise Later(AWAIT_SECONDS, f"no host in {zone} has {size} GiB of disk left")
    values = {"id": row.volume, "account": volume.HIDDEN, "zone": zone, "host": host, "size_gib": size}
    values |= {"image_file": file.id, "sealed": volume.new_key(tx) if encrypted else ""}
    tx.insert(volume.volume, {**values, "created": tx.now})
    work.wake(tx, "volume", row.volume)


def _take_snapshot(tx: Tx, row: Row, disk: Row) -> None:
    values = {"id": row.snapshot, "account": row.account, "volume": disk.id, "host": disk.host}
    values |= {"base": disk.image_file, "sealed": disk.sealed}
    values |= {"size_gib": disk.size_gib, "description": row.description or f"Created by import task {row.id}"}
    tx.insert(snapshot.snapshot, {**values, "created": tx.now})
    work.wake(tx, "snapshot", row.snapshot)


def _export(run: Run, row: Row) -> None:
    """Whether the object is there says whether it is done; then the agent can forget it."""
    with run.read() as tx:
        file = image.file(tx, row.image_file)
        there = objects.newest(tx, row.details["bucket"], row.details["key"].encode())
    if file is None or file.state != "available" or file.host is None:
        raise Impossible("ClientError", f"the image {row.image} has no file any more")
    driver = run.driver("image", file.host)
    if there is None or there.marker:
        where = export_links.links(run, row, _disk_bytes(file))
        driver.ensure(ExportSpec(id=row.id, image_file=file.id, format=row.details["format"], **where))
        raise Later(EXPORT_SECONDS, "being converted and uploaded")
    driver.remove(row.id)
    with run.write() as tx:
        image_task.end(tx, row.id, "completed")


def _disk_bytes(file: Row) -> int:
    return int((file.facts or {}).get("virtual_size", 0))


def _go(run: Run, row: Row) -> None:
    """Its account was deleted: what it has begun goes, and then it does, with nobody left to ask for it."""
    if row.state == "active":
        _undo(run, row)
    with run.write() as tx:
        image_task.remove(tx, row.id)
        tag.remove(tx, row.id)
        work.forget(tx, "image_task", row.id)


def _cancel(run: Run, row: Row) -> None:
    _undo(run, row)
    with run.write() as tx:
        image_task.end(tx, row.id, "deleted", row.message or "Cancelled by the user")


def _undo(run: Run, row: Row) -> None:
    """What was begun is gone, or is told to go."""
    if row.kind == "export":
        with run.read() as tx:
            file = image.file(tx, row.image_file)
        if file is not None and file.host is not None:
            run.driver("image", file.host).remove(row.id)
        if file is not None and export_links.is_in_parts(_disk_bytes(file)):
            export_links.abandon(run, row)
        return
    if row.details.get("parts"):
        image_parts.undo(run, row)
        with run.write() as tx:
            tag.remove(tx, row.image)
        return
    with run.write() as tx:
        if snapshot.find(tx, row.snapshot) is not None:
            snapshot.let_go(tx, row.snapshot)
        volume.let_hidden_go(tx, row.volume)
        left = [id for id, find in ((row.snapshot, snapshot.find), (row.volume, volume.find)) if find(tx, id)]
    if left:
        raise Later(EXPORT_SECONDS, f"waiting for {', '.join(left)} to go")
    with run.write() as tx:
        files = image.image_file
        tx.change(files.update().where(files.c.id == row.image_file).values(desired="absent"))
        work.wake(tx, "image_file", row.image_file)
        tag.remove(tx, row.image)


_DO = {
    "image": _import_image,
    "snapshot": _import_snapshot,
    "disk": _import_snapshot,
    "export": _export,
    "cancelled": _cancel,
}


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """It ends with the reason, once what was begun is gone."""
    with run.write() as tx:
        image_task.cancel(tx, id, f"{reason.code}: {reason.message}")
