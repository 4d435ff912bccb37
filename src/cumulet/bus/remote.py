"""A driver at the other end of the bus: the same verbs, as questions. Orders carry the lease's number."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cumulet.bus.contract import Bus
from cumulet.lib import crash
from cumulet.lib.errors import Failure, Impossible, Later, Superseded
from cumulet.lib.seen import Seen

Verb = Literal["ensure", "remove", "observe", "look", "ask"]


class Order(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What goes to an agent; `spec` is a document of `drivers.specs`."""

    verb: Verb
    epoch: int = 0
    id: str = ""
    spec: msgspec.Raw = msgspec.Raw(b"null")
    question: str = ""


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What comes back: a result, or one of the ways not to succeed."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Literal["", "failure", "impossible", "later", "superseded"] = ""
    code: str = ""
    message: str = ""
    seconds: float = 0.0
    """Of `later`: when to ask again."""


class Remote:
    """The driver that serves `topic`, with the lease's number on each order."""

    def __init__(self, bus: Bus, topic: str, epoch: int = 0, timeout: float = 60.0) -> None:
        self._bus = bus
        self._topic = topic
        self._epoch = epoch
        self._timeout = timeout

    def ensure(self, spec: Any) -> None:
        self._order(Order(verb="ensure", epoch=self._epoch, id=spec.id, spec=msgspec.Raw(msgspec.json.encode(spec))))

    def remove(self, id: str) -> None:
        self._order(Order(verb="remove", epoch=self._epoch, id=id))

    def observe(self) -> list[Seen]:
        return msgspec.json.decode(self._ask(Order(verb="observe")), type=list[Seen])

    def look(self, id: str) -> Seen | None:
        return msgspec.json.decode(self._ask(Order(verb="look", id=id)), type=Seen | None)

    def ask(self, question: str, id: str) -> bytes:
        """A read-only question of this driver's own, such as `console`."""
        return msgspec.json.decode(self._ask(Order(verb="ask", question=question, id=id)), type=bytes)

    def _order(self, order: Order) -> None:
        crash.point(f"{order.verb}.before")
        self._ask(order)
        crash.point(f"{order.verb}.after")

    def _ask(self, order: Order) -> msgspec.Raw:
        answer = msgspec.json.decode(
            self._bus.call(self._topic, msgspec.json.encode(order), self._timeout), type=Answer
        )
        if answer.error == "superseded":
            raise Superseded(answer.message)
        if answer.error == "impossible":
            raise Impossible(answer.code, answer.message)
        if answer.error == "later":
            raise Later(answer.seconds, answer.message)
        if answer.error:
            raise Failure(answer.message)
        return answer.result
