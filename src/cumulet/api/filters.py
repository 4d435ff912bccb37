"""Filters as AWS has them: values of one filter are alternatives, filters must all hold, `*` and `?` are wild.

A filter is a path into the item that is answered (`Placement.AvailabilityZone`, through lists as well), or a function
of the item that gives a value or a list of values. `tag:KEY`, `tag-key` and `tag-value` work wherever items have Tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from cumulet.lib.errors import Refusal
from cumulet.wire.scalars import write_time

Item = dict[str, Any]
Path = str | Callable[[Item], Any]
MAX_FILTERS, MAX_VALUES, LONGEST_VALUE = 50, 200, 255
"""EC2 User Guide: "Find your Amazon EC2 resources"."""


def select(items: list[Item], wanted: list[Item], paths: dict[str, Path]) -> list[Item]:
    """The items that pass all of `wanted` (the request's Filters); raises `Refusal` for a filter that is not known."""
    if len(wanted) > MAX_FILTERS:
        raise Refusal("FilterLimitExceeded", f"The request has {len(wanted)} filters; {MAX_FILTERS} is the limit.")
    _check_values(wanted)
    for one in wanted:
        name, values = one.get("Name"), one.get("Values") or []
        if not name:
            raise Refusal("InvalidParameterValue", "A filter has no Name.")
        if not values:
            raise Refusal("InvalidParameterValue", f"The filter '{name}' has no values.")
        read, patterns = _reader(name, paths), [_pattern(value) for value in values]
        items = [item for item in items if any(_matches(text, patterns) for text in _texts(read(item)))]
    return items


def never(*names: str) -> dict[str, Path]:
    """Filters that AWS has, of what no item here has: they are known, and nothing passes them."""
    return dict.fromkeys(names, _nothing)


def _nothing(item: Item) -> None:
    return None


def _check_values(wanted: list[Item]) -> None:
    for one in wanted:
        values = one.get("Values") or []
        if len(values) > MAX_VALUES:
            text = f"The filter '{one.get('Name')}' has {len(values)} values; {MAX_VALUES} is the limit."
            raise Refusal("FilterLimitExceeded", text)
        if any(len(value) > LONGEST_VALUE for value in values):
            text = f"A value of the filter '{one.get('Name')}' is too long: it has at most {LONGEST_VALUE} characters."
            raise Refusal("InvalidParameterValue", text)


def _reader(name: str, paths: dict[str, Path]) -> Callable[[Item], Any]:
    if name.startswith("tag:"):
        return lambda item: [tag["Value"] for tag in _tags(item) if tag["Key"] == name[4:]]
    if name in ("tag-key", "tag-value"):
        member = "Key" if name == "tag-key" else "Value"
        return lambda item: [tag[member] for tag in _tags(item)]
    path = paths.get(name)
    if path is None:
        raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid. {_meant(name, paths)}")
    return path if callable(path) else _at(tuple(path.split(".")))


def _meant(name: str, paths: dict[str, Path]) -> str:
    known = sorted([*paths, "tag:KEY", "tag-key"])
    close = get_close_matches(name, known)
    return f"Did you mean {' or '.join(close)}?" if close else f"Valid are: {', '.join(known)}."


def _tags(item: Item) -> list[Item]:
    """An item's tags; AWS calls those of a network interface TagSet."""
    return item.get("Tags") or item.get("TagSet") or []


@lru_cache(512)
def _at(members: tuple[str, ...]) -> Callable[[Item], Any]:
    return lambda item: list(_walk(item, members))


def _walk(value: Any, members: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _walk(one, members)
    elif not members:
        yield value
    elif isinstance(value, dict) and members[0] in value:
        yield from _walk(value[members[0]], members[1:])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple, set)):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, datetime):
        yield write_time(value)
    elif value is not None:
        yield str(value)


def _matches(text: str, patterns: list[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(text) for pattern in patterns)


@lru_cache(1024)
def _pattern(value: str) -> re.Pattern[str]:
    parts = re.split(r"(\\.|[*?])", value)
    wild = {"*": ".*", "?": "."}
    return re.compile(
        "".join(wild.get(part) or re.escape(part[-1:] if part[:1] == "\\" else part) for part in parts), re.S
    )
