"""The bus: round trips of an order's size, one at a time and 64 at a time, within a process and over RabbitMQ.

Whoever answers is a process of its own: `python -m bench.bus bus|bare URL`. Beside it: the same exchange of messages
by aio-pika alone, in one event loop, without users, threads, time-outs or anybody checking who has answered.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from support.rabbitmq import RabbitMQ

from bench.figures import Figure, median
from cumulet.bus.amqp import AmqpBus
from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus

TOPIC = "compute.h1"
ORDER = b"x" * 500
AT_A_TIME = 64
ONE_BY_ONE, TOGETHER = 300, 1280
"""Round trips of a round."""


def measure(rounds: int) -> list[Figure]:
    """All three in turns, so that each has its share of whatever else the machine does."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as directory, _rabbitmq(Path(directory)) as rabbitmq:
        vhost = rabbitmq.make()
        with _answering("bus", vhost.host("h1")), _answering("bare", vhost.url):
            for _ in range(rounds):
                for name, rates in (
                    ("within a process", _bus(_memory())),
                    ("on RabbitMQ", _over_rabbitmq(vhost.url)),
                    ("aio-pika alone", asyncio.run(_bare(vhost.url))),
                ):
                    for how, rate in zip(("one at a time", f"{AT_A_TIME} at a time"), rates, strict=True):
                        found.setdefault(f"questions {name}, {how}", []).append(rate)
    return [Figure(name, median(rates), "/s", note=f"median of {rounds}") for name, rates in found.items()]


@contextmanager
def _rabbitmq(directory: Path) -> Iterator[RabbitMQ]:
    rabbitmq = RabbitMQ(directory)
    try:
        rabbitmq.start()
        yield rabbitmq
    finally:
        rabbitmq.kill()


@contextmanager
def _answering(kind: str, url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.bus", kind, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def _memory() -> Bus:
    bus = MemoryBus()
    bus.serve(TOPIC, lambda message, sender: message)
    return bus


def _over_rabbitmq(url: str) -> tuple[float, float]:
    bus = AmqpBus(url)
    bus.start()
    try:
        return _bus(bus)
    finally:
        bus.stop()


def _bus(bus: Bus) -> tuple[float, float]:
    """Round trips a second: of one thread, and of 64."""

    def ask(times: int) -> None:
        for _ in range(times):
            bus.call(TOPIC, ORDER)

    ask(20)
    began = time.perf_counter()
    ask(ONE_BY_ONE)
    between = time.perf_counter()
    with ThreadPoolExecutor(AT_A_TIME) as callers:
        list(callers.map(ask, [TOGETHER // AT_A_TIME] * AT_A_TIME))
    return ONE_BY_ONE / (between - began), TOGETHER / (time.perf_counter() - between)


async def _bare(url: str) -> tuple[float, float]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        answers = await channel.declare_queue(exclusive=True)
        waiting: dict[str, asyncio.Future[None]] = {}

        async def hear(message: AbstractIncomingMessage) -> None:
            waiting.pop(message.correlation_id or "").set_result(None)

        await answers.consume(hear, no_ack=True)

        async def ask(times: int) -> None:
            for _ in range(times):
                id = uuid4().hex
                waiting[id] = asyncio.get_running_loop().create_future()
                answered = waiting[id]
                question = aio_pika.Message(ORDER, correlation_id=id, reply_to=answers.name)
                await channel.default_exchange.publish(question, "bare")
                await answered

        return await _timed(ask)


async def _timed(ask: Callable[[int], Awaitable[None]]) -> tuple[float, float]:
    await ask(20)
    began = time.perf_counter()
    await ask(ONE_BY_ONE)
    between = time.perf_counter()
    await asyncio.gather(*(ask(TOGETHER // AT_A_TIME) for _ in range(AT_A_TIME)))
    return ONE_BY_ONE / (between - began), TOGETHER / (time.perf_counter() - between)


def _answer_on_a_bus(url: str) -> None:
    bus = AmqpBus(url)
    bus.start()
    bus.serve(TOPIC, lambda message, sender: message)
    print("ready", flush=True)
    threading.Event().wait()


async def _answer_bare(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(AT_A_TIME)
        queue = await channel.declare_queue("bare", exclusive=True)

        async def hear(message: AbstractIncomingMessage) -> None:
            answer = aio_pika.Message(message.body, correlation_id=message.correlation_id)
            await channel.default_exchange.publish(answer, message.reply_to or "")
            await message.ack()

        await queue.consume(hear)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    kind, place = sys.argv[1:]
    _answer_on_a_bus(place) if kind == "bus" else asyncio.run(_answer_bare(place))
