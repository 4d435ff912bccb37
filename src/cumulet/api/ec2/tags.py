"""Tags: set, taken away and listed for any resource that can have them."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.tagging import RESERVED, Tag, check_count, check_key, checked
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, interface, resource, tag, work

_HIDDEN = ("_id", "Tags")


@action()
def create_tags(ctx: Context, resources: list[str], tags: list[Tag]) -> Result:
    """Set these tags on all of these resources, or on none of them."""
    wanted = checked(tags)
    with ctx.write() as tx:
        for id in dict.fromkeys(resources):
            kind = _kind(tx, ctx.account, id)
            check_count(len({*_own(tx, id), *wanted}))
            tag.put(tx, ctx.account, id, kind, wanted)
            _tell_guest(tx, kind, id)
    return {}


@action()
def delete_tags(ctx: Context, resources: list[str], tags: list[Tag] | None = None) -> Result:
    """Take away these tags, or all; one that is given with a value goes only if it has this value."""
    with ctx.write() as tx:
        for id in dict.fromkeys(resources):
            kind = _kind(tx, ctx.account, id)
            for one in tags or [Tag(Key=key) for key in _own(tx, id)]:
                check_key(one.get("Key", ""))
                tag.take_away(tx, id, one.get("Key", ""), one.get("Value"))
            _tell_guest(tx, kind, id)
    return {}


def _own(tx: Tx, id: str) -> list[str]:
    """The keys of a resource's tags but for those that only the cloud gives."""
    return [key for key in tag.of(tx, id) if not key.startswith(RESERVED)]


def _answer(items: list[Item]) -> Result:
    return {"Tags": [{name: value for name, value in item.items() if name not in _HIDDEN} for item in items]}


@describes(
    "Tags",
    id="_id",
    answer=_answer,
    filters={"key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType"},
)
def describe_tags(ctx: Context) -> list[Item]:
    """All the tags of the account; each is an item, which for the filters has itself as its only tag."""
    with ctx.read() as tx:
        rows = tag.rows(tx, ctx.account)
    return [
        {
            "Key": row.key,
            "Value": row.value,
            "ResourceId": row.resource,
            "ResourceType": row.kind,
            "Tags": [{"Key": row.key, "Value": row.value}],
            "_id": f"{row.resource} {row.key}",
        }
        for row in rows
    ]


def _kind(tx: Tx, account: str, id: str) -> str:
    """AWS's type of the resource; raises `Refusal` with its type's not-found code, or InvalidID for no type of ours."""
    kind = resource.kind(id)
    if kind is None or not ids.well_formed(id, id[: id.rfind("-") + 1]):
        raise Refusal("InvalidID", f"The ID '{id}' is not valid")
    if not resource.owned(tx, account, id):
        raise Refusal(kind.missing, f"The {kind.noun} '{id}' does not exist")
    return kind.type


def _tell_guest(tx: Tx, kind: str, id: str) -> None:
    """A guest reads its tags from the metadata service."""
    for nic in interface.of_instance(tx, id) if kind == "instance" else []:
        work.wake(tx, "interface", nic.id)
