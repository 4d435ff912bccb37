"""A bus in front of another one: what a test's bus does not do its own way, the other does."""

from __future__ import annotations

from collections.abc import Callable

from cumulet.bus.contract import Bus, Serve, ServeTogether


class Between:
    """Passes everything on."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def start(self) -> None:
        self._bus.start()

    def stop(self) -> None:
        self._bus.stop()

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        return self._bus.call(topic, message, timeout)

    def serve(self, topic: str, answer: Serve) -> None:
        self._bus.serve(topic, answer)

    def serve_together(self, topic: str, answer: ServeTogether) -> None:
        self._bus.serve_together(topic, answer)

    def leave(self, topic: str) -> None:
        self._bus.leave(topic)

    def hint(self, kind: str, id: str) -> None:
        self._bus.hint(kind, id)

    def publish(self, routing_key: str, message: bytes) -> None:
        self._bus.publish(routing_key, message)

    def on_hint(self, listen: Callable[[str, str], None]) -> None:
        self._bus.on_hint(listen)
