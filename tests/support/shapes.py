"""What crosses between processes of different versions, as data: kept as it was, made types of again, and compared."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from cumulet.agent.documents import Document
from cumulet.agent.heartbeat import Beat, Changed, Heard
from cumulet.agent.lease import Held
from cumulet.bus.remote import Answer, Order
from cumulet.drivers import specs
from cumulet.lib.seen import Departure, Landing, Seen

CROSSING = (
    Landing,
    specs.ObjectSpec,
    specs.ObjectsSpec,
    specs.DiskSpec,
    specs.NicSpec,
    specs.DepartureSpec,
    specs.RuleSpec,
    specs.PeerSpec,
    specs.ProfileSpec,
    specs.MetadataSpec,
    *get_args(specs.Spec),
    Seen,
    Departure,
    Order,
    Answer,
    Beat,
    Changed,
    Heard,
    Document,
    Held,
)
"""Each after those that it has in it."""
KINDS = {kind.__name__ for kind in get_args(specs.Spec)}


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field as the source has it; `default` is JSON, and missing where a value has to be given."""

    type: str
    default: str = ""


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    fields: dict[str, Field]
    tag: str = ""


Shapes = dict[str, Shape]


def shapes() -> Shapes:
    """Those of this program."""
    return {kind.__name__: shape(kind) for kind in CROSSING}


def shape(kind: type[msgspec.Struct]) -> Shape:
    types = {name: str(text) for base in reversed(kind.__mro__) for name, text in _annotations(base).items()}
    found = {one.encode_name: Field(types[one.name], _default(one)) for one in msgspec.structs.fields(kind)}
    return Shape(found, str(kind.__struct_config__.tag or ""))


def _annotations(kind: type) -> dict[str, Any]:
    return dict(kind.__dict__.get("__annotations__", {}))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.json.encode(field.default_factory()).decode()
    return msgspec.json.encode(field.default).decode() if field.default is not msgspec.NODEFAULT else ""


def types_of(kept: Shapes) -> dict[str, Any]:
    """Types that read and write as the program did whose shapes these are; and `Spec`, all kinds of specs."""
    known: dict[str, Any] = {"Any": Any, "Literal": Literal, "msgspec": msgspec, "Verb": _VERB}
    for name, one in kept.items():
        fields: list[Any] = [
            (field, _type(known, found.type), *_factory(known, found)) for field, found in one.fields.items()
        ]
        omits = name in {"Order", "Answer"} or name.endswith("Spec")
        known[name] = msgspec.defstruct(name, fields, kw_only=True, tag=one.tag or None, omit_defaults=omits)
    union: Any = None
    for name, one in kept.items():
        if name.endswith("Spec") and one.tag:
            union = known[name] if union is None else union | known[name]
    return {**known, "Spec": union}


_VERB = Literal["ensure", "remove", "observe", "look", "ask"]


def _type(known: dict[str, Any], text: str) -> Any:
    return eval(text, {}, known)  # noqa: S307 - it is of a file in this repository


def _factory(known: dict[str, Any], field: Field) -> list[Any]:
    if not field.default:
        return []
    value = msgspec.json.decode(field.default, type=_type(known, field.type))
    return [msgspec.field(default_factory=type(value))] if value in ([], {}) else [value]


def differences(kept: Shapes, now: Shapes) -> list[str]:
    """What a program of now and one with the shapes that were kept would read differently of one another.

    New kinds, and new fields with a default, are none.
    """
    found = [f"{name} is gone" for name in kept if name not in now]
    for name, old in kept.items():
        new = now.get(name, old)
        found += [f"{name} had another tag" for _ in [0] if old.tag != new.tag]
        found += [f"{name}.{field} {_why(old.fields.get(field), new.fields.get(field))}" for field in _other(old, new)]
    return found


def unreadable(kept: Shapes, now: Shapes) -> list[str]:
    """Those of the differences with which one of the two cannot read at all what the other writes."""
    return [
        f"{name}.{field} must be given by one and need not by the other"
        for name in kept.keys() & now.keys()
        for field in _other(kept[name], now[name])
        if _must(kept[name].fields.get(field)) != _must(now[name].fields.get(field))
    ]


def _must(field: Field | None) -> bool:
    return field is not None and not field.default


def _other(old: Shape, new: Shape) -> list[str]:
    return [
        name
        for name in sorted(old.fields.keys() | new.fields.keys())
        if old.fields.get(name) != new.fields.get(name) and (name in old.fields or _must(new.fields.get(name)))
    ]


def _why(old: Field | None, new: Field | None) -> str:
    if new is None:
        return "is gone"
    if old is None:
        return "is new and has no default"
    return f"was {old.type} (default {old.default or 'none'}), is {new.type} (default {new.default or 'none'})"
