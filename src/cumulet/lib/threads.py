"""Threads that an event loop has its blocking work done by."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread, local
from typing import Any, NamedTuple


class Threads:
    """At most `most` of them, made as they are needed. They end with this, or with the process.

    No more than `at_work` are at work at a time, apart from those that have stepped `aside`: threads which only compute
    gain nothing from one another, and take the interpreter away from each other at every call of the system.

    An executor of the standard library does the same for three times as much processor time: it has futures of its
    own, with a lock each, which are then chained to those of the loop.
    """

    def __init__(self, most: int, name: str, at_work: int | None = None) -> None:
        self._shared = _Shared(most, at_work or most, name)
        weakref.finalize(self, self._shared.end)

    def run(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """What the function gives or raises, in a future of the running loop. It runs to its end, awaited or not."""
        future = asyncio.get_running_loop().create_future()
        self._shared.take(_Work(future, function, arguments))
        return future


@contextmanager
def aside() -> Iterator[None]:
    """For what waits and does not compute: another of its `Threads` may work meanwhile, if this is one of such."""
    shared: _Shared | None = getattr(_mine, "shared", None)
    if shared is None:
        yield
        return
    shared.step_aside()
    try:
        yield
    finally:
        shared.step_back()


_mine = local()


class _Work(NamedTuple):
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class _Shared:
    """What the threads know, so that they do not keep alive what they belong to."""

    def __init__(self, most: int, at_work: int, name: str) -> None:
        self._most = most
        self._may_work = at_work
        self._name = name
        self._lock = Lock()
        self._waiting: deque[_Work] = deque()
        self._made = 0
        self._at_work = 0
        self._idle: list[Lock] = []
        """Each is what one of the threads waits for; who was at work last is the first to be woken."""
        self._ended = False

    def take(self, work: _Work) -> None:
        with self._lock:
            self._waiting.append(work)
            more = self._wake()
        if more:
            self._make()

    def step_aside(self) -> None:
        with self._lock:
            self._at_work -= 1
            more = self._wake()
        if more:
            self._make()

    def step_back(self) -> None:
        """There may be more at work than should be now, until one has done its own."""
        with self._lock:
            self._at_work += 1

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for idle in self._idle:
                idle.release()

    def _wake(self) -> bool:
        """Have one more at work, if one is needed and may be. Whether it is to be made; the lock is held."""
        if not self._waiting or self._at_work >= self._may_work:
            return False
        if self._idle:
            self._at_work += 1
            self._idle.pop().release()
            return False
        if self._made == self._most:
            return False
        self._made += 1
        self._at_work += 1
        return True

    def _make(self) -> None:
        Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        _mine.shared = self
        mine = Lock()
        mine.acquire()
        while not self._ended:
            work = self._next(mine)
            if work is None:
                mine.acquire()
            else:
                _do(work)
                del work

    def _next(self, mine: Lock) -> _Work | None:
        """The next piece of work; None for one that has to wait for `mine`."""
        with self._lock:
            if self._waiting and self._at_work <= self._may_work:
                return self._waiting.popleft()
            self._at_work -= 1
            self._idle.append(mine)
            return None


def _do(work: _Work) -> None:
    try:
        result, error = work.function(*work.arguments), None
    except BaseException as e:  # noqa: BLE001 - whoever awaits it is told
        result, error = None, e
    with suppress(RuntimeError):  # the loop has ended, and nobody waits
        work.future.get_loop().call_soon_threadsafe(_tell, work.future, result, error)


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
