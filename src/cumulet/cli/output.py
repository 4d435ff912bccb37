"""What a command says: lines and tables for people, JSON for programs, progress on what takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

WIDE = 400
"""Columns where nobody looks: a pipe or a file gets whole lines."""


def show_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show(
    found: Sequence[dict[str, Any]], json: bool, columns: Sequence[str], row: Callable[[dict[str, Any]], Any]
) -> None:
    """What has been found, in JSON, or as a table with a `row` for each."""
    if json:
        show_json(found)
    else:
        show_table(columns, [row(one) for one in found])


def say(found: Any, json: bool, text: str = "") -> None:
    """What has been done: in JSON, or as lines of text; without any, people hear nothing of what went well."""
    if json:
        show_json(found)
    elif text:
        click.echo(text)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table as wide as it needs to be, or as the terminal is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDE, markup=False, highlight=False).print(table)


class Bar:
    """A line on standard error that says how far it is; nothing where nobody looks."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task

    def say(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def reach(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def progress(text: str) -> Iterator[Bar]:
    """A progress bar, moving to and fro until its total is known."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    parts = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    console = Console(stderr=True, markup=False)
    with Progress(*parts, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield Bar(shown, shown.add_task(text, total=None))


def ago(seconds: float) -> str:
    """How long ago something was, in the unit that people would use."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
