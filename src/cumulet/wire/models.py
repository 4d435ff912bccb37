"""The service models: which operations a service has, and the shapes of what goes in and out.

They are botocore's (Apache-2.0), stripped by `tools/strip_models.py` of all that a server does not need, and
lie beside this file as `models/<service>.json.gz`. A model is loaded when it is first asked for.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

Kind = Literal[
    "structure",
    "list",
    "map",
    "string",
    "character",
    "boolean",
    "integer",
    "long",
    "float",
    "double",
    "timestamp",
    "blob",
]


class _Struct(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    pass


class Ref(_Struct, frozen=True):
    """A use of a shape: as a member, an element, a key or a value. Field names are botocore's."""

    shape: str
    location_name: str = ""
    query_name: str = ""
    location: str = ""
    flattened: bool = False
    streaming: bool = False
    xml_attribute: bool = False
    timestamp_format: str = ""


class Shape(_Struct, frozen=True):
    """A type. `members` for a structure, `member` for a list, `key` and `value` for a map."""

    type: Kind
    members: dict[str, Ref] = {}
    required: tuple[str, ...] = ()
    member: Ref | None = None
    key: Ref | None = None
    value: Ref | None = None
    flattened: bool = False
    location_name: str = ""
    timestamp_format: str = ""
    payload: str = ""
    enum: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    pattern: str = ""


class Http(_Struct, frozen=True):
    """How an operation is asked for; `/` with POST in the query protocols."""

    method: str = "POST"
    request_uri: str = "/"
    response_code: int = 200


class Output(_Struct, frozen=True):
    """What an operation answers with; the query protocol puts it in an element named `result_wrapper`."""

    shape: str
    result_wrapper: str = ""


class Input(_Struct, frozen=True):
    """What an operation asks for."""

    shape: str
    location_name: str = ""


class Operation(_Struct, frozen=True):
    """One action of a service."""

    name: str
    http: Http = Http()
    input: Input | None = None
    output: Output | None = None


class Metadata(_Struct, frozen=True):
    """What a service says about itself."""

    api_version: str
    protocol: Literal["ec2", "query", "rest-xml", "json", "rest-json"]
    endpoint_prefix: str
    signing_name: str = ""
    xml_namespace: str = ""
    target_prefix: str = ""
    json_version: str = ""


class Document(_Struct, frozen=True):
    """A model as it is stored."""

    metadata: Metadata
    operations: dict[str, Operation]
    shapes: dict[str, Shape]


class Model:
    """A service's operations and shapes; two models are equal only if they are the same object."""

    def __init__(self, service: str, document: Document) -> None:
        self.service = service
        self.metadata = document.metadata
        self.operations = frozenset(document.operations)
        self._document = document

    def operation(self, name: str) -> Operation:
        """The operation of that name; `KeyError` if the service has none."""
        return self._document.operations[name]

    def shape(self, name: str) -> Shape:
        """The shape of that name; `KeyError` if there is none."""
        return self._document.shapes[name]

    @property
    def signing_name(self) -> str:
        """The service's name in the scope of a signature."""
        return self.metadata.signing_name or self.metadata.endpoint_prefix

    def input(self, operation: str) -> Shape:
        """What the operation asks for: a structure, empty if it asks for nothing."""
        ref = self.operation(operation).input
        return self.shape(ref.shape) if ref else Shape(type="structure")

    def output(self, operation: str) -> Shape:
        """What the operation answers with: a structure, empty if it answers with nothing."""
        ref = self.operation(operation).output
        return self.shape(ref.shape) if ref else Shape(type="structure")


@cache
def services() -> frozenset[str]:
    """The services whose models are shipped: `ec2`, `sts`, …"""
    names = (entry.name for entry in _directory().iterdir())
    return frozenset(name.removesuffix(".json.gz") for name in names if name.endswith(".json.gz"))


@cache
def load(service: str) -> Model:
    """The model of one of `services()`; `FileNotFoundError` for any other name."""
    packed = _directory().joinpath(f"{service}.json.gz").read_bytes()
    return Model(service, msgspec.json.decode(gzip.decompress(packed), type=Document))


def _directory() -> resources.abc.Traversable:
    return resources.files(__package__).joinpath("models")
