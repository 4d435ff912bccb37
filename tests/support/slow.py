"""Tests that are minutes long: a module that says `pytest.mark.slow` is run only with `--slow` (`make test-slow`)."""

from __future__ import annotations

import os

import pytest

VARIABLE = "CUMULET_SLOW"
"""Set where they are to be run, so that a pytest inside a private host knows it too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run also the tests that are minutes long")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: minutes long, run only with --slow")
    if config.getoption("--slow"):
        os.environ[VARIABLE] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if VARIABLE not in os.environ:
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)
