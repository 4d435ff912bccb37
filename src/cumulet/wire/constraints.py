"""What the model says of each parameter's value: lengths, ranges, patterns, and words of a list.

IAM and STS answer with all that is wrong at once, as ValidationError; EC2's model says next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cumulet.lib.errors import Refusal
from cumulet.wire.models import Model, Shape
from cumulet.wire.request import shown


def check(model: Model, operation: str, parameters: dict[str, Any]) -> None:
    """Raises `Refusal` ValidationError that names each value against the model."""
    wrong = list(_structure(model, model.input(operation), parameters, ""))
    if wrong:
        count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected: "
        raise Refusal("ValidationError", count + "; ".join(wrong[:10]))


def _structure(model: Model, shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, inner in value.items():
        at = f"{path}.{_lower(name)}" if path else _lower(name)
        yield from _value(model, model.shape(shape.members[name].shape), inner, at)


def _value(model: Model, shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type == "structure":
        yield from _structure(model, shape, value, path)
    elif shape.type == "list":
        assert shape.member
        yield from _of_length(shape, len(value), f"at '{path}'", "Member")
        for index, inner in enumerate(value, 1):
            yield from _value(model, model.shape(shape.member.shape), inner, f"{path}.{index}.member")
    elif shape.type == "string":
        yield from _text(shape, value, path)
    elif shape.type in ("integer", "long", "float", "double"):
        yield from _number(shape, value, path)


def _text(shape: Shape, value: str, path: str) -> Iterator[str]:
    where = f"Value '{shown(value)}' at '{path}'"
    yield from _of_length(shape, len(value), where, "Member")
    if shape.enum and value not in shape.enum:
        yield f"{where} failed to satisfy constraint: Member must satisfy enum value set: [{', '.join(shape.enum)}]"
    if shape.pattern and not _pattern(shape.pattern).fullmatch(value):
        yield f"{where} failed to satisfy constraint: Member must satisfy regular expression pattern: {shape.pattern}"


def _of_length(shape: Shape, length: int, where: str, noun: str) -> Iterator[str]:
    if shape.min is not None and length < shape.min:
        yield f"{where} failed to satisfy constraint: {noun} must have length greater than or equal to {shape.min:.0f}"
    if shape.max is not None and length > shape.max:
        yield f"{where} failed to satisfy constraint: {noun} must have length less than or equal to {shape.max:.0f}"


def _number(shape: Shape, value: float, path: str) -> Iterator[str]:
    where = f"Value '{value}' at '{path}' failed to satisfy constraint"
    if shape.min is not None and value < shape.min:
        yield f"{where}: Member must have value greater than or equal to {shape.min:.0f}"
    if shape.max is not None and value > shape.max:
        yield f"{where}: Member must have value less than or equal to {shape.max:.0f}"


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


_JAVA_CLASSES = re.compile(r"\\p\{[LZN]\}")


@lru_cache(maxsize=512)
def _pattern(pattern: str) -> re.Pattern[str]:
    """The model's patterns are Java's: `\\w` is ASCII there, and Unicode's letters, digits and spaces are `\\p{…}`."""
    if "\\p{" not in pattern:
        return re.compile(pattern, re.ASCII | re.DOTALL)
    return re.compile(_JAVA_CLASSES.sub(r"\\w\\s", pattern), re.DOTALL)
