"""AWS's JSON protocol (awsJson1_1): the action in the header X-Amz-Target, parameters and answers as JSON."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from cumulet.lib.errors import Refusal
from cumulet.wire.models import Model, Shape
from cumulet.wire.request import Request, shown

CONTENT_TYPE = "application/x-amz-json-1.1"
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
    "blob": (str,),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}


def action_of(model: Model, request: Request) -> str:
    """The name of the operation asked for; raises `Refusal`."""
    prefix, _, name = (request.header("x-amz-target") or "").rpartition(".")
    if prefix != model.metadata.target_prefix or name not in model.operations:
        raise Refusal("UnknownOperationException", f"There is no operation {shown(f'{prefix}.{name}')}.")
    return name


def parse(model: Model, operation: str, body: bytes) -> dict[str, Any]:
    """The parameters by the model's names; raises `Refusal` SerializationException or ValidationException."""
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal("SerializationException", "The body is not JSON.") from None
    shape = model.input(operation)
    parameters: dict[str, Any] = _read(model, shape, given, "the request")
    lacking = [name for name in shape.required if name not in parameters]
    if lacking:
        at = lacking[0][:1].lower() + lacking[0][1:]
        why = f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        raise Refusal("ValidationException", f"1 validation error detected: {why}")
    return parameters


def _read(model: Model, shape: Shape, value: Any, path: str) -> Any:
    wrong = Refusal("SerializationException", f"{path} must be of the type {shape.type}.")
    if not _is(value, shape.type):
        raise wrong
    if shape.type == "structure":
        unknown = sorted(value.keys() - shape.members.keys())
        if unknown:
            raise Refusal("ValidationException", f"There is no parameter {shown(unknown[0])}.")
        members = {name: model.shape(shape.members[name].shape) for name in value}
        return {n: _read(model, members[n], inner, n) for n, inner in value.items() if inner is not None}
    if shape.type == "list" and shape.member:
        return [_read(model, model.shape(shape.member.shape), inner, path) for inner in value]
    if shape.type == "map" and shape.value:
        return {name: _read(model, model.shape(shape.value.shape), inner, path) for name, inner in value.items()}
    try:
        if shape.type == "timestamp":
            return datetime.fromtimestamp(value, UTC)
        return base64.b64decode(value, validate=True) if shape.type == "blob" else value
    except (ValueError, OverflowError, OSError, binascii.Error):
        raise wrong from None


def _is(value: Any, type_: str) -> bool:
    return isinstance(value, _TYPES.get(type_, (object,))) and isinstance(value, bool) == (type_ == "boolean")


def render(result: dict[str, Any]) -> bytes:
    """The body of an answer; members that are None are left out, and times are seconds since 1970."""
    return msgspec.json.encode(_plain(result))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.timestamp() if isinstance(value, datetime) else value


def render_error(code: str, message: str) -> bytes:
    return msgspec.json.encode({"__type": code, "message": message})
