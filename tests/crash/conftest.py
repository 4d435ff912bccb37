"""What the suites of crashes share: a prepared site to begin from."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.site import Site
from support import databases
from support.databases import Tested
from support.in_memory import tmp_path as tmp_path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, database_server: Tested | None) -> Path:
    """The directory of a prepared site, which is closed."""
    directory = tmp_path_factory.mktemp("template") / "site"
    if database_server is not None:
        databases.note(directory, database_server.emptied("cumulet_template"))
    Site(directory).close()
    return directory
