"""Threads that an event loop has its blocking work done by."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread, local
from typing import Any, NamedTuple

SLOW_SECONDS = 0.05
"""Who is at one piece of work for longer has no place among those at work any more, so that others do not wait."""


class Threads:
    """At most `most` of them, made as they are needed. They end with this, or with the process.

    No more than `at_work` are at work at a time, apart from those that have stepped `aside` or are slow: threads which
    only compute gain nothing from one another, and take the interpreter away from each other at every call of the
    system.

    An executor of the standard library does the same for three times as much processor time: it has futures of its
    own, with a lock each, which are then chained to those of the loop.
    """

    def __init__(self, most: int, name: str, at_work: int | None = None) -> None:
        self._shared = _Shared(most, at_work or most, name)
        self._looks_in: asyncio.AbstractEventLoop | None = None
        weakref.finalize(self, self._shared.end)

    def run(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """What the function gives or raises, in a future of the running loop. It runs to its end, awaited or not."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._shared.take(_Work(future, function, arguments))
        if self._shared.waiting and self._looks_in is not loop:
            self._look_later(loop)
        return future

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks_in = loop
        loop.call_later(SLOW_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks_in = None
        if self._shared.waiting:
            self._shared.pass_over_slow()
            self._look_later(loop)


@contextmanager
def aside() -> Iterator[None]:
    """For what waits and does not compute: another of its `Threads` may work meanwhile, if this is one of such."""
    worker: _Worker | None = getattr(_mine, "worker", None)
    if worker is None:
        yield
        return
    worker.shared.step_aside(worker)
    try:
        yield
    finally:
        worker.shared.step_back(worker)


_mine = local()


class _Work(NamedTuple):
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class _Worker:
    """One of the threads: what it waits for when it is idle, since when it is at a piece of work, whether it counts."""

    def __init__(self, shared: _Shared) -> None:
        self.shared = shared
        self.called = Lock()
        self.called.acquire()
        self.since = 0.0
        self.counts = True


class _Shared:
    """What the threads know, so that they do not keep alive what they belong to."""

    def __init__(self, most: int, at_work: int, name: str) -> None:
        self._most = most
        self._may_work = at_work
        self._name = name
        self._lock = Lock()
        self.waiting: deque[_Work] = deque()
        self._workers: list[_Worker] = []
        self._at_work = 0
        """How many count."""
        self._idle: list[_Worker] = []
        """Who was at work last is the first to be called."""
        self._ended = False

    def take(self, work: _Work) -> None:
        with self._lock:
            self.waiting.append(work)
            new = self._call_one()
        self._start(new)

    def step_aside(self, worker: _Worker) -> None:
        with self._lock:
            new = self._stop_counting(worker)
        self._start(new)

    def step_back(self, worker: _Worker) -> None:
        """There may be more at work than should be now, until one has done its own."""
        with self._lock:
            self._count(worker)

    def pass_over_slow(self) -> None:
        """Others work in the place of those that have been at one piece of work for too long."""
        started = []
        with self._lock:
            before = time.monotonic() - SLOW_SECONDS
            for worker in self._workers:
                if 0.0 < worker.since < before:
                    started.append(self._stop_counting(worker))
        for new in started:
            self._start(new)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for idle in self._idle:
                idle.called.release()

    def _call_one(self) -> _Worker | None:
        """Have one more at work, if one is needed and may be; gives one that is to be started. The lock is held."""
        if not self.waiting or self._at_work >= self._may_work:
            return None
        if self._idle:
            self._at_work += 1
            self._idle.pop().called.release()
            return None
        if len(self._workers) == self._most:
            return None
        self._at_work += 1
        new = _Worker(self)
        self._workers.append(new)
        return new

    def _stop_counting(self, worker: _Worker) -> _Worker | None:
        if not worker.counts:
            return None
        worker.counts = False
        self._at_work -= 1
        return self._call_one()

    def _count(self, worker: _Worker) -> None:
        if not worker.counts:
            worker.counts = True
            self._at_work += 1

    def _start(self, new: _Worker | None) -> None:
        if new is not None:
            Thread(target=self._work, args=(new,), name=self._name, daemon=True).start()

    def _work(self, worker: _Worker) -> None:
        _mine.worker = worker
        while not self._ended:
            work = self._next(worker)
            if work is None:
                worker.called.acquire()
            else:
                _do(work)
                del work

    def _next(self, worker: _Worker) -> _Work | None:
        """The next piece of work; None for one that has to wait until it is called, and who is counted then."""
        with self._lock:
            self._count(worker)
            if self.waiting and self._at_work <= self._may_work:
                worker.since = time.monotonic()
                return self.waiting.popleft()
            worker.since = 0.0
            self._at_work -= 1
            self._idle.append(worker)
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
