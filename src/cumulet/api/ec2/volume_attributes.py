"""What clients ask of volumes besides: their health, single attributes, and whether new ones are encrypted."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.validation import invalid, missing
from cumulet.api.ec2.volume_rows import owned, state
from cumulet.api.filters import never
from cumulet.lib.errors import Refusal
from cumulet.lib.zones import zone_id
from cumulet.model import account, attachment, stalled, volume
from cumulet.model.database import Row


@describes(
    "VolumeStatuses",
    id="VolumeId",
    ids="volume_ids",
    missing="InvalidVolume.NotFound",
    malformed="InvalidParameterValue",
    prefix="vol-",
    filters={
        **never(
            "action.code",
            "action.description",
            "action.event-id",
            "attachment-status.instance-id",
            "attachment-status.io-performance",
        ),
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "event.description": "Events.Description",
        "event.event-id": "Events.EventId",
        "event.event-type": "Events.EventType",
        "event.not-after": "Events.NotAfter",
        "event.not-before": "Events.NotBefore",
        "volume-status.details-name": "VolumeStatus.Details.Name",
        "volume-status.details-status": "VolumeStatus.Details.Status",
        "volume-status.status": "VolumeStatus.Status",
    },
    accepts={"IncludeManagedResources": "no volume here is managed by a service of AWS"},
)
def describe_volume_status(ctx: Context) -> list[Item]:
    """Each volume's health: ok once it is made, impaired where it could not be or its guest waits for its host."""
    with ctx.read() as tx:
        waits = stalled.of_account(tx, ctx.account)
        return [_status(ctx, row, waits.get(row.id)) for row in attachment.volumes(tx, ctx.account)]


def _status(ctx: Context, row: Row, waits: Row | None) -> Item:
    status = {"creating": "insufficient-data", "error": "impaired"}.get(state(row), "ok")
    enabled = {"ok": "passed", "impaired": "failed"}.get(status, "insufficient-data")
    details = [{"Name": "io-enabled", "Status": enabled}]
    events: list[Item] = [{"EventType": "cannot-be-made", "Description": row.reason}] if row.reason else []
    if waits is not None:
        status = "impaired"
        details.append({"Name": "io-performance", "Status": "stalled"})
        events.append(
            {
                "EventType": "io-performance:stalled",
                "Description": f"The host of the volume does not answer: {waits.instance} waits until that is back.",
                "InstanceId": waits.instance,
                "NotBefore": waits.heard,
            }
        )
    return {
        "VolumeId": row.id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(ctx.config.region, row.zone),
        "VolumeStatus": {"Status": status, "Details": details},
        "Actions": [],
        "Events": events,
    }


class Flag(TypedDict, total=False):
    Value: bool


@action()
def describe_volume_attribute(ctx: Context, volume_id: str, attribute: str) -> Result:
    """Whether I/O is to be switched on by itself after trouble; and no product codes, which nothing has here."""
    with ctx.read() as tx:
        row = owned(tx, ctx.account, volume_id)
    shown: dict[str, Result] = {
        "autoEnableIO": {"AutoEnableIO": {"Value": row.auto_enable_io}},
        "productCodes": {"ProductCodes": []},
    }
    if attribute not in shown:
        raise invalid(attribute, "attribute", f"Known are {', '.join(shown)}.")
    return {"VolumeId": row.id, **shown[attribute]}


@action()
def modify_volume_attribute(ctx: Context, volume_id: str, auto_enable_io: Flag | None = None) -> Result:
    """Write down whether I/O is to be switched on by itself; here it is never switched off."""
    if auto_enable_io is None or "Value" not in auto_enable_io:
        raise missing("AutoEnableIO.Value")
    with ctx.write() as tx:
        volume.change(tx, owned(tx, ctx.account, volume_id).id, auto_enable_io=auto_enable_io["Value"])
    return {}


@action()
def get_ebs_encryption_by_default(ctx: Context) -> Result:
    """Whether all the account's new volumes are encrypted."""
    with ctx.read() as tx:
        return {"EbsEncryptionByDefault": account.encrypts_volumes(tx, ctx.account)}


@action()
def disable_ebs_encryption_by_default(ctx: Context) -> Result:
    """New volumes are encrypted where that is asked for, from now on; those that there are stay as they are."""
    return _set_default(ctx, False)


@action()
def enable_ebs_encryption_by_default(ctx: Context) -> Result:
    """All the account's new volumes are encrypted from now on, root disks too."""
    return _set_default(ctx, True)


def _set_default(ctx: Context, encrypts: bool) -> Result:
    with ctx.write() as tx:
        account.revise(tx, ctx.account, encrypts_volumes=encrypts)
    return {"EbsEncryptionByDefault": encrypts}


@action()
def get_ebs_default_kms_key_id(ctx: Context) -> Result:
    """Refused: there is no key management service, and so no key."""
    raise Refusal("UnsupportedOperation", "This cloud has no KMS: there is no key for volumes by default.")
