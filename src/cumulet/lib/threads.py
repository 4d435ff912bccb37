"""Threads that an event loop has its blocking work done by."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple


class Threads:
    """At most `most` of them, made as they are needed. They end with this, or with the process.

    An executor of the standard library does the same for three times as much processor time: it has futures of its
    own, with a lock each, which are then chained to those of the loop.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._shared = _Shared()
        weakref.finalize(self, self._shared.end)

    def run(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """What the function gives or raises, in a future of the running loop. It runs to its end, awaited or not."""
        future = asyncio.get_running_loop().create_future()
        if self._shared.take(_Work(future, function, arguments), self._most):
            Thread(target=self._shared.work, name=self._name, daemon=True).start()
        return future


class _Work(NamedTuple):
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class _Shared:
    """What the threads know, so that they do not keep alive what they belong to."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = Lock()
        self._made = 0
        self._idle = 0

    def take(self, work: _Work, most: int) -> bool:
        """Whether a thread more is to be made for it."""
        self._waiting.put(work)
        with self._lock:
            if self._idle:
                self._idle -= 1
                return False
            if self._made == most:
                return False
            self._made += 1
            return True

    def work(self) -> None:
        while self._do(self._waiting.get()):
            with self._lock:
                self._idle += 1

    def end(self) -> None:
        for _ in range(self._made):
            self._waiting.put(None)

    @staticmethod
    def _do(work: _Work | None) -> bool:
        if work is None:
            return False
        try:
            result, error = work.function(*work.arguments), None
        except BaseException as e:  # noqa: BLE001 - whoever awaits it is told
            result, error = None, e
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            work.future.get_loop().call_soon_threadsafe(_tell, work.future, result, error)
        return True


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
