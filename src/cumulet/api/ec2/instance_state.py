"""Stopping, starting, rebooting and terminating: what should be, written down; the engine makes it so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import named, state, user_initiated
from cumulet.lib import devices
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, attachment, instance, work
from cumulet.model.database import Row

_BY_USER = "Client.UserInitiatedShutdown"


@action(
    accepts={
        "Force": "a guest that is terminated is switched off at once in any case",
        "SkipOsShutdown": "a guest that is terminated is switched off at once in any case",
    }
)
def terminate_instances(ctx: Context, instance_ids: list[str]) -> Result:
    """Write down that these instances should be gone; all of them, or none if one is protected."""
    with ctx.write() as tx:
        rows = named(tx, ctx.account, instance_ids)
        for row in rows:
            if row.disable_api_termination and row.desired != "terminated":
                raise Refusal(
                    "OperationNotPermitted",
                    f"The instance '{row.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                    "attribute and try again.",
                )
        changes = [_change(tx, row, _terminated) for row in rows]
    return {"TerminatingInstances": changes}


@action()
def stop_instances(
    ctx: Context,
    instance_ids: list[str],
    force: bool = False,
    skip_os_shutdown: bool = False,
    hibernate: bool = False,
) -> Result:
    """Have these guests shut down; switched off at once with `force`, else after the time of grace."""
    if hibernate:
        raise Refusal("UnsupportedHibernationConfiguration", "Guests of this cloud cannot be hibernated.")
    force = force or skip_os_shutdown
    grace = 0.0 if force else ctx.config.stop_grace_seconds

    def stopped(tx: Tx, row: Row) -> dict[str, Any] | None:
        if row.state in ("stopped", "stopping") and not force:
            return None
        _expect(row, ["pending", "running", "stopping", "stopped"], "stopped")
        if row.disable_api_stop:
            raise Refusal(
                "OperationNotPermitted",
                f"The instance '{row.id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try "
                "again.",
            )
        if row.state == "stopped":
            return None
        return {"desired": "stopped", "state": "stopping", "force_after": tx.now + grace, **_asked_for(tx)}

    with ctx.write() as tx:
        changes = [_change(tx, row, stopped) for row in named(tx, ctx.account, instance_ids)]
    return {"StoppingInstances": changes}


@action(accepts={"AdditionalInfo": "AWS reserves it"})
def start_instances(ctx: Context, instance_ids: list[str]) -> Result:
    """Have these stopped guests boot again."""
    with ctx.write() as tx:
        changes = [_change(tx, row, _started) for row in named(tx, ctx.account, instance_ids)]
    return {"StartingInstances": changes}


@action()
def reboot_instances(ctx: Context, instance_ids: list[str]) -> Result:
    """Have these guests shut down and boot again; their state goes on being running."""
    with ctx.write() as tx:
        for row in named(tx, ctx.account, instance_ids):
            if row.state == "terminated":
                continue  # AWS: "Requests to reboot terminated instances are ignored"
            _expect(row, ["running"], "rebooted")
            values = {"generation": row.generation + 1, "force_after": tx.now + ctx.config.stop_grace_seconds}
            _move(tx, row, values)
    return {}


def _terminated(tx: Tx, row: Row) -> dict[str, Any] | None:
    if row.desired == "terminated":
        return None
    return {"desired": "terminated", "state": "shutting-down", "force_after": 0.0, **_asked_for(tx)}


def _started(tx: Tx, row: Row) -> dict[str, Any] | None:
    if row.state in ("running", "pending"):
        return None
    _expect(row, ["stopped"], "started")
    if not any(disk.slot == devices.ROOT for disk in attachment.disks(tx, row.id)):
        raise Refusal(
            "IncorrectInstanceState",
            f"Invalid value '{row.id}' for instanceId. Instance does not have a volume attached at root "
            f"({row.root_device})",
        )
    values = {"desired": "running", "state": "pending", "generation": row.generation + 1, "launched": tx.now}
    return {**values, "reason_code": "", "reason": "", "transition_reason": ""}


def _asked_for(tx: Tx) -> dict[str, str]:
    return {
        "reason_code": _BY_USER,
        "reason": f"{_BY_USER}: User initiated shutdown",
        "transition_reason": user_initiated(tx.now),
    }


def _change(tx: Tx, row: Row, wanted: Callable[[Tx, Row], dict[str, Any] | None]) -> Item:
    """AWS's InstanceStateChange; `wanted` gives what to change, or None where it is so already."""
    values = wanted(tx, row)
    if values is not None:
        _move(tx, row, values)
    current = values["state"] if values else row.state
    return {"InstanceId": row.id, "CurrentState": state(current), "PreviousState": state(row.state)}


def _move(tx: Tx, row: Row, values: dict[str, Any]) -> None:
    expected: dict[str, Any] = {"desired": row.desired, "state": row.state, "generation": row.generation}
    if values.get("desired") == "terminated":
        expected = {"desired": ["running", "stopped"]}  # whatever it has become meanwhile, it should go
    if not instance.move(tx, row.id, expected, **values):
        raise Refusal("IncorrectInstanceState", f"The instance '{row.id}' has changed meanwhile; try again.")
    work.wake(tx, "instance", row.id)


def _expect(row: Row, states: list[str], verb: str) -> None:
    if row.state not in states:
        raise Refusal(
            "IncorrectInstanceState",
            f"The instance '{row.id}' is not in a state from which it can be {verb}. It is {row.state}.",
        )
