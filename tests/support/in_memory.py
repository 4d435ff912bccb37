"""Directories of tests in memory: a fake world is thousands of small files, and renaming one on a disk takes 1 ms."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cumulet import testing


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """As pytest's, for as long as the test."""
    with tempfile.TemporaryDirectory(prefix="cumulet-test-", dir=testing.in_memory()) as directory:
        yield Path(directory)
