"""A bus that loses questions, loses answers, asks twice, and does an old order again later: all by its seed."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
from support.between import Between

from cumulet.bus.contract import Bus
from cumulet.bus.remote import Answer
from cumulet.engine.engine import LAST_EPOCH
from cumulet.lib.errors import Unreachable

SHARE = 0.12
"""Of the questions, for each kind of harm."""


class BadBus(Between):
    """Harms questions on their way to `bus` while `bad`; counts each kind of harm."""

    def __init__(self, bus: Bus, seed: int) -> None:
        super().__init__(bus)
        self.bad = True
        self.harm: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._old: list[tuple[str, bytes]] = []
        self._ordered: dict[tuple[str, str, int], bytes] = {}
        self.alike: set[tuple[str, str, int]] = set()
        """Who was given two orders by one number: the older one, done late, is not refused after the newer."""

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        self._note_number(topic, message)
        if not self.bad:
            return self._bus.call(topic, message, timeout)
        self._do_an_old_one_again(timeout)
        chance = self._random.random()
        if chance < SHARE:
            raise self._lost("question", topic)
        if chance < 2 * SHARE:
            self._old.append((topic, message))
            raise self._lost("late question", topic)
        answer = self._bus.call(topic, message, timeout)
        if chance < 3 * SHARE:
            raise self._lost("answer", topic)
        if chance < 4 * SHARE:
            self.harm["asked twice"] += 1
            return self._bus.call(topic, message, timeout)
        self._old.append((topic, message))
        return answer

    def _note_number(self, topic: str, message: bytes) -> None:
        asked = msgspec.json.decode(message)
        if asked.get("verb") in ("ensure", "remove") and asked["epoch"] < LAST_EPOCH:
            of = topic, asked["id"], asked["epoch"]
            if self._ordered.setdefault(of, message) != message:
                self.alike.add(of)

    def _lost(self, what: str, topic: str) -> Unreachable:
        self.harm[f"lost {what}"] += 1
        return Unreachable(f"{topic}: no answer")

    def _do_an_old_one_again(self, timeout: float) -> None:
        if self._old and self._random.random() < 2 * SHARE:
            topic, message = self._old.pop(self._random.randrange(len(self._old)))
            answer = msgspec.json.decode(self._bus.call(topic, message, timeout), type=Answer)
            self.harm[f"late, {answer.error or 'done'}"] += 1
