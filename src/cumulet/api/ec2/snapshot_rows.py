"""Finding the snapshots that a request names, and showing them as AWS does."""

from __future__ import annotations

import re

from cumulet.api.actions import Item
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, snapshot
from cumulet.model.database import Row

_WELL_FORMED = re.compile(r"snap-[0-9a-f]{8}([0-9a-f]{9})?")


def owned(tx: Tx, account: str, id: str) -> Row:
    """The account's snapshot; raises `Refusal` InvalidParameterValue or InvalidSnapshot.NotFound."""
    if not _WELL_FORMED.fullmatch(id):
        raise Refusal(
            "InvalidParameterValue", f"Value ({id}) for parameter snapshotId is invalid. Expecting 'snap-...' in hex."
        )
    row = snapshot.find(tx, id)
    if row is None or row.account != account or row.desired == "absent":
        raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{id}' does not exist.")
    return row


def completed(tx: Tx, account: str, id: str) -> Row:
    """The account's snapshot, from which a volume can be made; raises `Refusal` IncorrectState besides."""
    row = owned(tx, account, id)
    if row.state != "completed":
        raise Refusal("IncorrectState", f"The snapshot '{id}' is not 'completed'; it is {state(row)}.")
    return row


def state(row: Row) -> str:
    """AWS's SnapshotState."""
    return "pending" if row.state in snapshot.UNFINISHED else str(row.state)


def snapshot_item(row: Row, tags: list[dict[str, str]]) -> Item:
    return {
        "SnapshotId": row.id,
        "VolumeId": row.volume,
        "State": state(row),
        "StateMessage": row.reason or None,
        "StartTime": row.created,
        "Progress": "100%" if row.state == "completed" else "0%",
        "OwnerId": row.account,
        "Description": row.description,
        "VolumeSize": row.size_gib,
        "Encrypted": False,
        "StorageTier": "standard",
        "Tags": tags,
    }
