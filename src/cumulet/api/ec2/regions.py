"""The one region of this cloud, and its availability zones."""

from __future__ import annotations

from datetime import UTC, datetime

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.filters import never
from cumulet.lib.errors import Refusal
from cumulet.lib.zones import zone_id
from cumulet.model import Tx, host
from cumulet.model.database import Row

VERBOSE = "verbose"


@describes(
    "Regions",
    id="RegionName",
    filters={"endpoint": "Endpoint", "opt-in-status": "OptInStatus", "region-name": "RegionName"},
    accepts={"AllRegions": "there is one region, and nobody has to opt in"},
)
def describe_regions(ctx: Context, region_names: list[str] | None = None) -> list[Item]:
    """The region, under the name that the operator gave it."""
    region = ctx.config.region
    for name in region_names or []:
        if name != region:
            raise Refusal("InvalidParameterValue", f"Invalid region: [{name}]; this cloud is {region}.")
    return [{"RegionName": region, "Endpoint": ctx.config.listen, "OptInStatus": "opt-in-not-required"}]


@describes(
    "AvailabilityZones",
    id="ZoneName",
    filters={
        "group-name": "GroupName",
        "message": "Messages.Message",
        "opt-in-status": "OptInStatus",
        "region-name": "RegionName",
        "state": "State",
        **never(
            "group-long-name",
            "parent-zone-id",
            "parent-zone-name",
        ),
        "zone-id": "ZoneId",
        "zone-name": "ZoneName",
        "zone-type": "ZoneType",
    },
    accepts={"AllAvailabilityZones": "nobody has to opt in, so all are shown anyway"},
)
def describe_availability_zones(
    ctx: Context, zone_names: list[str] | None = None, zone_ids: list[str] | None = None
) -> list[Item]:
    """The zones; one is impaired while no host that is alive serves it.

    An administrator who asks for the zone `verbose`, as in 2012, is shown the hosts of each, and their services.
    """
    with ctx.read() as tx:
        served = host.served_zones(tx)
        if ctx.principal.administrator and VERBOSE in (zone_names or []):
            return _verbose(ctx, tx, served)
    items = [_zone(ctx, name, name in served) for name in ctx.config.zone_names()]
    for member, wanted in (("ZoneName", zone_names), ("ZoneId", zone_ids)):
        unknown = set(wanted or []) - {item[member] for item in items}
        if unknown:
            raise Refusal("InvalidParameterValue", f"Invalid availability zone: [{', '.join(sorted(unknown))}]")
        items = [item for item in items if not wanted or item[member] in wanted]
    return items


def _verbose(ctx: Context, tx: Tx, served: set[str]) -> list[Item]:
    """Each zone, then each of its hosts, then each service of that, as OpenStack showed them: enabled :-), or XXX."""
    services = host.services(tx)
    items: list[Item] = []
    for zone in ctx.config.zone_names():
        items.append(_zone(ctx, zone, zone in served))
        for one in host.all(tx):
            if zone in one.zones:
                mine = [row for row in services if row.host == one.name]
                items += [{"ZoneName": f"|- {one.name}", "State": ""}, *(_service(tx, row) for row in mine)]
    return items


def _service(tx: Tx, row: Row) -> Item:
    smiley = ":-)" if row.heard > tx.now - host.LIVE_SECONDS else "XXX"
    heard = datetime.fromtimestamp(row.heard, UTC)
    state = f"{'enabled' if row.enabled else 'disabled'} {smiley} {heard:%Y-%m-%d %H:%M:%S}"
    return {"ZoneName": f"| |- {row.role}", "State": state}


def _zone(ctx: Context, name: str, served: bool) -> Item:
    region = ctx.config.region
    return {
        "OptInStatus": "opt-in-not-required",
        "Messages": [] if served else [{"Message": "No host that is alive serves this zone."}],
        "RegionName": region,
        "ZoneName": name,
        "ZoneId": zone_id(region, name),
        "GroupName": region,
        "NetworkBorderGroup": region,
        "ZoneType": "availability-zone",
        "State": "available" if served else "impaired",
    }
