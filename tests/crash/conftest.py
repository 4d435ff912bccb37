"""What the suites of crashes share: a prepared site to begin from."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.site import Site


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a prepared site, which is closed."""
    directory = tmp_path_factory.mktemp("template") / "site"
    Site(directory).close()
    return directory
