"""The disks of an image that is imported as snapshots, as it has several, or is to be encrypted: a task for each.

All the snapshots of an image are on one host: the first disk is placed, and the others follow it.
"""

from __future__ import annotations

from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.model import Tx, image, image_task, snapshot, volume
from cumulet.model.database import Row

AWAIT_SECONDS = 2.0


def register(run: Run, row: Row) -> None:
    """The image is there, once each of its disks is a snapshot; raises `Impossible` if one cannot be."""
    with run.read() as tx:
        parts = _parts(tx, row)
        lacking = [one for one in parts if one.state != "completed"]
        failed = next((one for one in lacking if one.state != "active"), None)
        root_file = image.file(tx, parts[0].image_file)
    if failed is not None:
        code, _, why = failed.message.partition(": ")
        raise Impossible(*((code, why) if why else ("ClientError", failed.message)))
    if lacking:
        raise Later(AWAIT_SECONDS, f"waiting for {', '.join(one.id for one in lacking)}")
    with run.write() as tx:
        if image_task.end(tx, row.id, "completed"):
            image.add(tx, _image(row, parts, root_file), [_disk(tx, one) for one in parts])


def _parts(tx: Tx, row: Row) -> list[Row]:
    found = [image_task.find(tx, id) for id in row.details["parts"]]
    return [one for one in found if one is not None]


def _image(row: Row, parts: list[Row], root_file: Row | None) -> dict[str, object]:
    attributes = row.details.get("attributes", {})
    facts = (root_file.facts if root_file is not None else None) or {}
    mode = attributes.get("BootMode")
    return {
        "id": row.image,
        "account": row.account,
        "name": row.id,
        "description": row.description,
        "location": f"{row.account}/{row.id}",
        "attributes": attributes,
        "boot": image.BOOTS[mode] if mode else facts.get("boot", "bios"),
        "architecture": facts.get("architecture", "x86_64"),
        "root_device": parts[0].details["device"],
        "root_gib": -(-int(facts.get("virtual_size", 1)) // 2**30),
    }


def _disk(tx: Tx, part: Row) -> dict[str, object]:
    taken = snapshot.find(tx, part.snapshot)
    size = int(taken.size_gib) if taken is not None else 1
    shape = {"size_gib": size, "type": "gp3", "iops": 0, "throughput": 0}
    return {"device": part.details["device"], "snapshot": part.snapshot, "delete_on_termination": True, **shape}


def host_of_first(tx: Tx, row: Row) -> str | None:
    """The host of the first disk of the image, which this one follows; None if not known yet, "" for the first."""
    whole = image_task.find(tx, row.details["of"])
    first = whole.details["parts"][0] if whole is not None else row.id
    if first == row.id:
        return ""
    task = image_task.find(tx, first)
    if task is None:
        return None
    made = snapshot.find(tx, task.snapshot) or volume.find(tx, task.volume)
    return str(made.host) if made is not None and made.host else None


def undo(run: Run, row: Row) -> None:
    """The tasks of the disks have ended, and their snapshots are gone."""
    with run.write() as tx:
        parts = _parts(tx, row)
        for one in parts:
            if one.state == "active" and one.desired != "cancelled":
                image_task.cancel(tx, one.id, row.message)
            elif one.state == "completed" and snapshot.find(tx, one.snapshot) is not None:
                snapshot.let_go(tx, one.snapshot)
        left = [one.id for one in parts if one.state == "active" or snapshot.find(tx, one.snapshot) is not None]
    if left:
        raise Later(1.0, f"waiting for {', '.join(left)} to go")
