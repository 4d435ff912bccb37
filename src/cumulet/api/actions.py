"""The actions that we have: one function each, whose signature is the list of the parameters that it honours.

    @action()
    def delete_key_pair(ctx, key_name: str = "", key_pair_id: str = "") -> Result: ...

    @describes("KeyPairs", id="KeyPairId", ids="key_pair_ids", missing="InvalidKeyPair.NotFound",
               filters={"key-name": "KeyName"})
    def describe_key_pairs(ctx) -> list[Item]: ...

Names are the model's in snake case; a member of a structure is honoured where a TypedDict names it; where there are
many, `**request: Unpack[SomeTypedDict]` names them. `accepts` lists parameters that have no effect here, each with its
reason; all others are refused by name.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin, get_type_hints

from cumulet.api.filters import Path

Item = dict[str, Any]
Result = dict[str, Any]
Tree = dict[str, Any] | None
"""The honoured members of a structure, each with its own tree; None: all of it."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """How a describing action selects, filters and pages."""

    result: str
    id: str = ""
    ids: str = ""
    missing: str = ""
    malformed: str = ""
    prefix: str | tuple[str, ...] = ""
    filters: dict[str, Path] = field(default_factory=dict)
    answer: Callable[[list[Item]], Result] | None = None


@dataclass(frozen=True, kw_only=True)
class Action:
    service: str
    name: str
    function: Callable[..., Any]
    accepts: dict[str, str]
    listing: Listing | None

    def honoured(self) -> dict[str, Tree]:
        """Parameter in snake case to the tree of its honoured members."""
        hints = get_type_hints(self.function)
        found: dict[str, Tree] = {}
        for parameter in list(inspect.signature(self.function).parameters.values())[1:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                found |= _tree(get_args(hints[parameter.name])[0]) or {}
            else:
                found[parameter.name] = _tree(hints[parameter.name])
        return found


ACTIONS: dict[tuple[str, str], Action] = {}


def action(
    service: str = "ec2", *, name: str = "", accepts: dict[str, str] | None = None
) -> Callable[..., Callable[..., Result]]:
    """Register a function as the action of its name; AWS's `name` where that has several capitals in a row."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        _register(service, function, accepts, None, name)
        return function

    return register


def describes(
    result: str,
    *,
    service: str = "ec2",
    id: str = "",
    ids: str = "",
    missing: str = "",
    malformed: str = "",
    prefix: str | tuple[str, ...] = "",
    filters: dict[str, Path] | None = None,
    answer: Callable[[list[Item]], Result] | None = None,
    accepts: dict[str, str] | None = None,
) -> Callable[..., Callable[..., list[Item]]]:
    """Register a function that gives all the items; ids, filters, pages and DryRun are seen to here.

    `ids` is the request's parameter (in snake case) that selects by the item's member `id` (a function that has this
    parameter too may give only those); `missing` the code when one is not there, `malformed` the code for what
    cannot be an id with `prefix`; `answer` turns the page's items into the answer where that is not `{result: items}`.
    """

    def register(function: Callable[..., list[Item]]) -> Callable[..., list[Item]]:
        listing = Listing(
            result=result,
            id=id,
            ids=ids,
            missing=missing,
            malformed=malformed,
            prefix=prefix,
            filters=filters or {},
            answer=answer,
        )
        _register(service, function, accepts, listing)
        return function

    return register


def _register(
    service: str,
    function: Callable[..., Any],
    accepts: dict[str, str] | None,
    listing: Listing | None,
    name: str = "",
) -> None:
    name = name or "".join(part.capitalize() for part in function.__name__.split("_"))
    ACTIONS[service, name] = Action(
        service=service, name=name, function=function, accepts=accepts or {}, listing=listing
    )


def _tree(annotation: Any) -> Tree:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, list):
        inner = [found for part in get_args(annotation) if (found := _tree(part)) is not None]
        return inner[0] if inner else None
    if isinstance(annotation, type) and hasattr(annotation, "__required_keys__"):
        return {member: _tree(hint) for member, hint in get_type_hints(annotation).items()}
    return None
