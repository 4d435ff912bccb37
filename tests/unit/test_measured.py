"""What takes a while to measure: nobody waits for it long."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from support.libvirtd import bounded

from cumulet.agent.measured import Measured
from cumulet.lib.errors import Failure


def until(measured: Measured[int], wanted: int) -> None:
    for _ in bounded(10):
        with suppress(Failure):
            if measured() == wanted:
                return


def test_who_asks_while_it_is_measured_gets_what_was_known() -> None:
    slow, done = threading.Event(), threading.Event()

    def measure() -> int:
        if not slow.is_set():
            return 1
        done.wait(10)
        return 2

    measured = Measured(measure, patience=0.05)
    until(measured, 1)
    slow.set()
    assert [measured(), measured()] == [1, 1]
    done.set()
    until(measured, 2)


def test_what_cannot_be_measured_is_a_failure_until_it_can() -> None:
    broken = threading.Event()

    def measure() -> int:
        if broken.is_set():
            raise Failure("the disk is gone")
        return 1

    measured = Measured(measure, patience=5)
    until(measured, 1)
    broken.set()
    with pytest.raises(Failure, match="the disk is gone"):
        until_failed(measured)
    broken.clear()
    until(measured, 1)


def until_failed(measured: Measured[int]) -> None:
    for _ in bounded(10):
        measured()


def test_what_was_never_measured_is_not_known() -> None:
    done = threading.Event()
    measured = Measured(lambda: done.wait(10), patience=0.05)
    with pytest.raises(Failure, match="not been measured yet"):
        measured()
    done.set()
