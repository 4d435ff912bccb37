"""Snapshots: taken, described and deleted."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.snapshot_rows import owned, snapshot_item
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import described, invalid
from cumulet.api.ec2.volume_rows import owned as owned_volume
from cumulet.api.filters import Path
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import snapshot, tag, work
from cumulet.wire.scalars import write_time

_FILTERS: dict[str, Path] = {
    "description": "Description",
    "encrypted": "Encrypted",
    "owner-alias": "OwnerAlias",
    "owner-id": "OwnerId",
    "progress": "Progress",
    "snapshot-id": "SnapshotId",
    "start-time": lambda item: write_time(item["StartTime"]),
    "status": "State",
    "storage-tier": "StorageTier",
    "volume-id": "VolumeId",
    "volume-size": "VolumeSize",
}


@describes(
    "Snapshots",
    id="SnapshotId",
    ids="snapshot_ids",
    missing="InvalidSnapshot.NotFound",
    malformed="InvalidParameterValue",
    prefix="snap-",
    filters=_FILTERS,
)
def describe_snapshots(
    ctx: Context, owner_ids: list[str] | None = None, restorable_by_user_ids: list[str] | None = None
) -> list[Item]:
    """The account's snapshots: those of others are never shared here."""
    for wanted in (owner_ids, restorable_by_user_ids):
        if wanted and not {"self", ctx.account} & set(wanted):
            return []
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, ["snapshot"])
        rows = [row for row in snapshot.of_account(tx, ctx.account) if row.desired == "present"]
    return [snapshot_item(row, tags.get(row.id, [])) for row in rows]


@action(accepts={"Location": "there is one region, and no local zones"})
def create_snapshot(
    ctx: Context, volume_id: str, description: str = "", tag_specifications: list[TagSpecification] | None = None
) -> Result:
    """Keep what is on the volume now, whether a guest writes to it or not: as after a loss of power."""
    tags = tags_for(tag_specifications, "snapshot")
    described(description, "snapshot")
    with ctx.write() as tx:
        row = owned_volume(tx, ctx.account, volume_id)
        if row.state != "ready":
            raise Refusal("IncorrectState", f"The volume '{row.id}' is not in a state to take a snapshot: {row.state}.")
        id = ids.new("snapshot")
        values = {"id": id, "account": ctx.account, "volume": row.id, "host": row.host, "size_gib": row.size_gib}
        tx.insert(snapshot.snapshot, {**values, "description": description, "created": tx.now})
        tag.put(tx, ctx.account, id, "snapshot", tags)
        work.wake(tx, "snapshot", id)
        return snapshot_item(owned(tx, ctx.account, id), shown(tags))


@action()
def delete_snapshot(ctx: Context, snapshot_id: str) -> Result:
    """Have the snapshot go; volumes that were made from it stay as they are."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, snapshot_id)
        if row.state in snapshot.UNFINISHED:
            raise invalid(row.id, "snapshotId", "The snapshot is pending; it can be deleted when it is completed.")
        snapshot.change(tx, row.id, desired="absent")
        work.wake(tx, "snapshot", row.id)
    return {}
