"""A real bus between the two ends of one process: when one end dies, so does the other."""

from __future__ import annotations

from collections.abc import Callable

from cumulet.bus.contract import Bus, Serve
from cumulet.lib.crash import Died
from cumulet.lib.errors import Failure


class OneFate:
    """The death of whoever answers, in a thread of the bus, is that of whoever asks as well."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._died = False

    def start(self) -> None:
        self._bus.start()

    def stop(self) -> None:
        self._bus.stop()

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        try:
            return self._bus.call(topic, message, timeout)
        except Failure:
            if self._died:
                raise Died from None
            raise

    def serve(self, topic: str, answer: Serve) -> None:
        def answer_or_die(message: bytes, sender: str) -> bytes:
            try:
                return answer(message, sender)
            except Died:
                self._died = True
                raise Failure("died") from None

        self._bus.serve(topic, answer_or_die)

    def leave(self, topic: str) -> None:
        self._bus.leave(topic)

    def hint(self, kind: str, id: str) -> None:
        self._bus.hint(kind, id)

    def publish(self, routing_key: str, message: bytes) -> None:
        self._bus.publish(routing_key, message)

    def on_hint(self, listen: Callable[[str, str], None]) -> None:
        self._bus.on_hint(listen)
