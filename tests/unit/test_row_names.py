"""Rows of queries have the names of their columns."""

from __future__ import annotations

import gc

from cumulet.model.row import named


def test_rows_have_names_whenever_garbage_is_collected() -> None:
    usual = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for number in range(200):
            row = named((f"a{number}", "b", "c"))((1, 2, 3))
            assert (row.b, row.c, row._asdict()[f"a{number}"]) == (2, 3, 1)
    finally:
        gc.set_threshold(*usual)
