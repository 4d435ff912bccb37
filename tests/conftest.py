"""What all tests share: modules that are marked so run in a private host (`support/libvirtd.py`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cumulet.cli.up import collect_seldom
from cumulet.lib.config import Config

SETTINGS = [f"CUMULET_{key.upper()}" for key in Config.__struct_fields__]


def pytest_collection_finish() -> None:
    """What is loaded by now stays: looking through it again and again took an eighth of the processor's time."""
    collect_seldom()


@pytest.fixture(autouse=True)
def _settings_stay() -> Iterator[None]:
    """A test that left a setting in the environment would change those that come after it in its process."""
    before = {name: os.environ.get(name) for name in SETTINGS}
    yield
    assert {name: os.environ.get(name) for name in SETTINGS} == before


pytest_plugins = [
    "support.slow",
    "support.libvirtd",
    "support.rabbitmq",
    "support.databases",
    "support.statements",
]
