"""Pages: MaxResults and NextToken, as AWS's describing actions have them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from cumulet.lib.errors import Refusal

Item = dict[str, Any]
FEWEST, MOST = 5, 1000
LIMITS = FEWEST, MOST
"""What MaxResults may be, where AWS says nothing else of an action."""


def page(
    items: list[Item], most: int | None, token: str | None, key: str, limits: tuple[int, int] = LIMITS
) -> tuple[list[Item], str | None]:
    """The page of `items` that `token` asks for, and the token of the next; `key` is the member that names an item.

    Raises `Refusal` InvalidParameterValue for a token that is none and for a number (`most`) outside of `limits`.
    """
    if most is None and not token:
        return items, None
    if most is not None and not limits[0] <= most <= limits[1]:
        low, high = limits
        raise Refusal(
            "InvalidParameterValue",
            f"Value ( {most} ) for parameter maxResults is invalid. Expecting a value between {low} and {high}.",
        )
    first = _first(items, token, key) if token else 0
    last = min(first + (most or MOST), len(items))
    return items[first:last], _token(last, items[last - 1].get(key)) if last < len(items) else None


def _token(position: int, last: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([position, str(last)])).decode()


def _first(items: list[Item], token: str, key: str) -> int:
    """The position after the last item of the page before, wherever that is by now."""
    try:
        position, last = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Refusal("InvalidParameterValue", f"Unable to parse pagination token: {token[:80]}") from None
    if 0 < position <= len(items) and str(items[position - 1].get(key)) == last:
        return position
    return next((index + 1 for index, item in enumerate(items) if str(item.get(key)) == last), max(position, 0))
