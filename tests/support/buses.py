"""Both kinds of bus, each with the control plane's end and the host h1's; and a wait for what comes over a bus."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import aio_pika
import pytest
from support.rabbitmq import VirtualHost

from cumulet.bus import names
from cumulet.bus.amqp import AmqpBus
from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus

KINDS = ("memory", "amqp")
PATIENCE = 60.0
"""Far longer than anything on a bus takes."""


class Ends(NamedTuple):
    """In one process both are the same."""

    control: Bus
    host: Bus


@contextmanager
def both_ends(kind: str, request: pytest.FixtureRequest) -> Iterator[Ends]:
    """The ends of a bus of this kind, connected as long as the block lasts."""
    if kind == "memory":
        bus = MemoryBus()
        yield Ends(bus, bus)
        return
    vhost: VirtualHost = request.getfixturevalue("vhost")
    with connected(vhost.url) as control, connected(vhost.host("h1")) as host:
        yield Ends(control, host)


@contextmanager
def connected(url: str, ca_file: str = "") -> Iterator[AmqpBus]:
    bus = AmqpBus(url, ca_file)
    bus.start()
    try:
        yield bus
    finally:
        bus.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def taken(url: str, key: str, act: Any) -> list[Any]:
    """What reaches a queue that is bound with this key while `act` is done."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        bound = await channel.declare_queue("a-tenant", durable=True)
        await bound.bind(names.EVENTS, key)
        await asyncio.to_thread(act)
        messages = []
        while (message := await bound.get(fail=False)) is not None:
            await message.ack()
            messages.append(json.loads(message.body))
        return messages
