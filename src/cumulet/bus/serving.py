"""What a process does for others on the bus: the topics that it serves and the hints that it hears, in threads."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cumulet.bus.contract import Said, Serve, ServeTogether
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log

log = Log("bus")
THREADS = 8
"""Questions of a topic that are being answered at a time; the others wait at the broker, where they get too old."""
TOGETHER_SECONDS = 0.25
TOGETHER = 100
"""For so long, and so many at most, questions are gathered that are answered together."""

Answered = tuple[bool, bytes]
"""Whether it went well, and the answer, or else what went wrong."""


class Topic(ABC):
    """One that is served, with threads of its own, so that a slow topic does not hold up another."""

    at_a_time = THREADS

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.threads = ThreadPoolExecutor(THREADS, topic)
        self.under_way: set[tuple[str, str]] = set()
        """The questions that are being answered: where the answer is to go, and their ids."""

    @abstractmethod
    async def answered(self, said: Said) -> Answered:
        """In the event loop, which goes on meanwhile."""

    def _failed(self, e: Exception) -> Answered:
        if isinstance(e, Failure):
            return False, str(e).encode()
        log.exception("a question failed", topic=self.topic)
        return False, f"{self.topic}: {type(e).__name__}: {e}".encode()

    def close(self) -> None:
        """Begin nothing more; what is under way has been waited for as long as is sensible."""
        self.threads.shutdown(wait=False, cancel_futures=True)


class Served(Topic):
    """Whose questions are answered one by one."""

    def __init__(self, topic: str, answer: Serve) -> None:
        super().__init__(topic)
        self.answer = answer

    async def answered(self, said: Said) -> Answered:
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._run, said)

    def _run(self, said: Said) -> Answered:
        try:
            return True, self.answer(*said)
        except Exception as e:  # noqa: BLE001 - whoever serves outlives any question
            return self._failed(e)


class Waiting(NamedTuple):
    """A question that is gathered with others."""

    said: Said
    answered: asyncio.Future[Answered]


class ServedTogether(Topic):
    """Whose questions of a moment are answered at once."""

    at_a_time = TOGETHER

    def __init__(self, topic: str, answer: ServeTogether) -> None:
        super().__init__(topic)
        self.answer = answer
        self._waiting: list[Waiting] = []
        self._answering: set[asyncio.Task[None]] = set()

    async def answered(self, said: Said) -> Answered:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(TOGETHER_SECONDS, self._begin)
        one = Waiting(said, loop.create_future())
        self._waiting.append(one)
        return await one.answered

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        task = asyncio.create_task(self._answer(waiting))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, waiting: list[Waiting]) -> None:
        work = asyncio.get_running_loop().run_in_executor(self.threads, self._run, [one.said for one in waiting])
        for one, answered in zip(waiting, await work, strict=True):
            if not one.answered.done():
                one.answered.set_result(answered)

    def _run(self, said: list[Said]) -> list[Answered]:
        try:
            return [self._failed(e) if isinstance(e, Failure) else (True, e) for e in self.answer(said)]
        except Exception as e:  # noqa: BLE001 - whoever serves outlives any question
            return [self._failed(e)] * len(said)


class Hints:
    """Who hears hints; those from elsewhere one after the other, in a thread of their own."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str, str], None]] = []
        self.threads = ThreadPoolExecutor(1, "hints")

    def hear(self, kind: str, id: str) -> None:
        for listen in self.listeners:
            try:
                listen(kind, id)
            except Exception:  # noqa: BLE001 - a hint may vanish; whoever gives it does not suffer for that
                log.exception("a hint was lost", kind=kind, id=id)

    def hear_all(self, hints: list[tuple[str, str]]) -> None:
        for kind, id in hints:
            self.hear(kind, id)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
