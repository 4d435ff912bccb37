"""Crash points: named places where tests let the process die, or pause, between two effects.

Both sides of each commit, each order and each change of a driver are such places. In production the hook is
empty and a point costs one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Died(BaseException):
    """The process is dead as of here: nothing may catch this but the test."""


class _Hook:
    call: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Here the process may die."""
    if _Hook.call is not None:
        _Hook.call(name)


@contextmanager
def at_each_point(call: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, `call` is called with each point's name; it may raise `Died`."""
    _Hook.call = call
    try:
        yield
    finally:
        _Hook.call = None
