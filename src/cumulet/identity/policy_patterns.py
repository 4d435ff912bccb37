"""Patterns in policies: the wildcards `*` and `?`, and variables such as `${aws:username, 'nobody'}`.

A text is compiled once into parts; in a request's context its variables become text in which nothing is a wildcard.
Matching takes time linear in the subject's length for each wildcard, whatever a policy says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

Context = Mapping[str, Sequence[str]]
"""The values of each condition key of a request, the key in lower case."""
Match = Callable[[str], bool]
Pieces = tuple[tuple[str, bool], ...]
"""Texts, and whether `*` and `?` in each are wildcards."""

ARN_FIELDS = 6
_VARIABLE = re.compile(r"\$\{\s*([^{},']+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_WILD = re.compile(r"[*?]")


class Unresolved(Exception):
    """The request has no single value for a variable that has no default: the statement does not apply."""


class Variable(NamedTuple):
    key: str
    default: str | None


Part = tuple[str, bool] | Variable


class Text(NamedTuple):
    """A value of a policy: texts and variables."""

    parts: tuple[Part, ...]

    @property
    def is_fixed(self) -> bool:
        """Whether it says the same in every context."""
        return not any(isinstance(part, Variable) for part in self.parts)

    @property
    def keys(self) -> list[str]:
        return [part.key for part in self.parts if isinstance(part, Variable)]

    def pieces(self, context: Context) -> Pieces:
        """What it says in a context; raises `Unresolved` where that has no value for a variable."""
        return tuple((_value(part, context), False) if isinstance(part, Variable) else part for part in self.parts)


def read_text(text: str, *, variables: bool) -> Text:
    """Compile a text; `${…}` is a variable from the version 2012-10-17 on, and a text before."""
    if not variables or "${" not in text:
        return Text(((text, True),))
    parts: list[Part] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        if found.start() > end:
            parts.append((text[end : found.start()], True))
        key, default = found[1], found[2]
        parts.append((key, False) if key in ("*", "?", "$") else Variable(key, default))
        end = found.end()
    if end < len(text):
        parts.append((text[end:], True))
    return Text(tuple(parts))


def plain(pieces: Pieces) -> str:
    """The text, with no character of it a wildcard."""
    return "".join(text for text, _ in pieces)


@lru_cache(maxsize=8192)
def glob(pieces: Pieces) -> Match:
    """Matches a whole subject: `*` is any text, `?` one character."""
    return _fixed(pieces) or _from_regex(_segment(_characters(pieces), "."))


@lru_cache(maxsize=8192)
def arn_glob(pieces: Pieces) -> Match:
    """Matches a whole ARN, field by field: a wildcard stays within its field, but for the last one; `*` is any ARN."""
    if plain(pieces) == "*":
        return lambda subject: True
    if found := _fixed(pieces, colons=ARN_FIELDS - 1):
        return found
    fields: list[list[tuple[str, bool]]] = [[]]
    for character in _characters(pieces):
        if character[0] == ":" and len(fields) < ARN_FIELDS:
            fields.append([])
        else:
            fields[-1].append(character)
    last = len(fields) - 1
    return _from_regex(":".join(_segment(field, "." if i == last else "[^:]") for i, field in enumerate(fields)))


def _value(variable: Variable, context: Context) -> str:
    values = context.get(variable.key.lower(), ())
    if len(values) == 1:
        return values[0]
    if values or variable.default is None:
        raise Unresolved(variable.key)
    return variable.default


def _characters(pieces: Pieces) -> list[tuple[str, bool]]:
    return [(character, wild) for text, wild in pieces for character in text]


def _fixed(pieces: Pieces, colons: int = 0) -> Match | None:
    """The quick ways: nothing is a wildcard, or only the end is (after so many colons)."""
    whole = plain(pieces)
    wild = sum(len(_WILD.findall(text)) for text, is_wild in pieces if is_wild)
    if wild == 0:
        return whole.__eq__
    if wild == 1 and pieces[-1][1] and whole.endswith("*") and whole.count(":") >= colons:
        start = whole[:-1]
        return lambda subject: subject.startswith(start)
    return None


def _from_regex(regex: str) -> Match:
    fullmatch = re.compile(regex, re.DOTALL).fullmatch
    return lambda subject: fullmatch(subject) is not None


def _segment(characters: Sequence[tuple[str, bool]], one: str) -> str:
    """The regular expression of characters, where `one` is any character.

    All but the last `*` take the first place that fits and keep it (an atomic group), so that nothing is tried twice.
    """
    runs = [""]
    for character, wild in characters:
        if wild and character == "*":
            runs.append("")
        else:
            runs[-1] += one if wild and character == "?" else re.escape(character)
    if len(runs) == 1:
        return runs[0]
    first, *middle, last = runs
    return first + "".join(f"(?>{one}*?{run})" for run in middle) + f"{one}*{last}"
