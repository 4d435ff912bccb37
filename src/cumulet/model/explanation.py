"""Why a thing is not as it should be: what the rows say of it, and of what it waits for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.lib.errors import Failure
from cumulet.model import (
    attachment,
    group,
    host,
    host_lease,
    image,
    image_copy,
    image_task,
    instance,
    interface,
    snapshot,
    stalled,
    volume,
    vpc,
    vpc_host,
    work,
)
from cumulet.model.database import Row, Tx

ROLE_OF = {
    "instance": "compute",
    "interface": "network",
    "group": "network",
    "vpc": "network",
    "volume": "volume",
    "snapshot": "volume",
    "image_file": "image",
}
"""The kinds that the engine makes true, and the role whose hosts have them."""

_TABLES: dict[str, sa.Table] = {
    "instance": instance.instance,
    "interface": interface.interface,
    "group": group.group,
    "vpc": vpc.vpc,
    "volume": volume.volume,
    "snapshot": snapshot.snapshot,
    "image_file": image.image_file,
    "image_task": image_task.image_task,
}


def explain(tx: Tx, id: str) -> dict[str, Any]:
    """What is known of a thing: kind, id, account, desired, state, hosts, reason, its work row and what it waits for.

    An image (`ami-…`) is explained by its file, or by the one of its snapshots that it waits for, and a task of one is
    on no host. Raises `Failure` for an id that is not one of these or not there.
    """
    kind, row = _find(tx, id)
    known = row._mapping
    found = {
        "kind": kind,
        "id": row.id,
        "account": row.account,
        "desired": known.get("desired", "present"),
        "state": _state(kind, row),
        "hosts": _hosts(tx, kind, row),
        "reason": vpc_host.cut_off(tx).get(id, "") if kind == "vpc" else _reason(known) or _of_host(tx, kind, row),
        "work": _work(tx, kind, row.id),
    }
    return found | {"waits_for": _parts(tx, kind, row) if kind in ("instance", "image_task") else []}


def _reason(known: Any) -> str:
    code, text = known.get("reason_code") or "", known.get("reason") or known.get("message") or ""
    said = ": ".join(part for part in (code, text.removeprefix(f"{code}: ")) if part)
    return said or (f"it was not moved: {known['not_moved']}" if known.get("not_moved") else "")


def _of_host(tx: Tx, kind: str, row: Row) -> str:
    """What an instance, or a volume, has to do with a host that is lost or silent."""
    if kind == "volume":
        return " ".join(stalled.said(tx, one) for one in stalled.volumes(tx, volume.volume.c.id == row.id).values())
    if kind != "instance":
        return ""
    if row.recovering:
        return f"{row.recovering} was lost: it is started on another host"
    found = host_lease.silent(tx, instance.instance.c.id == row.id).get(row.id)
    if found is None:
        disks = stalled.volumes(tx, instance.instance.c.id == row.id)
        return "; ".join(stalled.said(tx, one) for one in disks.values()) or _of_keys(tx, row)
    bars = host_lease.bars(found, found)
    most = found.fence_seconds + host_lease.MARGIN_SECONDS
    then = f"it waits for that: {bars}" if bars else f"it is started on another host after {most:g} s"
    return f"{found.name} has not been heard for {tx.now - found.heard:.0f} s; {then}"


def _of_keys(tx: Tx, row: Row) -> str:
    """Whether a guest is off since its host, which keeps no keys of volumes, was started again."""
    place = host.find(tx, row.host) if row.host is not None else None
    if place is None or row.id not in place.facts.get("awaiting_keys", []):
        return ""
    disks = [disk.id for disk in attachment.disks(tx, row.id) if disk.sealed and disk.host == row.host]
    opened = f"the key of {', '.join(disks)}" if disks else "the keys of its volumes"
    return (
        f"{place.name} was started again, and keeps no keys: the guest starts when a scheduler orders it with {opened}"
    )


def _find(tx: Tx, id: str) -> tuple[str, Row]:
    kind = ids.kind_of(id) or ""
    if kind in image.ID_KINDS.values():
        named = image.find(tx, id)
        kept = image.snapshots(tx, id)
        kind, id = ("snapshot", kept[0].id) if kept else ("image_file", (named and named.image_file) or id)
    kind = "image_task" if kind in ("import_image", "import_snapshot", "export_image") else kind
    if kind not in _TABLES:
        raise Failure(
            f"{id} is not the id of an instance (i-…), interface (eni-…), group (sg-…), VPC (vpc-…), volume (vol-…), "
            "snapshot (snap-…), image (ami-…) or task of one (import-ami-…)"
        )
    table = _TABLES[kind]
    row = tx.first(sa.select(table).where(table.c.id == id))
    if row is None:
        forgotten = "; a terminated instance is forgotten after a while" if kind == "instance" else ""
        raise Failure(f"there is no {id}{forgotten}")
    return kind, row


def _state(kind: str, row: Row) -> str:
    if kind == "interface":
        return f"step {row.reached} of {row.wanted}"
    return "" if kind in ("group", "vpc") else str(row.state)


def _hosts(tx: Tx, kind: str, row: Row) -> list[str]:
    if kind == "group":
        return sorted(group.hosts(tx, row.id))
    if kind == "vpc":
        return sorted(vpc_host.hosts(tx, row.id))
    first = [row.host] if row._mapping.get("host") is not None else []
    return first + [copy.host for copy in image_copy.of_file(tx, row.id)] if kind == "image_file" else first


def _work(tx: Tx, kind: str, id: str) -> dict[str, Any] | None:
    """The work row in words: whether it rests, and whether a run (with its orders) is under way."""
    row = work.find(tx, kind, id)
    if row is None:
        return None
    return {
        "rests": row.due is None,
        "due_in": None if row.due is None else round(row.due - tx.now, 3),
        "run_under_way": row.lease is not None and row.lease > tx.now,
        "epoch": row.epoch,
        "wakes": row.wakes,
        "tries": row.tries,
        "error": row.error,
    }


def _parts(tx: Tx, kind: str, row: Row) -> list[dict[str, Any]]:
    """The parts of an instance or a task that are not as it needs them, or that something goes wrong with."""
    files = [file] if (file := image.file(tx, row.image_file)) is not None else []
    parts = [("image_file", file, file.state == "available") for file in files]
    if kind == "instance":
        parts += _disks_and_nics(tx, row)
    found = [(kind, part, done, _work(tx, kind, part.id)) for kind, part, done in parts]
    return [
        {"kind": kind, "id": part.id, "state": _state(kind, part), "work": work}
        for kind, part, done, work in found
        if not done or (work is not None and work["tries"])
    ]


def _disks_and_nics(tx: Tx, row: Row) -> list[tuple[str, Row, bool]]:
    parts = [("volume", disk, disk.state == "ready") for disk in attachment.disks(tx, row.id)]
    parts += [("interface", nic, nic.reached == nic.wanted) for nic in interface.of_instance(tx, row.id)]
    return parts
