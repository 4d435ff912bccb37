"""Snapshots of several volumes of an instance, all of one moment."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import instance_rows
from cumulet.api.ec2.snapshot_rows import snapshot_item, written
from cumulet.api.ec2.tagging import TagSpecification, check_count, shown, tags_for
from cumulet.api.ec2.validation import described_freely, invalid
from cumulet.lib import devices
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, attachment, tag, work
from cumulet.model.database import Row


class InstanceSpecification(TypedDict, total=False):
    InstanceId: str
    ExcludeBootVolume: bool
    ExcludeDataVolumeIds: list[str]


@action(accepts={"Location": "there is one region, and no local zones"})
def create_snapshots(
    ctx: Context,
    instance_specification: InstanceSpecification,
    description: str = "",
    copy_tags_from_source: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Keep what is on an instance's volumes at one moment, as after a loss of power."""
    if copy_tags_from_source not in ("", "volume"):
        raise invalid(copy_tags_from_source, "copyTagsFromSource", "Expecting volume.")
    tags = tags_for(tag_specifications, "snapshot")
    described_freely(description, "snapshot")
    with ctx.write() as tx:
        guest = instance_rows.one(tx, ctx.account, instance_specification["InstanceId"])
        disks = _chosen(guest, disks_of(tx, guest), instance_specification)
        copied = {disk.id: tag.of(tx, disk.id) if copy_tags_from_source else {} for disk in disks}
        rows = take(ctx, tx, guest, disks, description, {id: found | tags for id, found in copied.items()})
        return {"Snapshots": [_info(ctx, row, copied[row.volume] | tags) for row in rows]}


def disks_of(tx: Tx, guest: Row) -> list[Row]:
    """The volumes of an instance of which snapshots can be taken now; raises `Refusal` IncorrectState."""
    if guest.state not in ("running", "stopped"):
        raise Refusal("IncorrectState", f"Instance '{guest.id}' is not 'running' or 'stopped'; it is {guest.state}.")
    disks = [disk for disk in attachment.disks(tx, guest.id) if disk.attach_desired == "attached"]
    for disk in disks:
        if disk.state != "ready":
            text = f"The volume '{disk.id}' is not in a state to take a snapshot: {disk.state}."
            raise Refusal("IncorrectState", text)
    return disks


def take(
    ctx: Context, tx: Tx, guest: Row, disks: list[Row], description: str, tags: dict[str, dict[str, str]]
) -> list[Row]:
    """New snapshots of these volumes of one moment; `tags` by the volume's id."""
    work.wake(tx, "instance", guest.id)
    made = []
    for disk in disks:
        check_count(len(tags[disk.id]))
        values = {"volume": disk.id, "instance": guest.id, "host": disk.host, "size_gib": disk.size_gib}
        values |= {"sealed": disk.sealed}
        values |= {"state": "waiting", "description": description}
        made.append(written(ctx, tx, values, tags[disk.id]))
    return made


def _chosen(guest: Row, disks: list[Row], wanted: InstanceSpecification) -> list[Row]:
    excluded = wanted.get("ExcludeDataVolumeIds") or []
    data = {disk.id for disk in disks if disk.slot != devices.ROOT}
    for id in excluded:
        if id not in data:
            raise invalid(id, "excludeDataVolumeId", f"It is not a data volume that is attached to '{guest.id}'.")
    without_root = wanted.get("ExcludeBootVolume", False)
    found = [disk for disk in disks if disk.id not in excluded and not (without_root and disk.slot == devices.ROOT)]
    if not found:
        raise Refusal("InvalidParameterValue", f"No volume of '{guest.id}' is left to take a snapshot of.")
    return found


def _info(ctx: Context, row: Row, tags: dict[str, str]) -> Item:
    """AWS's SnapshotInfo."""
    item = snapshot_item(ctx, row, shown(tags))
    names = ("Description", "Encrypted", "OwnerId", "Progress", "SnapshotId", "StartTime", "State", "Tags", "VolumeId")
    return {"VolumeSize": item["VolumeSize"], **{name: item[name] for name in names}}
