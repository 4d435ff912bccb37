"""One connection to RabbitMQ, from its beginning to its end: what is asked over it is answered over it, or not at all.

A channel that the broker closes takes down only what is on it: a topic's own is opened again after a pause, the two
that everything is sent on take the connection with them. All of this runs in the event loop of `amqp`.

aio-pika connects, opens channels and declares queues; what goes over them for each question passes it by and is
given to aiormq, on which it stands (docs/decisions/0007-bus-on-rabbitmq.md).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError, DeliveryError
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from pamqp.commands import Basic

from cumulet.bus import names
from cumulet.bus.contract import Said
from cumulet.bus.serving import Hints, Topic
from cumulet.lib import ids
from cumulet.lib.errors import Failure, Unreachable
from cumulet.lib.log import Log

log = Log("bus")
HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 2.0
GRACE_SECONDS = 10.0
"""How long questions that are being answered hold up the end of a connection."""
RETRY_SECONDS = 1.0
"""Between two tries to have a queue that the broker does not let us have: another process has it, or had it lately."""
TRANSIENT, PERSISTENT = 1, 2
MOST_HINTS = 1000
"""That wait to be sent, or heard; further ones are lost."""
HINT_SECONDS = 1.0
"""An older hint is of no use: the engine has looked by itself."""
PUBLISH_SECONDS = 5.0
PROBE_SECONDS = 3.0
"""Whoever waits for an answer asks so often whether the question is still known."""
GATHER_SECONDS, PAUSE_SECONDS = 0.003, 0.02
"""For how long hints are gathered that go together, and from one message of them to the next: each goes to all of the
control plane, its sender included, who needs it least."""
DEFAULT = ""
"""The exchange from which each queue has what is sent under its name."""
PROBE, LOST, FAILED = "probe", "lost", "failure"
"""The types of a message that asks for a question put before, of an answer that says that it is not known, and of one
that says why there is no answer."""

Hear = Callable[[DeliveredMessage], Awaitable[None]]
Declare = Callable[[AbstractChannel], Awaitable[AbstractQueue]]


class Question(NamedTuple):
    """One that waits for its answer since `asked`; it is cancelled when the connection ends."""

    topic: str
    asked: float
    answered: asyncio.Future[DeliveredMessage]


def cancelled_by_us(e: BaseException) -> bool:
    """Whether this task is to end; aiormq raises the same error when a connection breaks."""
    task = asyncio.current_task()
    return isinstance(e, asyncio.CancelledError) and task is not None and task.cancelling() > 0


class Session:
    """`ended` is set when the connection is of no more use, for the `reason` that is beside it."""

    def __init__(self, connection: AbstractConnection, user: str) -> None:
        self.ended = asyncio.Event()
        self.reason: BaseException | None = None
        self._connection = connection
        self._user = user
        self._questions: dict[str, Question] = {}
        self._consumers: dict[str, asyncio.Task[None]] = {}
        self._hints: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MOST_HINTS)
        self._id = ids.token()
        self._beside = [asyncio.create_task(self._tell_hints()), asyncio.create_task(self._probe())]

    @classmethod
    async def open(cls, url: str, user: str, tls: ssl.SSLContext | None) -> Session:
        """Connect; raises what aio-pika does when that fails."""
        name = f"cumulet {socket.gethostname()} {os.getpid()}"
        connection = aio_pika.Connection(
            make_url(url, heartbeat=HEARTBEAT_SECONDS), ssl_context=tls, client_properties={"connection_name": name}
        )
        session = cls(connection, user)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await session._begin()
        except BaseException:
            await session.close()
            raise
        return session

    async def _begin(self) -> None:
        """The channels to send on, the queue for answers; a host is not allowed to make or bind anything else."""
        self._connection.close_callbacks.add(self._end)
        await self._connection.connect()
        asking = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        telling = await self._connection.channel(publisher_confirms=False)
        for channel in (asking, telling):
            channel.close_callbacks.add(self._end)
        self._answers = await asking.declare_queue(
            names.private_queue("answers", self._user), exclusive=True, auto_delete=True
        )
        if not names.is_host(self._user):
            for name, kind in ((names.REPORTS, "direct"), (names.ANSWERS, "direct"), (names.HINTS, "fanout")):
                await telling.declare_exchange(name, kind, durable=True)
            await telling.declare_exchange(names.EVENTS, "topic", durable=True)
            await self._answers.bind(names.ANSWERS, self._answers.name)
        self._asking, self._telling = await _below(asking), await _below(telling)
        await self._asking.basic_consume(self._answers.name, self._hear_answer, no_ack=True)
        # hosts' queues for orders are not bound to an exchange, and what hosts may send to is one
        self._answering = names.ANSWERS if names.is_host(self._user) else DEFAULT

    def _end(self, _: object, reason: BaseException | None) -> None:
        self.reason = self.reason or reason
        self.ended.set()
        for question in self._questions.values():
            question.answered.cancel()

    async def ask(self, topic: str, message: bytes, timeout: float) -> bytes:
        """The answer; raises `Unreachable` or, when it says so, `Failure`."""
        id, loop = ids.token(), asyncio.get_running_loop()
        question = self._questions[id] = Question(topic, loop.time(), loop.create_future())
        try:
            async with asyncio.timeout(timeout):
                await self._put(topic, id, message, timeout)
                answer = await question.answered
        except TimeoutError:
            raise Unreachable(f"{topic}: no answer within {timeout:g} s") from None
        except DeliveryError:
            raise Unreachable(f"nobody serves {topic}") from None
        except (AMQPError, OSError, RuntimeError, asyncio.CancelledError) as e:
            if cancelled_by_us(e):
                raise
            raise Unreachable(f"{topic}: the connection is lost") from e
        finally:
            del self._questions[id]
        kind = answer.header.properties.message_type
        if kind == LOST:
            raise Unreachable(f"{topic}: the answer was lost; who was asked has lost the connection, or was restarted")
        if kind == FAILED:
            raise Failure(answer.body.decode(errors="replace"))
        return answer.body

    async def publish(self, routing_key: str, message: bytes) -> None:
        """Returns when the broker has it on its disk, or has nobody who wants it; raises `Unreachable`."""
        said = Basic.Properties(content_type="application/json", user_id=self._user, delivery_mode=PERSISTENT)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._ready(routing_key)
                await self._asking.basic_publish(
                    message, exchange=names.EVENTS, routing_key=routing_key, properties=said, wait=False
                )
        except TimeoutError:
            raise Unreachable(f"{routing_key}: RabbitMQ does not confirm") from None
        except (AMQPError, OSError, RuntimeError, asyncio.CancelledError) as e:
            if cancelled_by_us(e):
                raise
            raise Unreachable(f"{routing_key}: the connection is lost") from e

    async def _ready(self, what: str) -> None:
        """Not while the broker is short of memory: it would come late."""
        transport = self._connection.transport
        if transport is None or self.ended.is_set():
            raise Unreachable(f"{what}: the connection is lost")
        await transport.ready()

    async def _probe(self) -> None:
        """Learn early that nobody is at work on a question any more; only a topic of one process can tell."""
        while True:
            await asyncio.sleep(PROBE_SECONDS / 2)
            asked_before = asyncio.get_running_loop().time() - PROBE_SECONDS
            for id, question in list(self._questions.items()):
                if "." in question.topic and question.asked < asked_before and not question.answered.done():
                    try:
                        await self._put(question.topic, id, b"", PROBE_SECONDS, PROBE)
                    except DeliveryError as e:
                        if not question.answered.done():
                            question.answered.set_exception(e)
                    except (AMQPError, OSError, RuntimeError, Unreachable) as e:
                        log.debug("a question was not asked for", topic=question.topic, error=e)

    async def _put(self, topic: str, id: str, message: bytes, timeout: float, type: str | None = None) -> None:
        await self._ready(topic)
        await self._asking.basic_publish(
            message,
            exchange=DEFAULT if "." in topic else names.REPORTS,
            routing_key=topic,
            properties=Basic.Properties(
                message_type=type,
                correlation_id=id,
                reply_to=self._answers.name,
                user_id=self._user,
                expiration=_milliseconds(timeout),
                delivery_mode=TRANSIENT,
            ),
            mandatory=True,
            wait=False,
        )

    async def _hear_answer(self, message: DeliveredMessage) -> None:
        said = message.header.properties
        question = self._questions.get(said.correlation_id or "")
        if question is None or question.answered.done():
            log.debug("an answer came too late", sender=said.user_id)
        elif not said.user_id or not names.may_answer(said.user_id, question.topic):
            log.warning("refused an answer", topic=question.topic, sender=said.user_id)
        else:
            question.answered.set_result(message)

    async def serve(self, served: Topic) -> None:
        """Be heard under this topic; a topic of a host is one connection's alone."""

        async def declare(channel: AbstractChannel) -> AbstractQueue:
            if "." in served.topic:
                return await channel.declare_queue(served.topic, exclusive=True, auto_delete=True)
            queue = await channel.declare_queue(served.topic, auto_delete=True)
            await queue.bind(names.REPORTS, served.topic)
            return queue

        await self._consume(served.topic, declare, lambda message: self._answer(served, message), served.at_a_time)

    async def leave(self, topic: str) -> None:
        consumer = self._consumers.pop(topic, None)
        if consumer is not None:
            consumer.cancel()
            await asyncio.wait([consumer], timeout=GRACE_SECONDS + CLOSE_SECONDS)

    async def _answer(self, served: Topic, message: DeliveredMessage) -> None:
        said = message.header.properties
        sender, to = said.user_id or "", said.reply_to or ""
        if not sender or not names.is_answer_queue(to, sender):
            log.warning("refused a question", topic=served.topic, sender=sender, answer_to=to)
            return
        question = (to, said.correlation_id or "")
        if said.message_type == PROBE:
            if question not in served.under_way:
                await self._reply(question, b"", LOST)
            return
        served.under_way.add(question)
        try:
            good, answer = await served.answered(Said(message.body, sender))
            await self._reply(question, answer, None if good else FAILED)
        finally:
            served.under_way.discard(question)

    async def _reply(self, question: tuple[str, str], answer: bytes, type: str | None) -> None:
        to, id = question
        said = Basic.Properties(correlation_id=id, user_id=self._user, message_type=type, delivery_mode=TRANSIENT)
        await self._telling.basic_publish(answer, exchange=self._answering, routing_key=to, properties=said, wait=False)

    def hint(self, kind: str, id: str) -> None:
        """Have it sent soon, if not too many wait already."""
        if not self._hints.full():
            self._hints.put_nowait((kind, id))

    async def _tell_hints(self) -> None:
        """Those of a moment in one message, each once."""
        while True:
            hints = {await self._hints.get(): None}
            await asyncio.sleep(GATHER_SECONDS)
            while not self._hints.empty():
                hints[self._hints.get_nowait()] = None
            said = Basic.Properties(
                app_id=self._id,
                user_id=self._user,
                expiration=_milliseconds(HINT_SECONDS),
                delivery_mode=TRANSIENT,
            )
            try:
                await self._telling.basic_publish(
                    msgspec.json.encode(list(hints)), exchange=names.HINTS, properties=said, wait=False
                )
            except (AMQPError, OSError, RuntimeError) as e:
                log.debug("hints were lost", error=e)
            await asyncio.sleep(PAUSE_SECONDS)

    async def listen(self, hints: Hints) -> None:
        """Hear the hints of others; only the control plane may."""

        async def declare(channel: AbstractChannel) -> AbstractQueue:
            name = names.private_queue("hints", self._user)
            queue = await channel.declare_queue(
                name, exclusive=True, auto_delete=True, arguments={"x-max-length": MOST_HINTS}
            )
            await queue.bind(names.HINTS)
            return queue

        async def hear(message: DeliveredMessage) -> None:
            if message.header.properties.app_id != self._id:
                hints_given = msgspec.json.decode(message.body, type=list[tuple[str, str]])
                await asyncio.get_running_loop().run_in_executor(hints.threads, hints.hear_all, hints_given)

        await self._consume("hints", declare, hear, 1)

    async def _consume(self, name: str, declare: Declare, hear: Hear, at_a_time: int) -> None:
        """Have a queue's messages until `leave` or the end; returns after the first try to."""
        if name not in self._consumers:
            tried = asyncio.Event()
            self._consumers[name] = asyncio.create_task(self._keep_consuming(name, declare, hear, at_a_time, tried))
            await tried.wait()

    async def _keep_consuming(
        self, name: str, declare: Declare, hear: Hear, at_a_time: int, tried: asyncio.Event
    ) -> None:
        say = log.warning
        while not self.ended.is_set():
            try:
                await self._consume_until_gone(declare, hear, at_a_time, tried)
            except (Exception, asyncio.CancelledError) as e:  # noqa: BLE001 - whatever it is, it is tried again
                if cancelled_by_us(e):
                    raise
                say("cannot be heard for now", topic=name, error=e)
                say = log.debug
            finally:
                tried.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _consume_until_gone(self, declare: Declare, hear: Hear, at_a_time: int, tried: asyncio.Event) -> None:
        gone, busy = asyncio.Event(), set[asyncio.Task[None] | None]()

        async def hear_one(message: DeliveredMessage) -> None:
            await _hear(hear, below, message, busy)

        channel = await self._connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(lambda *_: gone.set())
        below = await _below(channel)
        below.on_consumer_cancel_callbacks.add(lambda _: gone.set())
        await channel.set_qos(at_a_time)
        queue = await declare(channel)
        consuming = await below.basic_consume(queue.name, hear_one)
        tried.set()
        try:
            await gone.wait()
        finally:
            await _wind_up(channel, below, consuming.consumer_tag or "", busy)

    async def close(self) -> None:
        """Take no more, let what is being answered be answered, and disconnect."""
        await asyncio.gather(*(self.leave(name) for name in list(self._consumers)))
        for task in self._beside:
            task.cancel()
        with suppress(AMQPError, OSError, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close()


async def _below(channel: AbstractChannel) -> Channel:
    found = await channel.get_underlay_channel()
    assert isinstance(found, Channel)
    return found


def _milliseconds(seconds: float) -> str:
    """As AMQP has the time that a message lives."""
    return str(int(seconds * 1000))


async def _hear(hear: Hear, channel: Channel, message: DeliveredMessage, busy: set[asyncio.Task[None] | None]) -> None:
    """One message; it is acknowledged at the end, so that no more are on their way than are being heard."""
    task = asyncio.current_task()
    busy.add(task)
    try:
        await hear(message)
        await channel.basic_ack(message.delivery_tag or 0, wait=False)
    except (AMQPError, OSError, RuntimeError, msgspec.DecodeError) as e:
        log.debug("a message was lost", error=e)
    finally:
        busy.discard(task)


async def _wind_up(channel: AbstractChannel, below: Channel, tag: str, busy: set[asyncio.Task[None] | None]) -> None:
    """Take no more from a queue, and close its channel when what was taken is done."""
    with suppress(AMQPError, OSError, RuntimeError):
        if not channel.is_closed:
            await below.basic_cancel(tag)
            if busy:
                await asyncio.wait(set(filter(None, busy)), timeout=GRACE_SECONDS)
            await channel.close()
