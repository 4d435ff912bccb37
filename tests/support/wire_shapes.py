"""Random values that fit a shape of a service model, and botocore's own view of the same models."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import botocore.session

from cumulet.wire.models import Model, Shape, load, services

_ALPHABET = "abcXYZ019 .,:;/?#[]@!$'()*+=%&<>\"\\\n\t\r-_~äß€語🎲"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Values:
    """Random values of a model's shapes; the same seed gives the same values."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model = model
        self.random = Random(seed)

    def structure(self, shape: Shape, depth: int = 0) -> dict[str, Any]:
        """A value with all that is required, and of the rest some, fewer the deeper."""
        names = list(shape.members)
        some = self.random.sample(names, min(len(names), self.random.randint(1, max(1, 6 - 2 * depth))))
        return {name: self.value(shape.members[name].shape, depth + 1) for name in {*shape.required, *some}}

    def value(self, name: str, depth: int) -> Any:
        """A value of the shape of that name."""
        shape = self.model.shape(name)
        if shape.type == "structure":
            return self.structure(shape, depth)
        if shape.type == "list" and shape.member:
            return [self.value(shape.member.shape, depth + 1) for _ in range(self.random.randint(1, 3))]
        if shape.type == "map" and shape.key and shape.value:
            count = self.random.randint(1, 3)
            return {self.text(): self.value(shape.value.shape, depth + 1) for _ in range(count)}
        return self._scalar(shape)

    def _scalar(self, shape: Shape) -> Any:
        if shape.type == "boolean":
            return self.random.random() < 0.5
        if shape.type in ("integer", "long"):
            bits = 31 if shape.type == "integer" else 63
            return self.random.choice([0, 1, -1, 2**bits - 1, -(2**bits), self.random.randrange(2**bits)])
        if shape.type in ("float", "double"):
            return self.random.choice([0.0, 0.1, 1e300, 5e-324, self.random.uniform(-1e6, 1e6)])
        if shape.type == "timestamp":
            return _EPOCH + timedelta(milliseconds=self.random.randrange(4_000_000_000_000))
        if shape.type == "blob":
            return self.random.randbytes(self.random.randrange(20))
        return self.random.choice([self.text(), *shape.enum])

    def text(self) -> str:
        """A string of awkward characters, sometimes empty."""
        return "".join(self.random.choices(_ALPHABET, k=self.random.randrange(12)))


def without_nothing(value: Any) -> Any:
    """The value without structures that are empty, which a form cannot hold."""
    if isinstance(value, dict):
        kept = {name: without_nothing(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(without_nothing, value) if item != {}]
    return value


@cache
def model(service: str) -> Model:
    """The shipped model, or the one that the tool would ship."""
    return load(service) if service in services() else Model(service, strip_models().strip(service))


@cache
def strip_models() -> ModuleType:
    """The tool that writes the models."""
    file = Path(__file__).parents[2] / "tools" / "strip_models.py"
    spec = importlib.util.spec_from_file_location("strip_models", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def botocore_model(service: str) -> Any:
    """botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)
