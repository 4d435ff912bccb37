"""What a process does for others on the bus: the topics that it serves and the hints that it hears, in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cumulet.bus.contract import Serve
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log

log = Log("bus")
THREADS = 8
"""Questions of a topic that are being answered at a time; the others wait at the broker, where they get too old."""


class Served:
    """A topic, whoever answers it, and the threads for that, so that a slow topic does not hold up another."""

    def __init__(self, topic: str, answer: Serve) -> None:
        self.topic = topic
        self.answer = answer
        self.threads = ThreadPoolExecutor(THREADS, topic)
        self.under_way: set[tuple[str, str]] = set()
        """The questions that are being answered: where the answer is to go, and their ids."""

    def run(self, message: bytes, sender: str) -> tuple[bool, bytes]:
        """Whether it went well, and the answer, or else what went wrong."""
        try:
            return True, self.answer(message, sender)
        except Failure as e:
            return False, str(e).encode()
        except Exception as e:  # noqa: BLE001 - whoever serves outlives any question
            log.exception("a question failed", topic=self.topic)
            return False, f"{self.topic}: {type(e).__name__}: {e}".encode()

    def close(self) -> None:
        """Begin nothing more; what is under way has been waited for as long as is sensible."""
        self.threads.shutdown(wait=False, cancel_futures=True)


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
