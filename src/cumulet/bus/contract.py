"""The bus: questions with a time-out, and hints. It carries no truth: any message may vanish, repeat or come late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Serve = Callable[[bytes], bytes]


class Bus(Protocol):
    """What the in-process bus and AMQP both promise. Topics: `compute.HOST`, `network.HOST`, `scheduler`, …"""

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        """Ask whoever serves `topic`; raises `Unreachable` when nobody does, or no answer comes in time."""

    def serve(self, topic: str, answer: Serve) -> None:
        """Answer this topic's questions from now on; `answer` is called from several threads."""

    def hint(self, kind: str, id: str) -> None:
        """Say that (kind, id) is worth a look; nobody needs to hear it."""

    def on_hint(self, listen: Callable[[str, str], None]) -> None:
        """Have hints from now on."""
