"""Volumes that change while they are used: larger, of another type, with other limits; and what became of that."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.volume_rows import check_quota, owned, state
from cumulet.api.ec2.volume_types import Shape, performance, shaped
from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, attachment, capacity, stalled, volume, work
from cumulet.model.database import Row
from cumulet.wire.scalars import write_time

_WAITS = "The host that keeps the volume does not answer; the volume grows when it does."


@action()
def modify_volume(
    ctx: Context,
    volume_id: str,
    size: int | None = None,
    volume_type: str | None = None,
    iops: int | None = None,
    throughput: int | None = None,
    multi_attach_enabled: bool = False,
) -> Result:
    """Have the volume grow, or be of another type or speed, whether a guest uses it or not."""
    if multi_attach_enabled:
        raise Refusal("UnsupportedOperation", "A volume of this cloud is in one instance at a time: no multi-attach.")
    if all(value is None for value in (size, volume_type, iops, throughput)):
        raise Refusal("InvalidParameterValue", "Nothing is to be modified: give a size, a type, iops or throughput.")
    with ctx.write() as tx:
        row = owned(tx, ctx.account, volume_id)
        _check(row, size)
        shape = _shape(row, size, volume_type, iops, throughput)
        _grow(ctx, tx, row, shape.size_gib - row.size_gib)
        before = {"type": row.type, "size_gib": row.size_gib, "iops": row.iops, "throughput": row.throughput}
        volume.change(tx, row.id, **shape._asdict(), modified=tx.now, before=before)
        work.wake(tx, "volume", row.id)
        if row.instance is not None:
            work.wake(tx, "instance", row.instance)
        changed = volume.find(tx, row.id)
        assert changed is not None
        return {"VolumeModification": _item(changed)}


def _check(row: Row, size: int | None) -> None:
    if state(row) not in ("available", "in-use"):
        raise Refusal("IncorrectState", f"The volume '{row.id}' is {state(row)}; it cannot be modified.")
    if row.made_gib < row.size_gib:
        raise Refusal(
            "IncorrectModificationState",
            f"Volume {row.id} is being modified: from {row.made_gib} to {row.size_gib} GiB; wait.",
        )
    if row.moving_to or row.moved_from:
        raise Refusal("IncorrectModificationState", f"Volume {row.id} is being moved to another host; wait.")
    if size is not None and size < row.size_gib:
        raise Refusal(
            "InvalidParameterValue",
            f"New size cannot be smaller than existing size: the volume has {row.size_gib} GiB, {size} were asked for.",
        )


def _shape(row: Row, size: int | None, kind: str | None, iops: int | None, throughput: int | None) -> Shape:
    """What it will be: limits stay where the type does."""
    same = kind in (None, row.type)
    kept_iops, kept_throughput = (row.iops or None, row.throughput or None) if same else (None, None)
    iops = iops if iops is not None else kept_iops
    throughput = throughput if throughput is not None else kept_throughput
    return shaped(kind or row.type, size if size is not None else row.size_gib, iops, throughput)


def _grow(ctx: Context, tx: Tx, row: Row, more: int) -> None:
    check_quota(ctx, tx, 0, more)
    if more and not capacity.claim_disk(tx, row.host, more, ctx.config):
        raise Refusal(
            "InsufficientVolumeCapacity",
            f"There is not enough capacity to fulfill your volume request: its host has not {more} GiB left.",
        )


@describes(
    "VolumesModifications",
    id="VolumeId",
    ids="volume_ids",
    missing="InvalidVolumeModification.NotFound",
    filters={
        "modification-state": "ModificationState",
        "original-iops": "OriginalIops",
        "original-size": "OriginalSize",
        "original-volume-type": "OriginalVolumeType",
        "originalMultiAttachEnabled": "OriginalMultiAttachEnabled",
        "start-time": lambda item: write_time(item["StartTime"]),
        "targetMultiAttachEnabled": "TargetMultiAttachEnabled",
        "target-iops": "TargetIops",
        "target-size": "TargetSize",
        "target-volume-type": "TargetVolumeType",
        "volume-id": "VolumeId",
    },
)
def describe_volumes_modifications(ctx: Context, volume_ids: list[str] | None = None) -> list[Item]:
    """The last modification of each volume that was ever modified; `volume_ids` are volumes that are there."""
    with ctx.read() as tx:
        silent = stalled.of_account(tx, ctx.account)
        volumes = attachment.volumes(tx, ctx.account)
        _check_there({row.id for row in volumes}, volume_ids or [])
        changed = [row for row in volumes if row.modified is not None]
        return [_item(row, _WAITS if row.id in silent else "") for row in changed]


def _check_there(there: set[str], wanted: list[str]) -> None:
    for id in wanted:
        check_id(id, "InvalidParameterValue", "vol-")
        if id not in there:
            raise Refusal("InvalidVolume.NotFound", f"The volume '{id}' does not exist.")


def _item(row: Row, waits: str = "") -> Item:
    """The modification; `waits` is what is waited for, where it is not done yet."""
    done = row.made_gib >= row.size_gib
    now = {"type": row.type, "size_gib": row.size_gib, "iops": row.iops, "throughput": row.throughput}
    return {
        "VolumeId": row.id,
        "ModificationState": "completed" if done else "modifying",
        "StatusMessage": None if done else waits or None,
        "Progress": 100 if done else 0,
        "StartTime": row.modified,
        "EndTime": row.modified if done else None,
        **_side("Target", now),
        **_side("Original", row.before),
    }


def _side(which: str, shape: dict[str, Any]) -> Item:
    speed = performance(shape["type"], shape["size_gib"], shape["iops"], shape["throughput"])
    return {
        f"{which}Size": shape["size_gib"],
        f"{which}VolumeType": shape["type"],
        f"{which}MultiAttachEnabled": False,
        **{f"{which}{name}": value for name, value in speed.items()},
    }
