"""What the demonstrations share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """With a directory of temporary files that no test beside this one uses; sockets in it want a short name."""
    with tempfile.TemporaryDirectory(prefix="d-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield {**os.environ, "TMPDIR": directory}
