"""Which operation a request of a REST service means: by method, path and query, as the model says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from cumulet.wire.models import Model

Level = Literal["service", "bucket", "key"]

SUPERSEDED = frozenset(
    ["GetBucketLifecycle", "GetBucketNotification", "PutBucketLifecycle", "PutBucketNotification"]
    + ["ListDirectoryBuckets", "WriteGetObjectResponse"]
)
"""Operations that are asked for in the same way as another, which is meant; or at another host (S3's object lambda)."""


REMEMBERED = 4096
CHANGING = ("PUT", "POST", "DELETE")
"""Methods with which a subresource that they do not have must not be taken for the thing itself: DELETE /BUCKET?acl."""


@dataclass(frozen=True)
class _Route:
    operation: str
    literals: dict[str, str]
    query: frozenset[str]
    headers: frozenset[str]

    def says(self, query: Mapping[str, str]) -> bool:
        return all(name in query and value in ("", query[name]) for name, value in self.literals.items())

    def lacks(self, query: Mapping[str, str], headers: Collection[str]) -> int:
        return len(self.query - query.keys()) + len(self.headers.difference(headers))

    @property
    def needs(self) -> int:
        return len(self.query) + len(self.headers)


def route(model: Model, method: str, level: Level, query: Mapping[str, str], headers: Collection[str]) -> str | None:
    """The operation's name, None if there is none for this method; `headers`: the names, in lower case.

    What the model's URI has as a literal (`?acl`) decides; then what is required (`uploadId`, `x-amz-copy-source`).
    None too for a change of a literal that there is not for this method.
    """
    known = _known(model)
    asked = tuple((name, value if known[name] else "") for name, value in query.items() if name in known)
    brought = tuple(name for name in headers if name in _required_headers(model))
    return _decided(model, method, level, asked, brought)


@cache
def _known(model: Model) -> dict[str, bool]:
    """The parameters of a URL that decide, and whether it is by their values too."""
    found = dict.fromkeys((name for at in _routes(model).values() for one in at for name in one.query), False)
    for at in _routes(model).values():
        for one in at:
            found |= {name: bool(value) or found.get(name, False) for name, value in one.literals.items()}
    return found


@cache
def _required_headers(model: Model) -> frozenset[str]:
    return frozenset(name for at in _routes(model).values() for one in at for name in one.headers)


@lru_cache(REMEMBERED)
def _decided(
    model: Model, method: str, level: Level, asked: tuple[tuple[str, str], ...], headers: tuple[str, ...]
) -> str | None:
    query = dict(asked)
    said = [one for one in _routes(model).get((method, level), ()) if one.says(query)]
    if not said:
        return None
    most = max(len(one.literals) for one in said)
    best = min(
        (one for one in said if len(one.literals) == most),
        key=lambda one: (one.lacks(query, headers) > 0, -one.needs if not one.lacks(query, headers) else one.needs),
    )
    if not best.literals and (
        best.lacks(query, headers) or (method in CHANGING and _subresources(model) & query.keys())
    ):
        return None
    return best.operation


@cache
def _subresources(model: Model) -> frozenset[str]:
    """The names that stand in a URL for a part of a thing: acl, cors, …"""
    return frozenset(name for found in _routes(model).values() for one in found for name in one.literals)


def methods_of(model: Model, level: Level) -> set[str]:
    """The methods that some operation at this level has."""
    return {method for method, at in _routes(model) if at == level}


@cache
def _routes(model: Model) -> dict[tuple[str, Level], list[_Route]]:
    found: dict[tuple[str, Level], list[_Route]] = {}
    for name in sorted(model.operations - SUPERSEDED):
        http = model.operation(name).http
        path, _, literal = http.request_uri.partition("?")
        pairs = dict(part.partition("=")[::2] for part in literal.split("&") if part)
        pairs.pop("x-id", None)
        shape = model.input(name)
        required = [shape.members[member] for member in shape.required]
        query = frozenset(ref.location_name for ref in required if ref.location == "querystring")
        headers = frozenset(ref.location_name.lower() for ref in required if ref.location == "header")
        level: Level = "key" if "{Key+}" in path else "bucket" if "{Bucket}" in path else "service"
        found.setdefault((http.method, level), []).append(_Route(name, pairs, query, headers))
    return found
