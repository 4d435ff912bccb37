"""Where the instances of a launch are to be placed: tenancy, placement group and partition, and the host by name."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from cumulet.api.context import Context
from cumulet.api.ec2.launch_request import Placement
from cumulet.api.ec2.placement_groups import held
from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, host, placement_group
from cumulet.model.database import Row

TENANCIES = ("default", "dedicated", "host")


class Places(NamedTuple):
    """The columns that all the instances share, and each one's partition of the placement group."""

    columns: dict[str, Any]
    partitions: list[int | None]


def affinity(placement: Placement) -> dict[str, str]:
    """What is only shown again: an instance comes back to the host of its disks in any case."""
    wanted = placement.get("Affinity")
    if not wanted:
        return {}
    if wanted not in ("default", "host"):
        raise invalid(wanted, "affinity", "Expecting default or host.")
    if _tenancy(placement) != "host":
        raise _combination("The parameter affinity can be used with the tenancy host only.")
    return {"Affinity": wanted}


def find_places(ctx: Context, tx: Tx, placement: Placement, zone: str, count: int) -> Places:
    """The places that are meant; a placement group stays until the end of the transaction. Raises `Refusal`."""
    columns = {"tenancy": _tenancy(placement), "wanted_host": _host(ctx, tx, placement)}
    row = _group(ctx, tx, placement)
    if row is None:
        if placement.get("PartitionNumber") is not None:
            raise _combination("The parameter partitionNumber can be used with a placement group only.")
        return Places({**columns, "placement_group": None}, [None] * count)
    _check_tenancy(row, columns["tenancy"])
    members = placement_group.members(tx, row.id)
    _check_zone(row, members, zone)
    return Places({**columns, "placement_group": row.id}, _partitions(row, members, placement, count))


def _tenancy(placement: Placement) -> str:
    """A host that is named is the tenant's for this instance, whether the request says so or not."""
    tenancy = placement.get("Tenancy") or ""
    if tenancy not in ("", *TENANCIES):
        raise invalid(tenancy, "tenancy", f"Expecting one of {', '.join(TENANCIES)}.")
    if placement.get("HostId"):
        if tenancy not in ("", "host"):
            raise _combination(f"The parameter hostId cannot be used with the tenancy {tenancy}, only with host.")
        return "host"
    return tenancy or "default"


def _host(ctx: Context, tx: Tx, placement: Placement) -> str:
    name = placement.get("HostId") or ""
    if not name:
        return ""
    if not ctx.principal.administrator:
        text = "You are not authorized to perform this operation: only an administrator may name a host (HostId)."
        raise Refusal("UnauthorizedOperation", text, 403)
    if host.find(tx, name) is None:
        raise Refusal("InvalidHostID.NotFound", f"The host ID '{name}' does not exist")
    return name


def _group(ctx: Context, tx: Tx, placement: Placement) -> Row | None:
    name, id = placement.get("GroupName") or "", placement.get("GroupId") or ""
    if name and id:
        raise _combination("The parameter groupName cannot be used with the parameter groupId")
    return held(tx, ctx.account, name=name, id=id) if name or id else None


def _check_tenancy(row: Row, tenancy: str) -> None:
    if tenancy == "host" or (tenancy == "dedicated" and row.strategy == "spread"):
        raise _combination(f"Instances of the tenancy {tenancy} cannot be in a placement group '{row.strategy}'.")


def _check_zone(row: Row, members: list[Row], zone: str) -> None:
    elsewhere = sorted({one.zone for one in members} - {zone})
    if row.strategy == "cluster" and elsewhere:
        raise _combination(
            f"The placement group '{row.name}' is a cluster in {', '.join(elsewhere)}; an instance in {zone} cannot be "
            "in it."
        )


def _partitions(row: Row, members: list[Row], placement: Placement, count: int) -> list[int | None]:
    """The partition that is asked for, or for each instance the one with fewest then."""
    wanted = placement.get("PartitionNumber")
    if row.strategy != "partition":
        if wanted is not None:
            raise _combination(f"The placement group '{row.name}' has no partitions: it is of the kind {row.strategy}.")
        return [None] * count
    if wanted is not None:
        if not 1 <= wanted <= row.partitions:
            raise invalid(wanted, "partitionNumber", f"The placement group has the partitions 1 to {row.partitions}.")
        return [wanted] * count
    sizes = Counter(one.partition_number for one in members)
    found: list[int | None] = []
    for _ in range(count):
        found.append(min(range(1, row.partitions + 1), key=lambda number: (sizes[number], number)))
        sizes[found[-1]] += 1
    return found


def _combination(text: str) -> Refusal:
    return Refusal("InvalidParameterCombination", text)
