"""From a request of a REST service to plain values, as the model says where each is: path, query, header or XML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

from cumulet.lib.errors import Refusal
from cumulet.wire.models import Model, Ref, Shape
from cumulet.wire.request import Request, shown
from cumulet.wire.scalars import READERS, read_time
from cumulet.wire.xml_tree import Element, read_xml

RAW = frozenset(["Expires", "ResponseExpires"])
"""Times that are kept as they were sent."""
OLD_ROOTS = {"CreateBucketConfiguration": "CreateBucketConstraint"}
"""Root elements by which clients of ten years ago (boto 2) called what has another name."""
OUTSIDE = ("uri", "querystring", "header")
OPEN = frozenset(["BucketLocationConstraint", "Event", "ChecksumAlgorithm"])
"""Enumerations whose other values have a refusal of their own."""


def parse_rest(
    model: Model,
    operation: str,
    request: Request,
    query: Mapping[str, str],
    path: Mapping[str, str],
    body: bytes | None,
) -> dict[str, Any]:
    """The parameters of an operation. `query` and `path` are decoded; `body` is None where it is a stream.

    Raises `Refusal` InvalidArgument for a header or a parameter of the URL, MalformedXML for the body.
    """
    shape = model.input(operation)
    values: dict[str, Any] = {}
    sources: dict[str, Mapping[str, str]] = {"uri": path, "querystring": query, "header": request.first}
    for name, ref, where in _members_outside(model, operation):
        if (text := sources[ref.location].get(where)) is not None:
            found = text if ref.location == "uri" else _plain(model, name, ref, text)
            if found is not None:
                values[name] = found
    for name, prefix in _prefixes(model, operation):
        if found := _prefixed(request.headers, prefix):
            values[name] = found
    for name in shape.required:
        if name not in values and (ref := shape.members[name]).location in ("querystring", "header"):
            raise _lacking(ref.location_name)
    return values | _from_body(model, operation, shape, body)


@cache
def _members_outside(model: Model, operation: str) -> list[tuple[str, Ref, str]]:
    """The members that are not in the body, and the name of each where it is, headers in lower case."""
    found = [(name, ref) for name, ref in model.input(operation).members.items() if ref.location in OUTSIDE]
    return [(n, ref, ref.location_name.lower() if ref.location == "header" else ref.location_name) for n, ref in found]


@cache
def _prefixes(model: Model, operation: str) -> list[tuple[str, str]]:
    """The members that are maps of headers, and how the names of those begin."""
    members = model.input(operation).members.items()
    return [(name, ref.location_name) for name, ref in members if ref.location == "headers"]


def _lacking(name: str) -> Refusal:
    if name == "partNumber":
        return _invalid(name, "", "an integer", number=True)
    message = f"The request needs {name}, which is missing or empty."
    return Refusal("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue="")


def _from_body(model: Model, operation: str, shape: Shape, body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {}
    if shape.payload:
        ref = shape.members[shape.payload]
        inner = model.shape(ref.shape)
        if inner.type == "string":
            return {shape.payload: body.decode("utf-8", "replace")}
        if inner.type != "structure" or not body.strip():
            return {}
        return {shape.payload: _structure(model, inner, _root(body, ref.location_name or ref.shape))}
    return {}


def _root(body: bytes, name: str) -> Element:
    try:
        root = read_xml(body)
    except ValueError as e:
        raise malformed(str(e)) from None
    if root.name not in (name, OLD_ROOTS.get(name)):
        raise malformed(f"the root element is {shown(root.name)}, and has to be {name}")
    return root


def malformed(why: str) -> Refusal:
    """What S3 says of XML that is not what it should be."""
    known = "The XML you provided was not well-formed or did not validate against our published schema"
    return Refusal("MalformedXML", f"{known}: {why}", 400)


def _prefixed(headers: Iterable[tuple[str, str]], prefix: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name.startswith(prefix):
            found.setdefault(name.removeprefix(prefix), []).append(_decoded(unicode_of(value.strip(" \t"))))
    return {name: ",".join(values) for name, values in found.items()}


def _decoded(text: str) -> str:
    """Without the encoded words of RFC 2047, in which mail-safe text has what is not ASCII."""
    if "=?" not in text or "?=" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return text


def unicode_of(text: str) -> str:
    """A header's value: its bytes are UTF-8 if they can be."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _plain(model: Model, name: str, ref: Ref, text: str) -> Any:
    shape = model.shape(ref.shape)
    if text == "" and shape.type in ("integer", "long"):
        return None
    text = unicode_of(text)
    if shape.type == "list":
        assert shape.member
        return [_plain(model, name, shape.member, part.strip()) for part in text.split(",") if part.strip()]
    if name in RAW:
        return text
    if shape.type == "timestamp":
        return _time(text, shape.timestamp_format or ref.timestamp_format, ref.location_name)
    reader = READERS.get(shape.type)
    try:
        return reader(text) if reader else text
    except ValueError as e:
        raise _invalid(ref.location_name, text, str(e), number=shape.type in ("integer", "long")) from None


def _invalid(name: str, text: str, right: str, *, number: bool) -> Refusal:
    """What S3 says of a parameter of the URL or of a header that cannot be read."""
    message = f"{name} must be {right}, and is '{shown(text)}'."
    if name == "partNumber":
        message = "Part number must be an integer between 1 and 10000, inclusive"
    elif number:
        message = f"Provided {name} not an integer or within integer range"
    return Refusal("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue=shown(text))


def _time(text: str, form: str, name: str) -> datetime | None:
    """A time; None for a condition's date that cannot be read, which HTTP says to ignore (RFC 9110, 13.1.3)."""
    try:
        return read_time(text)
    except ValueError:
        pass
    try:
        time = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        if form == "iso8601":
            right = "a time of ISO 8601, for example 2026-01-02T03:04:05Z"
            raise _invalid(name, text, right, number=False) from None
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _structure(model: Model, shape: Shape, element: Element) -> dict[str, Any]:
    members = _members(shape)
    values: dict[str, Any] = {}
    for name, ref in shape.members.items():
        if ref.xml_attribute and (given := element.attributes.get(ref.location_name.rpartition(":")[2])) is not None:
            values[name] = _scalar(model.shape(ref.shape), ref.shape, given, name)
    for child in element.children:
        found = members.get(child.name)
        if found is None:
            raise malformed(f"there is no {shown(child.name)} in {element.name}")
        name, ref = found
        inner = model.shape(ref.shape)
        if inner.type == "list" and (ref.flattened or inner.flattened):
            assert inner.member
            values.setdefault(name, []).append(_value(model, inner.member, child))
        elif name in values:
            raise malformed(f"{child.name} is given twice in {element.name}")
        else:
            values[name] = _value(model, ref, child)
    for name in shape.required:
        if name not in values:
            raise malformed(f"{element.name} has no {shape.members[name].location_name or name}")
    return values


def _members(shape: Shape) -> dict[str, tuple[str, Ref]]:
    return {ref.location_name or name: (name, ref) for name, ref in shape.members.items() if not ref.xml_attribute}


def _value(model: Model, ref: Ref, element: Element) -> Any:
    shape = model.shape(ref.shape)
    if shape.type == "structure":
        return _structure(model, shape, element)
    if shape.type == "list":
        assert shape.member
        wanted = shape.member.location_name or "member"
        for child in element.children:
            if child.name != wanted:
                raise malformed(f"there is no {shown(child.name)} in {element.name}")
        return [_value(model, shape.member, child) for child in element.children]
    return _scalar(shape, ref.shape, element.text, element.name)


def _scalar(shape: Shape, shape_name: str, text: str, name: str) -> Any:
    if shape.enum and shape_name not in OPEN and text not in shape.enum:
        raise malformed(f"{name} is '{shown(text)}'; it is one of {', '.join(shape.enum[:8])}")
    reader = READERS.get(shape.type)
    try:
        return reader(text.strip()) if reader else text
    except ValueError as e:
        raise malformed(f"{name} must be {e}, and is '{shown(text)}'") from None
