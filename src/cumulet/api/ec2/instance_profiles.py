"""Instance profiles: no instance has one yet, and clients that look for them find none."""

from __future__ import annotations

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context


@describes(
    "IamInstanceProfileAssociations",
    id="AssociationId",
    ids="association_ids",
    missing="InvalidAssociationID.NotFound",
    filters={"instance-id": "InstanceId", "state": "State"},
)
def describe_iam_instance_profile_associations(ctx: Context) -> list[Item]:
    """None."""
    return []
