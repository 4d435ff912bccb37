"""Options that are kept and shown again: CPU credits, detailed monitoring and automatic recovery."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import named, one, settable, with_attributes
from cumulet.api.ec2.launch_checks import cpu_credits, recovery
from cumulet.lib.errors import Refusal
from cumulet.lib.instance_types import Kind
from cumulet.model import Tx, instance, instance_type, work
from cumulet.model.database import Row


@describes("InstanceCreditSpecifications", id="InstanceId", filters={"instance-id": "InstanceId"})
def describe_instance_credit_specifications(ctx: Context, instance_ids: list[str] | None = None) -> list[Item]:
    """The CPU credits of the account's burstable instances; guests here are never slowed down."""
    with ctx.read() as tx:
        rows = named(tx, ctx.account, instance_ids) if instance_ids else instance.of_account(tx, ctx.account)
        kinds = instance_type.catalogue(tx, ctx.config)
    found = [{"InstanceId": row.id, "CpuCredits": credits} for row in rows if (credits := _credits(kinds, row))]
    if instance_ids and len(found) < len(rows):
        burstable = {item["InstanceId"] for item in found}
        lacking = next(row.id for row in rows if row.id not in burstable)
        raise Refusal("InstanceCreditSpecification.NotSupported", _not_burstable(lacking))
    return found


class CreditSpecification(TypedDict, total=False):
    InstanceId: str
    CpuCredits: str


@action(accepts={"ClientToken": "to set the same twice changes nothing"})
def modify_instance_credit_specification(
    ctx: Context, instance_credit_specifications: list[CreditSpecification]
) -> Result:
    """Set the CPU credits of each burstable instance; the others are told apart in the answer."""
    for wanted in instance_credit_specifications:
        if "CpuCredits" in wanted:
            cpu_credits(wanted["CpuCredits"])
    done: list[Item] = []
    failed: list[Item] = []
    with ctx.write() as tx:
        for wanted in instance_credit_specifications:
            id = wanted.get("InstanceId", "")
            try:
                _set_credits(ctx, tx, id, wanted.get("CpuCredits", ""))
                done.append({"InstanceId": id})
            except Refusal as e:
                failed.append({"InstanceId": id, "Error": {"Code": e.code, "Message": e.message}})
    return {
        "SuccessfulInstanceCreditSpecifications": done,
        "UnsuccessfulInstanceCreditSpecifications": failed,
    }


@action()
def monitor_instances(ctx: Context, instance_ids: list[str]) -> Result:
    """Mark the instances as monitored in detail, as clients then expect to see; there are no such figures yet."""
    return _monitored(ctx, instance_ids, True)


@action()
def unmonitor_instances(ctx: Context, instance_ids: list[str]) -> Result:
    """Take that mark away."""
    return _monitored(ctx, instance_ids, None)


@action(accepts={"RebootMigration": "a reboot never moves a guest"})
def modify_instance_maintenance_options(ctx: Context, instance_id: str, auto_recovery: str = "") -> Result:
    """Say whether the instance is started on another host when its own is lost, or waits for that."""
    with ctx.write() as tx:
        row = settable(one(tx, ctx.account, instance_id))
        if auto_recovery:
            with_attributes(tx, row, AutoRecovery=recovery(auto_recovery))
            work.wake(tx, "instance", row.id)
    kept = auto_recovery or row.attributes.get("AutoRecovery", "default")
    return {"InstanceId": row.id, "AutoRecovery": kept, "RebootMigration": "default"}


def _credits(kinds: dict[str, Kind], row: Row) -> str:
    """standard or unlimited; empty where the type has no credits."""
    kind = kinds.get(row.type)
    return str(row.attributes.get("CpuCredits") or kind.credits) if kind is not None and kind.burstable else ""


def _set_credits(ctx: Context, tx: Tx, id: str, credits: str) -> None:
    row = settable(one(tx, ctx.account, id))
    if not _credits(instance_type.catalogue(tx, ctx.config), row):
        raise Refusal("InstanceCreditSpecification.NotSupported", _not_burstable(id))
    with_attributes(tx, row, CpuCredits=cpu_credits(credits))


def _not_burstable(id: str) -> str:
    return f"The specified instance '{id}' does not use CPU credits: it is not of a burstable type."


def _monitored(ctx: Context, instance_ids: list[str], mark: bool | None) -> Result:
    with ctx.write() as tx:
        rows = named(tx, ctx.account, instance_ids)
        for row in rows:
            with_attributes(tx, settable(row), Monitoring=mark)
    state = {"State": "enabled" if mark else "disabled"}
    return {"InstanceMonitorings": [{"InstanceId": row.id, "Monitoring": state} for row in rows]}
