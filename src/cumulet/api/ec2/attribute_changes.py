"""How each attribute of an instance is changed: what is written, and who is woken to make it true."""

from __future__ import annotations

from typing import Any

from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import with_attributes
from cumulet.api.ec2.launch_checks import kind_named, shutdown_behavior
from cumulet.api.ec2.launch_checks import user_data as checked_user_data
from cumulet.api.ec2.metadata_options import wake_interfaces
from cumulet.api.ec2.validation import groups_of_interface
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, attachment, group, instance, interface
from cumulet.model.database import Row


def disable_api_termination(ctx: Context, tx: Tx, row: Row, value: bool) -> None:
    _set(tx, row, disable_api_termination=value)


def disable_api_stop(ctx: Context, tx: Tx, row: Row, value: bool) -> None:
    _set(tx, row, disable_api_stop=value)


def shutdown(ctx: Context, tx: Tx, row: Row, value: str) -> None:
    _set(tx, row, shutdown_behavior=shutdown_behavior(value))


def ebs_optimized(ctx: Context, tx: Tx, row: Row, value: bool) -> None:
    _expect_stopped(row)
    with_attributes(tx, row, EbsOptimized=value)


def instance_type(ctx: Context, tx: Tx, row: Row, value: str) -> None:
    """Another size: it holds from the next start."""
    _expect_stopped(row)
    kind = kind_named(ctx, tx, value)
    with_attributes(tx, row, CpuOptions=None, CpuCredits=None)
    _set(tx, row, type=kind.name, vcpus=kind.vcpus, memory_mib=kind.memory_mib)


def user_data(ctx: Context, tx: Tx, row: Row, value: str) -> None:
    _expect_stopped(row)
    _set(tx, row, user_data=checked_user_data(value))


def source_dest_check(ctx: Context, tx: Tx, row: Row, value: bool) -> None:
    """Whether the guest may send and be sent what is not from or to its own address."""
    table = interface.interface
    tx.change(table.update().where(table.c.instance == row.id).values(source_dest_check=value))
    wake_interfaces(tx, row.id)


def groups(ctx: Context, tx: Tx, row: Row, value: list[str]) -> None:
    """The security groups of its network interface are these and no others."""
    if not value:
        raise Refusal("InvalidParameterValue", "An instance has at least one security group.")
    wanted = groups_of_interface(tx, ctx.account, row.vpc, value)
    for nic in interface.of_instance(tx, row.id):
        group.wake_of_interface(tx, nic.id)
        interface.set_groups(tx, nic.id, wanted)
        group.wake_of_interface(tx, nic.id)
    wake_interfaces(tx, row.id)


def block_devices(ctx: Context, tx: Tx, row: Row, value: list[Any]) -> None:
    """Whether its disks go with it."""
    disks = {disk.device: disk for disk in attachment.disks(tx, row.id)}
    for mapping in value:
        device, ebs = mapping.get("DeviceName", ""), mapping.get("Ebs") or {}
        disk = disks.get(device)
        if disk is None or ebs.get("VolumeId", disk.id) != disk.id:
            raise Refusal("InvalidInstanceAttributeValue", f"No device is currently mapped at {device}")
        if "DeleteOnTermination" in ebs:
            attachment.keep(tx, disk.attachment, ebs["DeleteOnTermination"])


def _expect_stopped(row: Row) -> None:
    if row.state != "stopped":
        raise Refusal("IncorrectInstanceState", f"The instance '{row.id}' is not in the 'stopped' state.")


def _set(tx: Tx, row: Row, **values: Any) -> None:
    expected = {"desired": row.desired, "state": row.state}
    if not instance.move(tx, row.id, expected, **values):
        raise Refusal("IncorrectInstanceState", f"The instance '{row.id}' has changed meanwhile; try again.")
