"""Finding the volumes that a request names, and making new ones, with AWS's refusals."""

from __future__ import annotations

from cumulet.api.context import Context
from cumulet.api.ec2.volume_types import Shape
from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.lib.zones import zone_id
from cumulet.model import Tx, attachment, capacity, host, volume, work
from cumulet.model.database import Row


def owned(tx: Tx, account: str, id: str) -> Row:
    """The account's volume as a disk, which nobody else changes until the end of the transaction.

    Raises `Refusal` InvalidParameterValue or InvalidVolume.NotFound.
    """
    check_id(id, "InvalidParameterValue", "vol-")
    row = attachment.find_volume(tx, id)
    if row is None or row.account != account or row.desired == "absent":
        raise Refusal("InvalidVolume.NotFound", f"The volume '{id}' does not exist.")
    return row


def state(row: Row) -> str:
    """AWS's VolumeState."""
    if row.desired == "absent":
        return "deleting"
    if row.state != "ready":
        return str(row.state)
    return "in-use" if row.attachment is not None else "available"


def zone_named(ctx: Context, name: str | None, id: str | None) -> str:
    """The zone of this name or id; raises `Refusal` InvalidZone.NotFound or MissingParameter."""
    zones = ctx.config.zone_names()
    if name and id:
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter availabilityZone cannot be used with the parameter availabilityZoneId",
        )
    if name or id:
        found = [zone for zone in zones if zone == name or zone_id(ctx.config.region, zone) == id]
        if found:
            return found[0]
        raise Refusal("InvalidZone.NotFound", f"The zone '{name or id}' does not exist; there are: {', '.join(zones)}.")
    raise Refusal("MissingParameter", "The request must contain the parameter availabilityZone")


def check_quota(ctx: Context, tx: Tx, count: int, gib: int) -> None:
    """Raises `Refusal` where the account would have more volumes, or more on them, than it may."""
    most, most_gib = ctx.quotas(tx, "volumes", "volume_gib").values()
    volumes, used = volume.totals(tx, ctx.account)
    if volumes + count > most:
        raise Refusal(
            "VolumeLimitExceeded",
            f"You have exceeded your maximum volume limit of {most}: {volumes} are there.",
        )
    if used + gib > most_gib:
        raise Refusal(
            "VolumeLimitExceeded",
            f"You have exceeded your maximum gigabyte limit of {most_gib} GiB: the account's "
            f"volumes have {used}, {gib} more were asked for.",
        )


def create(ctx: Context, tx: Tx, id: str, zone: str, shape: Shape, origin: Row | None, sealed: str) -> None:
    """Write down a new volume and where it is kept: beside the snapshot `origin` it is made from, if it can be.

    `sealed` is its key, if it is to be encrypted.

    Raises `Refusal` InsufficientVolumeCapacity.
    """
    check_quota(ctx, tx, 1, shape.size_gib)
    check_able(tx, zone, sealed=bool(sealed))
    keeper = _beside(ctx, tx, zone, shape, origin, sealed=bool(sealed)) if origin is not None else None
    if keeper is None and (origin is None or host.address(tx, origin.host)):
        needs = "encrypts" if sealed else ""
        keeper = capacity.place_disk(tx, zone, shape.size_gib, ctx.config, needs=needs)
    if keeper is None:
        raise Refusal(
            "InsufficientVolumeCapacity",
            f"There is not enough capacity to fulfill your volume request: no host of the zone {zone} has "
            f"{shape.size_gib} GiB left.",
        )
    row = {"id": id, "account": ctx.account, "zone": zone, "host": keeper, "created": tx.now, **shape._asdict()}
    row["sealed"] = sealed
    tx.insert(volume.volume, {**row, **({"snapshot": origin.id, "base": origin.base} if origin is not None else {})})
    work.wake(tx, "volume", id)


def placed(ctx: Context, tx: Tx, gib: int) -> dict[str, str]:
    """The `zone` and the `host` of an encrypted volume of so many GiB that may be anywhere; raises `Refusal`."""
    able = [zone for zone in ctx.config.zone_names() if any(zone in row.zones for row in _encrypting(tx))]
    if not able:
        check_able(tx, ctx.config.zone_names()[0], sealed=True)
    for zone in able:
        keeper = capacity.place_disk(tx, zone, gib, ctx.config, needs="encrypts")
        if keeper is not None:
            return {"zone": zone, "host": keeper}
    raise Refusal(
        "InsufficientVolumeCapacity",
        f"There is not enough capacity to fulfill your volume request: no host that encrypts has {gib} GiB left.",
    )


def _encrypting(tx: Tx) -> list[Row]:
    return [row for row in host.all(tx) if "encrypts" in row.facts]


def check_able(tx: Tx, zone: str, *, sealed: bool) -> None:
    """Raises `Refusal` where no host of the zone can keep an encrypted volume."""
    if sealed and not any(zone in row.zones for row in _encrypting(tx)):
        text = "has no host that can keep encrypted volumes: its program is of an earlier version."
        raise Refusal("UnsupportedOperation", f"The zone {zone} {text}")


def _beside(ctx: Context, tx: Tx, zone: str, shape: Shape, origin: Row, *, sealed: bool) -> str | None:
    """The host of the snapshot, if the volume can be there: nothing has to be copied then."""
    keeper = host.find(tx, origin.host)
    able = keeper is not None and zone in keeper.zones and ("encrypts" in keeper.facts or not sealed)
    return str(origin.host) if able and capacity.claim_disk(tx, origin.host, shape.size_gib, ctx.config) else None
