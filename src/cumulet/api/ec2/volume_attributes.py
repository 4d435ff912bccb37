"""What clients ask of volumes besides: their health, single attributes, and whether new ones are encrypted."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.snapshot_rows import owned as owned_snapshot
from cumulet.api.ec2.validation import invalid
from cumulet.api.ec2.volume_rows import owned, state
from cumulet.lib.zones import zone_id
from cumulet.model import attachment
from cumulet.model.database import Row


@describes(
    "VolumeStatuses",
    id="VolumeId",
    ids="volume_ids",
    missing="InvalidVolume.NotFound",
    malformed="InvalidParameterValue",
    prefix="vol-",
    filters={
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "volume-status.details-name": "VolumeStatus.Details.Name",
        "volume-status.details-status": "VolumeStatus.Details.Status",
        "volume-status.status": "VolumeStatus.Status",
    },
    accepts={"IncludeManagedResources": "no volume here is managed by a service of AWS"},
)
def describe_volume_status(ctx: Context) -> list[Item]:
    """Each volume's health: ok once it has been made, impaired where it could not be."""
    with ctx.read() as tx:
        return [_status(ctx, row) for row in attachment.volumes(tx, ctx.account)]


def _status(ctx: Context, row: Row) -> Item:
    status = {"creating": "insufficient-data", "error": "impaired"}.get(state(row), "ok")
    enabled = {"ok": "passed", "impaired": "failed"}.get(status, "insufficient-data")
    return {
        "VolumeId": row.id,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(ctx.config.region, row.zone),
        "VolumeStatus": {"Status": status, "Details": [{"Name": "io-enabled", "Status": enabled}]},
        "Actions": [],
        "Events": [],
    }


@action()
def describe_volume_attribute(ctx: Context, volume_id: str, attribute: str) -> Result:
    """I/O is never switched off here, so that it need not be switched on by itself; and there are no product codes."""
    shown: dict[str, Result] = {
        "autoEnableIO": {"AutoEnableIO": {"Value": False}},
        "productCodes": {"ProductCodes": []},
    }
    if attribute not in shown:
        raise invalid(attribute, "attribute", f"Known are {', '.join(shown)}.")
    with ctx.read() as tx:
        return {"VolumeId": owned(tx, ctx.account, volume_id).id, **shown[attribute]}


@action()
def describe_snapshot_attribute(ctx: Context, snapshot_id: str, attribute: str) -> Result:
    """A snapshot is its account's alone, and has no product codes."""
    shown: dict[str, Result] = {
        "createVolumePermission": {"CreateVolumePermissions": []},
        "productCodes": {"ProductCodes": []},
    }
    if attribute not in shown:
        raise invalid(attribute, "attribute", f"Known are {', '.join(shown)}.")
    with ctx.read() as tx:
        return {"SnapshotId": owned_snapshot(tx, ctx.account, snapshot_id).id, **shown[attribute]}


@action()
def get_ebs_encryption_by_default(ctx: Context) -> Result:
    """New volumes are not encrypted: that cannot be switched on."""
    return {"EbsEncryptionByDefault": False}


@action()
def disable_ebs_encryption_by_default(ctx: Context) -> Result:
    """It is so already."""
    return {"EbsEncryptionByDefault": False}
