"""The status of instances: whether the guest runs, and whether that is as it should be."""

from __future__ import annotations

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import state
from cumulet.model import instance
from cumulet.model.database import Row

_CHECKED_SECONDS = 60.0
"""A guest that has just been started is still being looked at, as in AWS."""


@describes(
    "InstanceStatuses",
    id="InstanceId",
    ids="instance_ids",
    missing="InvalidInstanceID.NotFound",
    malformed="InvalidInstanceID.Malformed",
    prefix="i-",
    filters={
        "availability-zone": "AvailabilityZone",
        "instance-state-code": "InstanceState.Code",
        "instance-state-name": "InstanceState.Name",
        "instance-status.status": "InstanceStatus.Status",
        "instance-status.reachability": "InstanceStatus.Details.Status",
        "system-status.status": "SystemStatus.Status",
        "system-status.reachability": "SystemStatus.Details.Status",
    },
)
def describe_instance_status(
    ctx: Context, instance_ids: list[str] | None = None, include_all_instances: bool = False
) -> list[Item]:
    """The account's running instances, or all of them."""
    with ctx.read() as tx:
        rows = instance.of_ids(tx, ctx.account, instance_ids) if instance_ids else instance.of_account(tx, ctx.account)
        return [_item(row, tx.now) for row in rows if include_all_instances or row.state == "running"]


def _item(row: Row, now: float) -> Item:
    if row.state != "running":
        status, reached = "not-applicable", None
    elif now - (row.launched or row.created) < _CHECKED_SECONDS:
        status, reached = "initializing", "initializing"
    else:
        status, reached = "ok", "passed"
    details = [{"Name": "reachability", "Status": reached}] if reached else []
    summary = {"Status": status, "Details": details}
    return {
        "InstanceId": row.id,
        "AvailabilityZone": row.zone,
        "InstanceState": state(row.state),
        "InstanceStatus": summary,
        "SystemStatus": summary,
    }
