"""What the suites of crashes share: a prepared site to begin from."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.site import Site, prepared
from support.databases import Tested
from support.in_memory import tmp_path as tmp_path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, database_server: Tested | None) -> Path:
    """The directory of a prepared site, which is closed."""
    return prepared(Site, tmp_path_factory.mktemp("template"), database_server)
