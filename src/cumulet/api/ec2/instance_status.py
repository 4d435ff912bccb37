"""The status of instances: whether the guest runs as it should."""

from __future__ import annotations

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import named, state
from cumulet.api.filters import never
from cumulet.lib.zones import zone_id
from cumulet.model import host_lease, instance, stalled
from cumulet.model.database import Row


@describes(
    "InstanceStatuses",
    id="InstanceId",
    filters={
        "attached-ebs-status.status": "AttachedEbsStatus.Status",
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "event.code": "Events.Code",
        "event.description": "Events.Description",
        "event.instance-event-id": "Events.InstanceEventId",
        "event.not-after": "Events.NotAfter",
        "event.not-before": "Events.NotBefore",
        "event.not-before-deadline": "Events.NotBeforeDeadline",
        **never(
            "application-status.status",
            "operator.principal",
        ),
        "operator.managed": lambda item: False,
        "instance-state-code": "InstanceState.Code",
        "instance-state-name": "InstanceState.Name",
        "instance-status.reachability": "InstanceStatus.Details.Status",
        "instance-status.status": "InstanceStatus.Status",
        "system-status.reachability": "SystemStatus.Details.Status",
        "system-status.status": "SystemStatus.Status",
    },
    accepts={"IncludeManagedResources": "no instance here is managed by a service of AWS"},
)
def describe_instance_status(
    ctx: Context, instance_ids: list[str] | None = None, include_all_instances: bool = False
) -> list[Item]:
    """The account's running instances, or all of them.

    `instance_ids` is not left to the dispatcher: one that does not run is there, and is only not shown.
    """
    with ctx.read() as tx:
        rows = named(tx, ctx.account, instance_ids) if instance_ids else instance.of_account(tx, ctx.account)
        silent = host_lease.silent(tx, instance.instance.c.account == ctx.account)
        waits = {one.instance for one in stalled.of_account(tx, ctx.account).values()}
        impaired = instance.impaired(tx, ctx.account) | silent.keys() | {row.id for row in rows if row.recovering}
    shown = [row for row in rows if include_all_instances or row.state == "running"]
    return [
        _item(row, row.id in impaired, _events(ctx, row, silent.get(row.id)), ctx.config.region)
        | ({"AttachedEbsStatus": _IMPAIRED} if row.id in waits else {})
        for row in shown
    ]


_STATUS = {"running": ("ok", "passed"), "pending": ("initializing", "initializing")}
"""A guest counts as running when its hypervisor has been seen to run it: that is the check."""
_MEANWHILE = {"system-maintenance": "it goes on running", "instance-reboot": "it is stopped, and started there"}
"""What becomes of an instance during an event, by AWS's codes."""
_IMPAIRED = {"Status": "impaired", "Details": [{"Name": "reachability", "Status": "failed"}]}


def _item(row: Row, impaired: bool, events: list[Item], region: str) -> Item:
    status, reached = _STATUS.get(row.state, ("not-applicable", ""))
    summary = {"Status": status, "Details": [{"Name": "reachability", "Status": reached}] if reached else []}
    return {
        "InstanceId": row.id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(region, row.zone),
        "Events": events,
        "InstanceState": state(row.state),
        "InstanceStatus": summary,
        "SystemStatus": _IMPAIRED if impaired else summary,
        "AttachedEbsStatus": summary,
    }


def _events(ctx: Context, row: Row, silent: Row | None) -> list[Item]:
    """What happens to the instance because of its host: that is lost, does not answer, or the operator empties it."""
    id = {"InstanceEventId": row.id.replace("i-", "instance-event-")}
    if row.recovering:
        return [{**id, "Code": "system-reboot", "Description": "Its host was lost: it is started on another one."}]
    if silent is not None:
        waits = bool(host_lease.bars(silent, silent))
        then = "it waits until that is back" if waits else "it is started on another host if that lasts"
        code, said = "system-maintenance", f"The host of the instance does not answer: {then}."
        return [{**id, "Code": code, "Description": said, "NotBefore": silent.heard}]
    if not row.moving_to:
        return []
    code = "system-maintenance" if row.moves_live else "instance-reboot"
    moved = {
        "Code": code,
        "Description": f"The instance is being moved to another host: {_MEANWHILE[code]}.",
        "NotBefore": row.force_after - ctx.config.stop_grace_seconds,
        "NotBeforeDeadline": row.force_after,
    }
    return [{**id, **moved}]
