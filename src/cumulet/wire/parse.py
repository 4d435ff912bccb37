"""From a Query form to plain values: closures compiled once per operation from the service's model.

`BlockDeviceMapping.1.Ebs.VolumeSize=8` becomes `{"BlockDeviceMappings": [{"Ebs": {"VolumeSize": 8}}]}`. The rules
of the two protocols are Smithy's (awsQuery, ec2Query). For old clients of EC2 (boto 2 sends `InstanceId.1` where the
model has one value) a single value may be numbered, and a list of one may be not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import msgspec

from cumulet.lib.errors import Refusal
from cumulet.wire.models import Model, Ref, Shape
from cumulet.wire.request import Form, shown
from cumulet.wire.scalars import READERS

MAX_LIST = 1000
MAX_DEPTH = 16

COMMON = frozenset(
    ["Action", "Version", "AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp", "Expires"]
    + ["SecurityToken"]
)
"""Parameters that any operation may have beside its own; so are all that begin with `X-Amz-`."""

Node = Any  # str | dict[str, Node]: the text of a parameter, or what follows a dot in their names
Parser = Callable[[Node], Any]


def action_of(model: Model, form: Form) -> str:
    """The name of the operation asked for, one of `model.operations`; raises `Refusal`."""
    action = next((value for name, value in form if name == "Action"), None)
    if not action:
        raise Refusal("MissingAction", "The request must contain the parameter Action.")
    if action in model.operations:
        return action
    if model.metadata.protocol == "ec2":
        raise Refusal("InvalidAction", f"The action {shown(action)} is not valid for this web service.")
    version = model.metadata.api_version
    raise Refusal("InvalidAction", f"Could not find operation {shown(action)} for version {version}")


def parse(model: Model, operation: str, form: Form) -> dict[str, Any]:
    """The parameters of a request as plain values, by the model's names of members.

    Times are `datetime` in UTC, blobs `bytes`, structures `dict`. Raises `Refusal`: UnknownParameter,
    InvalidParameterValue, MissingParameter (a query service says ValidationError), MalformedQueryString.
    """
    compiler = _compiler(model)
    parser, own = compiler.operation(operation)
    try:
        result: dict[str, Any] = parser(_tree(form, own))
    except _Wrong as wrong:
        raise wrong.refusal(model) from None
    return result


class _Wrong(Exception):
    """Something about a parameter; its name is put together from the inside out while this rises."""

    def __init__(self, why: Callable[[str, Model], Refusal], *path: str) -> None:
        self.why = why
        self.path = list(path)

    def refusal(self, model: Model) -> Refusal:
        return self.why(shown(".".join(reversed(self.path))), model)


def _unknown(name: str, model: Model) -> Refusal:
    return Refusal("UnknownParameter", f"The parameter {name} is not recognized")


def _twice(name: str, model: Model) -> Refusal:
    return Refusal("MalformedQueryString", f"The query string contains a syntax error: {name} is given in two ways.")


def _too_many(name: str, model: Model) -> Refusal:
    return Refusal("InvalidParameterValue", f"Too many values for {name}: there may be {MAX_LIST}.")


def _missing(name: str, model: Model) -> Refusal:
    if model.metadata.protocol == "ec2":
        return Refusal("MissingParameter", f"The request must contain the parameter {name}")
    at = name[:1].lower() + name[1:]
    why = f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
    return Refusal("ValidationError", f"1 validation error detected: {why}")


def _invalid(value: str, right: str) -> Callable[[str, Model], Refusal]:
    def refusal(name: str, model: Model) -> Refusal:
        return Refusal("InvalidParameterValue", f"Invalid value '{shown(value)}' for {name}. It must be {right}.")

    return refusal


def _tree(form: Form, own: frozenset[str]) -> Node:
    """The form as nested dicts, split at the dots, without the common parameters that are not the operation's `own`."""
    root: dict[str, Node] = {}
    for name, value in form:
        if name in COMMON and name not in own or name.startswith("X-Amz-"):
            continue
        *parents, last = name.split(".", MAX_DEPTH)
        if (parents or [last])[0] not in own:
            raise _Wrong(_unknown, (parents or [last])[0])
        node = root
        for part in parents:
            node = node.setdefault(part, {})
            if node.__class__ is str:
                raise _Wrong(_twice, name)
        if last in node:
            raise _Wrong(_twice, name)
        node[last] = value
    return root


@cache
def _compiler(model: Model) -> _Compiler:
    return _Compiler(model)


NOT_REQUIRED = {"RegisterImage": ("Name",)}
"""What AWS has come to require, and the clients of 2012 do not send."""


class _Compiler:
    """Makes the closures of one model, each when it is first needed."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.ec2 = model.metadata.protocol == "ec2"
        self.operations: dict[str, tuple[Parser, frozenset[str]]] = {}
        self.parsers: dict[tuple[str, bool], Parser] = {}
        self.lock = Lock()

    def operation(self, name: str) -> tuple[Parser, frozenset[str]]:
        """The parser of an operation's input, and the names on the wire of its members."""
        found = self.operations.get(name)
        if found is None:
            with self.lock:  # a half-compiled shape that holds itself must not be seen
                shape = self.model.input(name)
                required = tuple(member for member in shape.required if member not in NOT_REQUIRED.get(name, ()))
                shape = msgspec.structs.replace(shape, required=required)
                own = frozenset(self._wire_name(member, ref) for member, ref in shape.members.items())
                found = self.operations[name] = self._structure(shape), own
        return found

    def parser(self, ref: Ref) -> Parser:
        shape = self.model.shape(ref.shape)
        flat = self.ec2 or ref.flattened or shape.flattened
        key = ref.shape, flat
        if key not in self.parsers:
            self.parsers[key] = lambda node: self.parsers[key](node)  # for a shape that holds itself
            self.parsers[key] = self._parser(shape, flat)
        return self.parsers[key]

    def _parser(self, shape: Shape, flat: bool) -> Parser:
        if shape.type == "structure":
            return self._structure(shape)
        if shape.type == "list":
            return self._list(shape, flat)
        if shape.type == "map":
            return self._map(shape, flat)
        return _scalar(READERS.get(shape.type), self.ec2)

    def _structure(self, shape: Shape) -> Parser:
        members = {self._wire_name(name, ref): (name, self.parser(ref)) for name, ref in shape.members.items()}
        required = [(name, self._wire_name(name, shape.members[name])) for name in shape.required]

        def structure(node: Node) -> dict[str, Any]:
            if node.__class__ is str:
                raise _Wrong(_invalid(node, "given by its members"))
            result = {}
            for wire_name, child in node.items():
                member = members.get(wire_name)
                if member is None:
                    raise _Wrong(_unknown, wire_name)
                try:
                    result[member[0]] = member[1](child)
                except _Wrong as wrong:
                    wrong.path.append(wire_name)
                    raise
            for name, wire_name in required:
                if name not in result:
                    raise _Wrong(_missing, wire_name)
            return result

        return structure

    def _wire_name(self, name: str, ref: Ref) -> str:
        if self.ec2:
            return ref.query_name or ref.location_name[:1].upper() + ref.location_name[1:] or name
        shape = self.model.shape(ref.shape)
        if shape.type == "list" and shape.member and (ref.flattened or shape.flattened):
            return shape.member.location_name or ref.location_name or name
        return ref.location_name or name

    def _list(self, shape: Shape, flat: bool) -> Parser:
        assert shape.member
        element = self.parser(shape.member)
        wrapper = "" if flat else shape.member.location_name or "member"

        def elements(node: Node) -> list[Any]:
            if node.__class__ is str and self.ec2:
                return [element(node)]
            return [_at(key, element, child) for key, child in _numbered(_unwrapped(node, wrapper))]

        return elements

    def _map(self, shape: Shape, flat: bool) -> Parser:
        assert shape.key
        assert shape.value
        entry = self._structure(
            Shape(
                type="structure",
                members={"key": shape.key, "value": shape.value},
                required=("key", "value"),
            )
        )
        wrapper = "" if flat else "entry"

        def entries(node: Node) -> dict[str, Any]:
            pairs = [_at(key, entry, child) for key, child in _numbered(_unwrapped(node, wrapper))]
            return {pair["key"]: pair["value"] for pair in pairs}

        return entries


def _at(key: str, parser: Parser, node: Node) -> Any:
    try:
        return parser(node)
    except _Wrong as wrong:
        wrong.path.append(key)
        raise


def _unwrapped(node: Node, wrapper: str) -> Node:
    """What a list of the query protocol has inside: `Names.member.1` for `Names`; `Names=` is an empty one."""
    if node == "":
        return {}
    if node.__class__ is str:
        raise _Wrong(_invalid(node, "given as a list"))
    if not wrapper:
        return node
    if node.keys() != {wrapper}:
        raise _Wrong(_unknown, next(key for key in node if key != wrapper))
    return _at(wrapper, lambda inside: _unwrapped(inside, ""), node[wrapper])


def _numbered(node: dict[str, Node]) -> list[tuple[str, Node]]:
    """The children in the order of their numbers, which may have gaps."""
    if len(node) > MAX_LIST:
        raise _Wrong(_too_many)
    places: dict[int, tuple[str, Node]] = {}
    for key, child in node.items():
        if not (key.isdigit() and key.isascii() and len(key) <= 10):
            raise _Wrong(_unknown, key)
        if places.setdefault(int(key), (key, child))[0] != key:
            raise _Wrong(_twice, key)
    return [places[place] for place in sorted(places)]


def _scalar(read: Callable[[str], Any] | None, ec2: bool) -> Parser:
    def text(node: Node) -> str:
        if node.__class__ is str:
            return node
        if ec2 and node.keys() == {"1"} and node["1"].__class__ is str:
            return node["1"]
        raise _Wrong(_unknown, next(iter(node)))

    def value(node: Node) -> Any:
        plain = text(node)
        try:
            return read(plain) if read else plain
        except ValueError as e:
            raise _Wrong(_invalid(plain, str(e))) from None

    return value if read else text
