"""Tags given with a request: what AWS allows, and what of it belongs to which resource."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item
from cumulet.lib.errors import Refusal

MOST_TAGS = 50
LONGEST_KEY, LONGEST_VALUE = 128, 256
RESERVED = "aws:"


class Tag(TypedDict, total=False):
    Key: str
    Value: str


class TagSpecification(TypedDict, total=False):
    ResourceType: str
    Tags: list[Tag]


def tags_for(specifications: list[TagSpecification] | None, kind: str, allowed: tuple[str, ...] = ()) -> dict[str, str]:
    """The tags that a request's TagSpecifications give to resources of `kind` (AWS's resource type).

    `allowed` are all the types that the action makes; without it, `kind` alone. Raises `Refusal` InvalidParameterValue
    for a type that the action does not make or a tag that cannot be, TagLimitExceeded for more than 50 tags.
    """
    found: list[Tag] = []
    seen: set[str] = set()
    for one in specifications or []:
        named = _kind_of(one, allowed or (kind,))
        if named in seen:
            text = "The same resource type may not be specified more than once in tag specifications"
            raise Refusal("InvalidParameterValue", f"{text}: '{named}'.")
        seen.add(named)
        tags = one.get("Tags") or []
        if not tags:
            raise Refusal("InvalidParameterValue", "Tag specification must have at least one tag")
        checked(tags)
        if named == kind:
            found += tags
    return checked(found)


def checked(tags: list[Tag]) -> dict[str, str]:
    """Key to value; raises `Refusal` as AWS does for tags that cannot be (EC2 User Guide: "Tag restrictions")."""
    found: dict[str, str] = {}
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        check_key(key)
        if len(value) > LONGEST_VALUE:
            raise Refusal(
                "InvalidParameterValue", f"Tag value exceeds the maximum length of {LONGEST_VALUE} characters"
            )
        if key in found:
            raise Refusal("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        found[key] = value
    check_count(len(found))
    return found


def check_key(key: str) -> None:
    """Raises `Refusal` InvalidParameterValue for a key that is empty, too long or AWS's own."""
    if not key:
        raise Refusal("InvalidParameterValue", "Tag key cannot be empty; it has 1 to 128 characters.")
    if len(key) > LONGEST_KEY:
        raise Refusal("InvalidParameterValue", f"Tag key exceeds the maximum length of {LONGEST_KEY} characters")
    if key.lower().startswith(RESERVED):
        raise Refusal("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved for internal use: '{key}'")


def check_count(count: int) -> None:
    """Raises `Refusal` TagLimitExceeded where a resource would have more tags than it may."""
    if count > MOST_TAGS:
        raise Refusal("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")


def shown(tags: dict[str, str]) -> list[Item]:
    """Tags as the answers have them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _kind_of(specification: TagSpecification, allowed: tuple[str, ...]) -> str:
    kind = specification.get("ResourceType")
    if not kind:
        raise Refusal("InvalidParameterValue", "Tag specification resource type must have a value")
    if kind not in allowed:
        raise Refusal("InvalidParameterValue", f"'{kind}' is not a valid taggable resource type for this operation.")
    return kind
