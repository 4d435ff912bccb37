"""A request as it came over the wire, and the form that it carries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from cumulet.lib.errors import Refusal

Form = list[tuple[str, str]]
"""The parameters of a Query request, decoded, in the order in which they came."""

MAX_PARAMETERS = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """A request before anything in it is believed. Text is Latin-1, one character for each byte."""

    method: str
    raw_path: str
    """The path with its percent signs."""
    query: str
    """What follows the question mark, with its percent signs."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes | None
    """None: not read yet. Whoever reads it compares its hash with `Claim.payload`."""
    address: str = ""
    """Where it came from, as an IP address."""
    secure: bool = False
    """Whether it came over TLS."""
    first: dict[str, str] = field(init=False, repr=False, compare=False)
    """Of each header the first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", dict(reversed(self.headers)))

    @classmethod
    def of(
        cls,
        method: str,
        raw_path: bytes | str,
        query: bytes | str = b"",
        headers: Iterable[tuple[bytes | str, bytes | str]] = (),
        body: bytes | None = b"",
        address: str = "",
        *,
        secure: bool = False,
    ) -> Request:
        """The request that an HTTP server has read."""
        pairs = tuple((_text(name).lower(), _text(value)) for name, value in headers)
        return cls(method, _text(raw_path), _text(query), pairs, body, address, secure)

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return self.first.get(name)


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def read_form(request: Request) -> Form:
    """The parameters in the URL and, if it is a form, in the body.

    Raises `Refusal` MalformedQueryString for what is not percent-encoded UTF-8, for a name that comes twice, and
    for more than `MAX_PARAMETERS`.
    """
    raw = request.query.encode("latin-1", "replace")
    if request.body and _is_form(request):
        raw = raw + b"&" + request.body if raw else request.body
    return decode_form(raw)


def _is_form(request: Request) -> bool:
    media_type = request.header("content-type")
    return media_type is None or media_type.strip().lower().startswith("application/x-www-form-urlencoded")


def decode_form(raw: bytes) -> Form:
    """The parameters of a form as it is on the wire; raises `Refusal` as `read_form` does."""
    if raw.count(b"&") >= MAX_PARAMETERS:
        raise _malformed(f"it has more than {MAX_PARAMETERS} parameters")
    form = [_pair(part) for part in raw.replace(b"+", b" ").split(b"&") if part]
    if len({name for name, _ in form}) != len(form):
        raise _malformed(f"the parameter {_first_twice(form)} is given twice")
    return form


def _pair(part: bytes) -> tuple[str, str]:
    name, _, value = part.partition(b"=")
    try:
        pair = _decode(name), _decode(value)
    except UnicodeDecodeError:
        raise _malformed(f"{shown(part)} is not UTF-8") from None
    if "\0" in pair[0] or "\0" in pair[1]:
        raise _malformed(f"{shown(part)} has a zero byte")
    return pair


def _decode(text: bytes) -> str:
    if b"%" not in text:
        return text.decode()
    if _STRAY_PERCENT.search(text):
        raise _malformed(f"{shown(text)} has a percent sign without two hexadecimal digits after it")
    return unquote_to_bytes(text).decode()


_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def _first_twice(form: Form) -> str:
    count = Counter(name for name, _ in form)
    return shown(next(name for name, times in count.items() if times > 1))


def shown(text: str | bytes) -> str:
    """A piece of what a client sent, short enough for a message."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return text if len(text) <= 100 else text[:100] + "…"


def _malformed(why: str) -> Refusal:
    return Refusal("MalformedQueryString", f"The query string contains a syntax error: {why}.")
