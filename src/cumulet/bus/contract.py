"""The bus: questions with a time-out, and hints. It carries no truth: any message may vanish, repeat or come late."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cumulet.lib.errors import Failure

Serve = Callable[[bytes, str], bytes]
"""Answers a message; the second is its sender as the broker vouches for it, "" when that is this process itself."""


class Said(NamedTuple):
    """What `Serve` has as its arguments."""

    message: bytes
    sender: str


ServeTogether = Callable[[list[Said]], list[bytes | Failure]]
"""Answers several messages at once: each has its answer, or what went wrong with it, in the same place."""


class Bus(Protocol):
    """What the in-process bus and AMQP both promise. Topics: `compute.HOST`, `network.HOST`, `scheduler`, …"""

    def start(self) -> None:
        """Be connected; where that does not succeed at once, it goes on being tried until `stop`."""

    def stop(self) -> None:
        """Take no more questions, and let go of the connection once those under way are answered."""

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        """Ask whoever serves `topic`; raises `Unreachable` when nobody does, or no answer comes in time.

        A `Failure` of whoever answers is one here too.
        """

    def serve(self, topic: str, answer: Serve) -> None:
        """Answer this topic's questions from now on, in place of who did before in this process.

        `answer` is called from several threads.
        """

    def serve_together(self, topic: str, answer: ServeTogether) -> None:
        """The same for questions that can wait for a moment: those that come in it are answered together."""

    def leave(self, topic: str) -> None:
        """Stop answering a topic."""

    def hint(self, kind: str, id: str) -> None:
        """Say that (kind, id) is worth a look; nobody needs to hear it."""

    def publish(self, routing_key: str, message: bytes) -> None:
        """Tell those outside who want to know; raises `Unreachable` unless the broker has confirmed that it has it.

        Who reads it is the broker's operator's business. The in-process bus has no broker, and always raises.
        """

    def on_hint(self, listen: Callable[[str, str], None]) -> None:
        """Have hints from now on."""
