"""Plain values as text: what a parameter's text stands for, and how a value of an answer is written."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from operator import index
from typing import Any

_INTEGER = re.compile("[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([zZ]|[+-]\d\d:?\d\d)?)?", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def read_boolean(text: str) -> bool:
    """`true` or `false` in any case, as XML Schema also 1 or 0; `ValueError` for anything else."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def integer_reader(bits: int) -> Callable[[str], int]:
    """A reader of signed integers of so many bits."""
    limit = 1 << bits - 1

    def read_integer(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not -limit <= int(text) < limit:
            raise ValueError(f"an integer from {-limit} to {limit - 1}")
        return int(text)

    return read_integer


def read_number(text: str) -> float:
    """A finite decimal number; `ValueError` for anything else."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(number := float(text)):
        raise ValueError("a decimal number")
    return number


def read_time(text: str) -> datetime:
    """A time of ISO 8601, in UTC where it names no other zone; `ValueError` for anything else."""
    try:
        if not _TIME.fullmatch(text):
            raise ValueError(text)
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a time of ISO 8601, for example 2026-01-02T03:04:05Z") from None


def read_blob(text: str) -> bytes:
    """Base64, with or without line ends; `ValueError` for anything else."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise ValueError("Base64") from None


READERS: dict[str, Callable[[str], Any]] = {
    "boolean": read_boolean,
    "integer": integer_reader(32),
    "long": integer_reader(64),
    "float": read_number,
    "double": read_number,
    "timestamp": read_time,
    "blob": read_blob,
}
"""From a parameter's text to its value, by the shape's type. The `ValueError` says what would be right."""


def escape(text: str) -> str:
    """Text as an XML element holds it; what XML 1.0 cannot hold (control characters, say) becomes U+FFFD."""
    return _SPECIAL.sub(_escaped, text) if SPECIAL(text) else text


def escape_name(text: str) -> str:
    """The same for a name, of which nothing may be lost: what XML 1.0 cannot hold becomes a character reference.

    That is no well-formed XML 1.0; XML 1.1 would know it, but for U+0000, and no parser of clients reads that.
    """
    return _SPECIAL.sub(_referred_to, text) if SPECIAL(text) else text


_SPECIAL = re.compile("[&<>\r]|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SPECIAL = _SPECIAL.search
"""Whether `escape` has anything to do; the call is saved for texts of which an answer has thousands."""
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found.group(), "\ufffd")


def _referred_to(found: re.Match[str]) -> str:
    return _ESCAPED.get(found.group()) or f"&#x{ord(found.group()):x};"


def write_boolean(value: bool) -> str:
    """`true` or `false`."""
    return "true" if index(value) else "false"


def write_integer(value: int) -> str:
    """Decimal digits; `TypeError` for what is no integer."""
    return f"{index(value):d}"


def write_number(value: float) -> str:
    """As short as it reads back the same."""
    return repr(float(value))


@lru_cache(4096)  # an instance and all that came with it have the same
def write_time(value: datetime | float) -> str:
    """A time, or seconds since 1970, in UTC and with milliseconds as EC2 has it: 2026-01-02T03:04:05.000Z."""
    return f"{_utc(value).isoformat(timespec='milliseconds')}Z"


def write_whole_time(value: datetime | float) -> str:
    """The same without milliseconds where there are none, as the query services have it: 2026-01-02T03:04:05Z."""
    time = _utc(value)
    return write_time(time) if time.microsecond >= 1000 else f"{time.isoformat(timespec='seconds')}Z"


def _utc(value: datetime | float) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def write_blob(value: bytes) -> str:
    """Base64 without line ends."""
    return base64.b64encode(value).decode()


WRITERS: dict[str, Callable[[Any], str]] = {
    "boolean": write_boolean,
    "integer": write_integer,
    "long": write_integer,
    "float": write_number,
    "double": write_number,
    "timestamp": write_time,
    "blob": write_blob,
    "string": escape,
    "character": escape,
}
"""From a value to its text in an element, by the shape's type."""
