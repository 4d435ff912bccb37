"""Placement groups: how the instances in one are to be placed with regard to each other."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import TagSpecification, tags_for
from cumulet.api.ec2.validation import LONGEST_NAME, arn, invalid, missing
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, host, placement_group, tag
from cumulet.model.database import Row

STRATEGIES = ("cluster", "spread", "partition")
MOST_PARTITIONS, USUAL_PARTITIONS = 7, 2


@action()
def create_placement_group(
    ctx: Context,
    group_name: str = "",
    strategy: str = "",
    partition_count: int | None = None,
    spread_level: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Make a group that instances can be launched into."""
    _check_name(group_name)
    if not strategy:
        raise missing("strategy")
    if strategy not in STRATEGIES:
        raise invalid(strategy, "strategy", f"Expecting one of {', '.join(STRATEGIES)}.")
    partitions = _partitions(strategy, partition_count)
    level = _spread_level(ctx, strategy, spread_level)
    tags = tags_for(tag_specifications, "placement-group")
    id = ids.new("placement_group")
    values = {"id": id, "account": ctx.account, "name": group_name, "strategy": strategy}
    with ctx.write() as tx:
        if not placement_group.add(tx, {**values, "spread_level": level, "partitions": partitions}):
            text = f"The Placement Group '{group_name}' already exists."
            raise Refusal("InvalidPlacementGroup.Duplicate", text)
        tag.put(tx, ctx.account, id, "placement-group", tags)
        return {"PlacementGroup": _items(ctx, tx, [id])[0]}


@describes(
    "PlacementGroups",
    id="GroupId",
    filters={
        "group-arn": "GroupArn",
        "group-id": "GroupId",
        "group-name": "GroupName",
        "spread-level": "SpreadLevel",
        "state": "State",
        "strategy": "Strategy",
    },
)
def describe_placement_groups(
    ctx: Context, group_names: list[str] | None = None, group_ids: list[str] | None = None
) -> list[Item]:
    """The account's placement groups."""
    with ctx.read() as tx:
        items = _items(ctx, tx)
    for member, wanted in (("GroupName", group_names), ("GroupId", group_ids)):
        known = {item[member] for item in items}
        for name in wanted or []:
            if name not in known:
                raise unknown(name)
        items = [item for item in items if not wanted or item[member] in wanted]
    return items


@action()
def delete_placement_group(ctx: Context, group_name: str) -> Result:
    """Forget a group that no instance is in."""
    with ctx.write() as tx:
        row = held(tx, ctx.account, name=group_name)
        if placement_group.members(tx, row.id):
            text = f"The placement group '{group_name}' is in use and may not be deleted."
            raise Refusal("InvalidPlacementGroup.InUse", text)
        placement_group.delete(tx, row.id)
        tag.remove(tx, row.id)
    return {}


def held(tx: Tx, account: str, *, name: str = "", id: str = "") -> Row:
    """The account's group, held until the end of the transaction; raises `Refusal` InvalidPlacementGroup.Unknown."""
    row = placement_group.hold_named(tx, account, name=name, id=id)
    if row is None:
        raise unknown(name or id)
    return row


def unknown(name: str) -> Refusal:
    return Refusal("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")


def _check_name(name: str) -> None:
    if not name:
        raise missing("groupName")
    if len(name) > LONGEST_NAME or not (name.isascii() and name.isprintable()):
        raise invalid(name[:80], "groupName", f"A name has 1 to {LONGEST_NAME} ASCII characters.")


def _partitions(strategy: str, count: int | None) -> int:
    if strategy != "partition":
        if count is not None:
            text = f"The parameter partitionCount cannot be used with the strategy {strategy}, only with partition."
            raise Refusal("InvalidParameterCombination", text)
        return 0
    if count is None:
        return USUAL_PARTITIONS
    if not 1 <= count <= MOST_PARTITIONS:
        raise invalid(count, "partitionCount", f"A placement group has 1 to {MOST_PARTITIONS} partitions.")
    return count


def _spread_level(ctx: Context, strategy: str, level: str) -> str:
    """By rack where each host says in which it is, as AWS does; else by host."""
    if strategy != "spread":
        if level:
            text = f"The parameter spreadLevel cannot be used with the strategy {strategy}, only with spread."
            raise Refusal("InvalidParameterCombination", text)
        return ""
    if level not in ("", "host", "rack"):
        raise invalid(level, "spreadLevel", "Expecting host or rack.")
    if level == "host":
        return level
    with ctx.read() as tx:
        racks = [host.attributes_of(row).get("rack", "") for row in host.all(tx)]
    if level == "rack" and not any(racks):
        raise invalid(level, "spreadLevel", "No host of this cloud says in which rack it is: its attribute rack.")
    return level or ("rack" if racks and all(racks) else "host")


def _items(ctx: Context, tx: Tx, ids: list[str] | None = None) -> list[Item]:
    tags = tag.of_account(tx, ctx.account, ["placement-group"])
    rows = placement_group.of_account(tx, ctx.account)
    return [_item(ctx, row, tags.get(row.id, [])) for row in rows if ids is None or row.id in ids]


def _item(ctx: Context, row: Row, tags: list[dict[str, str]]) -> Item:
    item: dict[str, Any] = {
        "GroupId": row.id,
        "GroupName": row.name,
        "GroupArn": arn(ctx, "placement-group", row.name),
        "State": "available",
        "Strategy": row.strategy,
        "Tags": tags,
    }
    if row.strategy == "partition":
        item["PartitionCount"] = row.partitions
    if row.strategy == "spread":
        item["SpreadLevel"] = row.spread_level
    return item
