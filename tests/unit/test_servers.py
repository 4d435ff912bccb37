"""How a database that does not answer is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from cumulet.lib.errors import CumuletError
from cumulet.model import Database


def test_a_database_is_named_as_its_user_has_written_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/cloud.db"
    with pytest.raises(CumuletError, match=f"the database {url}: unable to open"), Database(url).read() as tx:
        tx.value(sa.select(sa.literal(1)))
