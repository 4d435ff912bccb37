"""A statement that is prepared is built once: one that is built anew each time is compiled and kept each time too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cumulet.model.prepared import Prepared, Statements

MOST = 10
"""Names of columns may be given in several orders, of which each is a statement."""


@pytest.fixture(autouse=True, scope="session")
def _statements_are_built_once() -> Iterator[None]:
    made: dict[int, Counter[str]] = {}
    prepare = Statements.__missing__

    def watched(statements: Statements, statement: Any) -> Prepared:
        prepared = prepare(statements, statement)
        texts = made.setdefault(id(statements), Counter())
        text = str(prepared._compiled)
        texts[text] += 1
        assert texts[text] <= MOST, f"it is given parameters, and built anew each time: {text}"
        return prepared

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Statements, "__missing__", watched)
        yield
