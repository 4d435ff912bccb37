"""Threads that an event loop has its blocking work done by."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from cumulet.lib.threads import Threads


def test_what_a_function_gives_or_raises_comes_back() -> None:
    async def asked() -> None:
        threads = Threads(2, "asked")
        assert await threads.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 7, 0)
        assert await threads.run(divmod, 9, 2) == (4, 1)

    asyncio.run(asked())


def test_no_more_run_at_once_than_may_and_all_that_may() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def act() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    async def asked() -> None:
        threads = Threads(3, "many")
        for _ in range(2):
            await asyncio.gather(*(threads.run(act) for _ in range(9)))

    asyncio.run(asked())
    assert most == 3


def test_they_end_with_what_they_belong_to() -> None:
    async def asked() -> None:
        await Threads(2, "passing-by").run(time.sleep, 0)

    asyncio.run(asked())
    gc.collect()
    end = time.monotonic() + 5
    while any(one.name == "passing-by" for one in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(one.name == "passing-by" for one in threading.enumerate())
