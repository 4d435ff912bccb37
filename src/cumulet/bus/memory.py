"""The bus within one process: a question is a function call, a hint another."""

from __future__ import annotations

from collections.abc import Callable

from cumulet.bus.contract import Said, Serve, ServeTogether
from cumulet.lib.errors import Failure, Unreachable
from cumulet.lib.log import Log

log = Log("bus")


class MemoryBus:
    """Bytes go in and out as on a real bus, so that nothing depends on sharing an object."""

    def __init__(self) -> None:
        self._topics: dict[str, Serve] = {}
        self._listeners: list[Callable[[str, str], None]] = []

    def start(self) -> None:
        """There is nothing to connect to."""

    def stop(self) -> None:
        """Nor to let go of."""

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        answer = self._topics.get(topic)
        if answer is None:
            raise Unreachable(f"nobody serves {topic}")
        return answer(message, "")

    def serve(self, topic: str, answer: Serve) -> None:
        self._topics[topic] = answer

    def serve_together(self, topic: str, answer: ServeTogether) -> None:
        """Each by itself: whoever asks is waiting in this thread."""

        def answer_one(message: bytes, sender: str) -> bytes:
            answered = answer([Said(message, sender)])[0]
            if isinstance(answered, Failure):
                raise answered
            return answered

        self.serve(topic, answer_one)

    def leave(self, topic: str) -> None:
        self._topics.pop(topic, None)

    def hint(self, kind: str, id: str) -> None:
        for listen in self._listeners:
            try:
                listen(kind, id)
            except Exception:  # noqa: BLE001 - a hint may vanish; whoever gives it does not suffer for that
                log.exception("a hint was lost", kind=kind, id=id)

    def publish(self, routing_key: str, message: bytes) -> None:
        raise Unreachable(f"{routing_key}: this cloud has no broker, see bus_url")

    def on_hint(self, listen: Callable[[str, str], None]) -> None:
        self._listeners.append(listen)
