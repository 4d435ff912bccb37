"""Snapshots: taken, copied, described and deleted."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.encryption import check_key
from cumulet.api.ec2.snapshot_rows import completed, copied, owned, snapshot_item, written
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.users import OWNERS, USERS, check_users
from cumulet.api.ec2.validation import check_region, described_freely
from cumulet.api.ec2.volume_rows import owned as owned_volume
from cumulet.api.filters import Path
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image_disk, snapshot, tag
from cumulet.model.database import Row
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
    "transfer-type": "TransferType",
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
    """The snapshots from which the account may make volumes: its own, and those that were shared with it."""
    check_users(owner_ids, OWNERS)
    check_users(restorable_by_user_ids, USERS)
    owners = {ctx.account if id == "self" else id for id in owner_ids or []}
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, ["snapshot"])
        rows = [row for row in snapshot.visible(tx, ctx.account) if row.desired == "present"]
        if restorable_by_user_ids:
            rows = [row for row in rows if _is_restorable(ctx, tx, row, set(restorable_by_user_ids))]
    rows = [row for row in rows if not owners or row.account in owners]
    return [snapshot_item(ctx, row, tags.get(row.id, [])) for row in rows]


def _is_restorable(ctx: Context, tx: Tx, row: Row, users: set[str]) -> bool:
    """AWS's RestorableByUserIds: `all` for the public ones, `self` for the account's own and those shared with it."""
    if row.public and "all" in users:
        return True
    if row.account != ctx.account:
        return bool(row.shared and users & {"self", ctx.account})
    return bool(users & {"self", ctx.account, *snapshot.SHARES.accounts(tx, row.id)})


@action(accepts={"Location": "there is one region, and no local zones"})
def create_snapshot(
    ctx: Context, volume_id: str, description: str = "", tag_specifications: list[TagSpecification] | None = None
) -> Result:
    """Keep what is on the volume now, whether a guest writes to it or not: as after a loss of power."""
    tags = tags_for(tag_specifications, "snapshot")
    described_freely(description, "snapshot")
    with ctx.write() as tx:
        row = owned_volume(tx, ctx.account, volume_id)
        if row.state != "ready":
            raise Refusal("IncorrectState", f"The volume '{row.id}' is not in a state to take a snapshot: {row.state}.")
        values = {"volume": row.id, "host": row.host, "size_gib": row.size_gib, "description": description}
        values["sealed"] = row.sealed
        return snapshot_item(ctx, written(ctx, tx, values, tags), shown(tags))


@action(
    accepts={
        "CompletionDurationMinutes": "a copy is complete within seconds",
        "DestinationRegion": "there is one region; boto3 gives it by itself",
        "PresignedUrl": "there is no other region that would have to be asked; boto3 gives it by itself",
    }
)
def copy_snapshot(
    ctx: Context,
    source_region: str,
    source_snapshot_id: str,
    description: str = "",
    encrypted: bool = False,
    kms_key_id: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """A snapshot of the account's own with the same on it, on the same host; it outlives the other."""
    check_key(ctx, kms_key_id, encrypted=encrypted)
    check_region(ctx, source_region)
    tags = tags_for(tag_specifications, "snapshot")
    described_freely(description, "snapshot")
    with ctx.write() as tx:
        origin = completed(tx, ctx.account, source_snapshot_id)
        row = copied(ctx, tx, origin, description, tags, encrypted=encrypted)
    return {"SnapshotId": row.id, "Tags": shown(tags)}


@action()
def delete_snapshot(ctx: Context, snapshot_id: str) -> Result:
    """Have the snapshot go, when it is complete; volumes that were made from it stay as they are.

    As AWS says of DeleteSnapshot: one that is in progress completes before it goes.
    """
    with ctx.write() as tx:
        row = owned(tx, ctx.account, snapshot_id)
        images = image_disk.using(tx, row.id)
        if images:
            text = f"The snapshot {row.id} is currently in use by {', '.join(images)}"
            raise Refusal("InvalidSnapshot.InUse", text)
        snapshot.let_go(tx, row.id)
    return {}
