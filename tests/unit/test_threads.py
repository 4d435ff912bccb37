"""Threads that an event loop has its blocking work done by."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from cumulet.lib.threads import Threads, aside


class Running:
    """How many there are at a time, and how many there were at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    def be_one(self, seconds: float) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(seconds)
        with self._lock:
            self._now -= 1


def test_what_a_function_gives_or_raises_comes_back() -> None:
    async def asked() -> None:
        threads = Threads(2, "asked")
        assert await threads.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 7, 0)
        assert await threads.run(divmod, 9, 2) == (4, 1)

    asyncio.run(asked())


def test_no_more_run_at_once_than_may_and_all_that_may() -> None:
    running = Running()

    async def asked() -> None:
        threads = Threads(3, "many")
        for _ in range(2):
            await asyncio.gather(*(threads.run(running.be_one, 0.02) for _ in range(9)))

    asyncio.run(asked())
    assert running.most == 3


def test_who_steps_aside_leaves_his_place_to_another() -> None:
    together = threading.Barrier(3, timeout=10)

    def wait() -> None:
        with aside():
            together.wait()

    async def asked() -> None:
        threads = Threads(3, "aside", at_work=1)
        await asyncio.gather(*(threads.run(wait) for _ in range(3)))

    asyncio.run(asked())
    wait_alone = threading.Barrier(1)
    with aside():  # of no such threads
        wait_alone.wait()


def test_who_comes_back_may_be_one_more_until_his_work_is_done() -> None:
    """And then the others go on, none of them forgotten."""
    running = Running()

    def act(first: bool) -> None:
        if first:
            with aside():
                time.sleep(0.01)
        else:
            running.be_one(0.002)

    async def asked() -> None:
        threads = Threads(8, "back", at_work=2)
        for _ in range(5):
            await asyncio.wait_for(asyncio.gather(*(threads.run(act, number % 3 == 0) for number in range(30))), 30)

    asyncio.run(asked())
    assert running.most == 2


def test_no_more_are_made_than_may_be_however_many_step_aside() -> None:
    async def asked() -> int:
        threads = Threads(4, "crowd", at_work=1)

        def wait() -> None:
            with aside():
                time.sleep(0.005)

        await asyncio.gather(*(threads.run(wait) for _ in range(40)))
        return sum(one.name == "crowd" for one in threading.enumerate())

    assert asyncio.run(asked()) == 4


def test_they_end_with_what_they_belong_to() -> None:
    async def asked() -> None:
        await Threads(2, "passing-by").run(time.sleep, 0)

    asyncio.run(asked())
    gc.collect()
    end = time.monotonic() + 5
    while any(one.name == "passing-by" for one in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(one.name == "passing-by" for one in threading.enumerate())


def test_who_is_slow_does_not_keep_others_waiting() -> None:
    go_on = threading.Event()

    async def asked() -> None:
        threads = Threads(8, "slow", at_work=2)
        slow = [threads.run(go_on.wait, 30) for _ in range(4)]
        for _ in range(3):
            assert await asyncio.wait_for(threads.run(divmod, 7, 2), 10) == (3, 1)
        assert not any(one.done() for one in slow)
        go_on.set()
        assert await asyncio.wait_for(asyncio.gather(*slow), 10) == [True] * 4
        assert await asyncio.wait_for(asyncio.gather(*(threads.run(divmod, 7, 2) for _ in range(20))), 10)

    asyncio.run(asked())
