"""Attaching volumes to instances and detaching them: what should be, written down; the engine makes it so."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import instance_rows
from cumulet.api.ec2.validation import invalid, missing
from cumulet.api.ec2.volume_rows import owned, state
from cumulet.api.ec2.volume_view import attachment_item
from cumulet.lib import devices
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, attachment, capacity, host, work
from cumulet.model.database import Row


@action()
def attach_volume(ctx: Context, volume_id: str, instance_id: str, device: str) -> Result:
    """Have the volume in the instance as this device: at once if it runs, else when it starts."""
    if not device:
        raise missing("device")
    with ctx.write() as tx:
        guest = instance_rows.one(tx, ctx.account, instance_id)
        row = owned(tx, ctx.account, volume_id)
        _check_volume(row)
        _check_guest(tx, guest, row)
        if guest.host not in (None, row.host) and host.open_the_same(tx, guest.host, row.host):
            capacity.bring(tx, row, guest.host, ctx.config)
        _attach(tx, guest, row, device)
        work.wake(tx, "instance", guest.id)
        made = attachment.find_volume(tx, row.id)
        assert made is not None
        return attachment_item(made)


def _check_volume(row: Row) -> None:
    if row.attachment is not None:
        raise Refusal("VolumeInUse", f"{row.id} is already attached to an instance")
    if row.moving_to:
        raise Refusal("IncorrectState", f"{row.id} is being moved to another host; it can be attached afterwards.")
    if state(row) != "available":
        raise Refusal("IncorrectState", f"{row.id} is not 'available'; it is {state(row)}.")


def _check_guest(tx: Tx, guest: Row, row: Row) -> None:
    if guest.state not in ("running", "stopped"):
        raise Refusal("IncorrectState", f"Instance '{guest.id}' is not 'running'; it is {guest.state}.")
    if guest.zone != row.zone:
        raise Refusal(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{row.id}' is not in the same availability zone as instance '{guest.id}': they are in "
            f"{row.zone} and {guest.zone}.",
        )
    if guest.host not in (None, row.host) and not host.open_the_same(tx, guest.host, row.host):
        alone = [name for name in (guest.host, row.host) if not host.address(tx, name)]
        if alone:
            raise Refusal(
                "UnsupportedOperation",
                f"The volume '{row.id}' is kept on the host {row.host} and the instance '{guest.id}' is on "
                f"{guest.host}; they do not reach each other: {' and '.join(alone)} needs the setting tunnel_address.",
            )


def _attach(tx: Tx, guest: Row, row: Row, device: str) -> None:
    slot = devices.ROOT if device == guest.root_device else devices.slot(device)
    if slot is None:
        raise invalid(
            device, "device", f"It is /dev/sd, /dev/xvd, xvd or /dev/vd and b to z or ba to cz, or {guest.root_device}."
        )
    if slot == devices.ROOT and guest.state != "stopped":
        raise Refusal("IncorrectState", f"A root volume is attached to a stopped instance; '{guest.id}' runs.")
    values = {"account": row.account, "volume": row.id, "instance": guest.id, "device": device, "slot": slot}
    try:
        with tx.attempt():
            attachment.add(tx, values)
    except IntegrityError:
        raise invalid(
            device, "unixDevice", f"Attachment point {device} is already in use: sdX, xvdX and vdX are the same."
        ) from None


@action()
def detach_volume(ctx: Context, volume_id: str, instance_id: str = "", device: str = "", force: bool = False) -> Result:
    """Have the guest let go of the volume; with `force`, whether it likes it or not."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, volume_id)
        if row.attachment is None:
            raise Refusal("IncorrectState", f"Volume '{row.id}' is in the 'available' state.")
        if (instance_id and row.instance != instance_id) or (device and row.device != device):
            raise Refusal(
                "InvalidAttachment.NotFound",
                f"The volume '{row.id}' is attached to {row.instance} as {row.device}, not to "
                f"{instance_id or row.instance} as {device or row.device}.",
            )
        guest = instance_rows.one(tx, ctx.account, row.instance)
        if row.slot == devices.ROOT and guest.state != "stopped":
            raise Refusal(
                "OperationNotPermitted", f"Unable to detach root volume '{row.id}' from instance '{guest.id}'"
            )
        _detach(tx, row, force)
        return attachment_item(row, "detaching")


def _detach(tx: Tx, row: Row, force: bool) -> None:
    first = row.attach_desired == "attached"
    values = {"desired": "detached", "forced": force or row.forced}
    if first:
        values |= {"state": "detaching", "asked": tx.now}
    attachment.move(tx, row.attachment, row.attach_desired, **values)
    work.wake(tx, "instance", row.instance)
