"""Finding the snapshots that a request names, and showing them as AWS does."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Item
from cumulet.api.context import Context
from cumulet.api.ec2.encryption import sealed, shown
from cumulet.api.ec2.volume_rows import placed
from cumulet.api.id_forms import check_id
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, host, image_disk, image_use, snapshot, tag, volume, work
from cumulet.model.database import Row


def usable(tx: Tx, account: str, id: str) -> Row:
    """A snapshot from which the account may make volumes.

    Raises `Refusal` InvalidParameterValue or InvalidSnapshot.NotFound.
    """
    check_id(id, "InvalidParameterValue", "snap-")
    row = snapshot.find(tx, id)
    if row is None or row.desired == "absent" or not snapshot.is_open_to(tx, row, account):
        raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{id}' does not exist.")
    return row


def owned(tx: Tx, account: str, id: str) -> Row:
    """The account's own snapshot; raises `Refusal` AuthFailure besides, for another's that was shared."""
    row = usable(tx, account, id)
    if row.account != account:
        raise Refusal("AuthFailure", f"Not authorized for snapshot:{id}: it is another account's.", 403)
    return row


def completed(tx: Tx, account: str, id: str) -> Row:
    """A snapshot from which a volume can be made now; raises `Refusal` IncorrectState besides."""
    row = usable(tx, account, id)
    if row.state != "completed":
        raise Refusal("IncorrectState", f"The snapshot '{id}' is not 'completed'; it is {state(row)}.")
    return row


def check_quota(ctx: Context, tx: Tx) -> None:
    """Raises `Refusal` where the account has as many snapshots as it may have."""
    most, have = ctx.quota(tx, "snapshots"), snapshot.count(tx, ctx.account)
    if have >= most:
        raise Refusal(
            "SnapshotLimitExceeded", f"You have exceeded your maximum snapshot limit of {most}: {have} are there."
        )


def written(ctx: Context, tx: Tx, values: dict[str, Any], tags: dict[str, str]) -> Row:
    """A new snapshot of the account's; `values` are columns of it. Its host is to make it, unless it has to wait.

    Raises `Refusal` where the account has as many as it may have.
    """
    check_quota(ctx, tx)
    id = ids.new("snapshot")
    base = {"base": image_use.base_of(tx, disk=values["volume"], source=values.get("source"))}
    tx.insert(snapshot.snapshot, {**base, **values, "id": id, "account": ctx.account, "created": tx.now})
    tag.put(tx, ctx.account, id, "snapshot", tags)
    if values.get("state") != "waiting":
        work.wake(tx, "snapshot", id)
    row = snapshot.find(tx, id)
    assert row is not None
    return row


def copied(
    ctx: Context, tx: Tx, origin: Row, description: str, tags: dict[str, str], *, encrypted: bool = False
) -> Row:
    """A new snapshot of the account's with the same on it as `origin`, encrypted if that is, or all of the account's.

    Raises `Refusal` where it is to be encrypted, and its host cannot.
    """
    values = {"volume": snapshot.NO_VOLUME, "source": origin.id, "host": origin.host, "size_gib": origin.size_gib}
    values["sealed"] = sealed(tx, encrypted or account.encrypts_volumes(tx, ctx.account), origin)
    if values["sealed"] and not host.says(tx, origin.host, "encrypts"):
        text = f"The host of '{origin.id}' cannot keep encrypted snapshots: its program is of an earlier version."
        raise Refusal("UnsupportedOperation", text)
    return written(ctx, tx, {**values, "description": description}, tags)


def of_file(ctx: Context, tx: Tx, file: str, gib: int, description: str, tags: dict[str, str]) -> Row:
    """A new snapshot, encrypted, of a volume of so many GiB that is nobody's, with what is in an image file on it.

    Raises `Refusal` where no host can, or has room.
    """
    keeper = placed(ctx, tx, gib)
    id, both = ids.new("volume"), {"size_gib": gib, "sealed": volume.new_key(tx), "host": keeper["host"]}
    disk = {"id": id, "account": volume.HIDDEN, "zone": keeper["zone"], "image_file": file, "created": tx.now}
    tx.insert(volume.volume, {**disk, **both})
    work.wake(tx, "volume", id)
    # it is a copy of all that is in the file, and stands on nothing
    return written(ctx, tx, {"volume": id, "description": description, "base": None, **both}, tags)


def deletable(tx: Tx, account: str, id: str) -> bool:
    """Whether the account could delete the snapshot: it is its own, and no image has it."""
    row = snapshot.find(tx, id)
    return row is not None and row.account == account and not image_disk.using(tx, id)


def state(row: Row) -> str:
    """AWS's SnapshotState."""
    return "pending" if row.state in snapshot.UNFINISHED else str(row.state)


def snapshot_item(ctx: Context, row: Row, tags: list[dict[str, str]]) -> Item:
    return {
        "SnapshotId": row.id,
        "VolumeId": row.volume,
        "State": state(row),
        "StateMessage": row.reason or None,
        "StartTime": row.created,
        "CompletionTime": row.completed,
        "TransferType": "standard" if row.source is not None else None,
        "Progress": "100%" if row.state == "completed" else "0%",
        "OwnerId": row.account,
        "Description": row.description,
        "VolumeSize": row.size_gib,
        **shown(ctx, row),
        "StorageTier": "standard",
        "Tags": tags,
    }
