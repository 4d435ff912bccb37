"""A real bus between the two ends of one process: when one end dies, so does the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from support.between import Between

from cumulet.bus.contract import Bus, Serve, ServeTogether
from cumulet.lib.crash import Died
from cumulet.lib.errors import Failure

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class OneFate(Between):
    """The death of whoever answers, in a thread of the bus, is that of whoever asks as well."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._died = False

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        try:
            return super().call(topic, message, timeout)
        except Failure:
            if self._died:
                raise Died from None
            raise

    def serve(self, topic: str, answer: Serve) -> None:
        super().serve(topic, self._or_die(answer))

    def serve_together(self, topic: str, answer: ServeTogether) -> None:
        super().serve_together(topic, self._or_die(answer))

    def _or_die(self, answer: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
        def answer_or_die(*args: Asked.args, **named: Asked.kwargs) -> Answer:
            try:
                return answer(*args, **named)
            except Died:
                self._died = True
                raise Failure("died") from None

        return answer_or_die
