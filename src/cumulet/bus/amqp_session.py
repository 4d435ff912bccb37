"""One connection to RabbitMQ, from its beginning to its end: what is asked over it is answered over it, or not at all.

A channel that the broker closes takes down only what is on it: a topic's own is opened again after a pause, the two
that everything is sent on take the connection with them. All of this runs in the event loop of `amqp`.
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
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError, DeliveryError

from cumulet.bus import names
from cumulet.bus.serving import THREADS, Hints, Served
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
MOST_HINTS = 1000
"""That wait to be sent, or heard; further ones are lost."""
HINT_SECONDS = 1.0
"""An older hint is of no use: the engine has looked by itself."""
PUBLISH_SECONDS = 5.0
PROBE_SECONDS = 3.0
"""Whoever waits for an answer asks so often whether the question is still known."""
PROBE, LOST, FAILED = "probe", "lost", "failure"
"""The types of a message that asks for a question put before, of an answer that says that it is not known, and of one
that says why there is no answer."""

Hear = Callable[[AbstractIncomingMessage], Awaitable[None]]
Declare = Callable[[AbstractChannel], Awaitable[AbstractQueue]]


class Question(NamedTuple):
    """One that waits for its answer; it is cancelled when the connection ends."""

    topic: str
    answered: asyncio.Future[AbstractIncomingMessage]


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
        self._teller = asyncio.create_task(self._tell_hints())

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
        await self._answers.consume(self._hear_answer, no_ack=True)
        self._to_hosts = asking.default_exchange
        self._to_all = await asking.get_exchange(names.REPORTS, ensure=False)
        self._to_outside = await asking.get_exchange(names.EVENTS, ensure=False)
        self._hinting = await telling.get_exchange(names.HINTS, ensure=False)
        self._answering: AbstractExchange = telling.default_exchange  # reaches hosts' queues, which are not bound
        if names.is_host(self._user):
            self._answering = await telling.get_exchange(names.ANSWERS, ensure=False)

    def _end(self, _: object, reason: BaseException | None) -> None:
        self.reason = self.reason or reason
        self.ended.set()
        for question in self._questions.values():
            question.answered.cancel()

    async def ask(self, topic: str, message: bytes, timeout: float) -> bytes:
        """The answer; raises `Unreachable` or, when it says so, `Failure`."""
        id = ids.token()
        question = self._questions[id] = Question(topic, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(timeout):
                await self._put(topic, id, message, timeout)
                answer = await self._answer_to(question, id)
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
        if answer.type == LOST:
            raise Unreachable(f"{topic}: the answer was lost; who was asked has lost the connection, or was restarted")
        if answer.type == FAILED:
            raise Failure(answer.body.decode(errors="replace"))
        return answer.body

    async def publish(self, routing_key: str, message: bytes) -> None:
        """Returns when the broker has it on its disk, or has nobody who wants it; raises `Unreachable`."""
        transport = self._connection.transport
        if transport is None or self.ended.is_set():
            raise Unreachable(f"{routing_key}: the connection is lost")
        said = aio_pika.Message(
            message, content_type="application/json", user_id=self._user, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await transport.ready()
                await self._to_outside.publish(said, routing_key=routing_key, mandatory=False)
        except TimeoutError:
            raise Unreachable(f"{routing_key}: RabbitMQ does not confirm") from None
        except (AMQPError, OSError, RuntimeError, asyncio.CancelledError) as e:
            if cancelled_by_us(e):
                raise
            raise Unreachable(f"{routing_key}: the connection is lost") from e

    async def _answer_to(self, question: Question, id: str) -> AbstractIncomingMessage:
        """Wait, and learn early that nobody is at work on it any more; only a topic of one process can tell."""
        probed = "." in question.topic
        while not (await asyncio.wait([question.answered], timeout=PROBE_SECONDS if probed else None))[0]:
            await self._put(question.topic, id, b"", PROBE_SECONDS, PROBE)
        return question.answered.result()

    async def _put(self, topic: str, id: str, message: bytes, timeout: float, type: str | None = None) -> None:
        transport = self._connection.transport
        if transport is None or self.ended.is_set():
            raise Unreachable(f"{topic}: the connection is lost")
        await transport.ready()  # not while the broker is short of memory: it would come late
        exchange = self._to_hosts if "." in topic else self._to_all
        await exchange.publish(
            aio_pika.Message(
                message,
                type=type,
                correlation_id=id,
                reply_to=self._answers.name,
                user_id=self._user,
                expiration=timeout,
            ),
            routing_key=topic,
            mandatory=True,
        )

    async def _hear_answer(self, message: AbstractIncomingMessage) -> None:
        question = self._questions.get(message.correlation_id or "")
        if question is None or question.answered.done():
            log.debug("an answer came too late", sender=message.user_id)
        elif not message.user_id or not names.may_answer(message.user_id, question.topic):
            log.warning("refused an answer", topic=question.topic, sender=message.user_id)
        else:
            question.answered.set_result(message)

    async def serve(self, served: Served) -> None:
        """Be heard under this topic; a topic of a host is one connection's alone."""

        async def declare(channel: AbstractChannel) -> AbstractQueue:
            if "." in served.topic:
                return await channel.declare_queue(served.topic, exclusive=True, auto_delete=True)
            queue = await channel.declare_queue(served.topic, auto_delete=True)
            await queue.bind(names.REPORTS, served.topic)
            return queue

        await self._consume(served.topic, declare, lambda message: self._answer(served, message), THREADS)

    async def leave(self, topic: str) -> None:
        consumer = self._consumers.pop(topic, None)
        if consumer is not None:
            consumer.cancel()
            await asyncio.wait([consumer], timeout=GRACE_SECONDS + CLOSE_SECONDS)

    async def _answer(self, served: Served, message: AbstractIncomingMessage) -> None:
        sender, to = message.user_id or "", message.reply_to or ""
        if not sender or not names.is_answer_queue(to, sender):
            log.warning("refused a question", topic=served.topic, sender=sender, answer_to=to)
            return
        question = (to, message.correlation_id or "")
        if message.type == PROBE:
            if question not in served.under_way:
                await self._reply(question, b"", LOST)
            return
        served.under_way.add(question)
        try:
            work = asyncio.get_running_loop().run_in_executor(served.threads, served.run, message.body, sender)
            good, answer = await work
            await self._reply(question, answer, None if good else FAILED)
        finally:
            served.under_way.discard(question)

    async def _reply(self, question: tuple[str, str], answer: bytes, type: str | None) -> None:
        to, id = question
        reply = aio_pika.Message(answer, correlation_id=id, user_id=self._user, type=type)
        await self._answering.publish(reply, routing_key=to, mandatory=False)

    def hint(self, kind: str, id: str) -> None:
        """Have it sent soon, if not too many wait already."""
        if not self._hints.full():
            self._hints.put_nowait((kind, id))

    async def _tell_hints(self) -> None:
        while True:
            body = msgspec.json.encode(await self._hints.get())
            message = aio_pika.Message(body, app_id=self._id, user_id=self._user, expiration=HINT_SECONDS)
            try:
                await self._hinting.publish(message, routing_key="", mandatory=False)
            except (AMQPError, OSError, RuntimeError) as e:
                log.debug("a hint was lost", error=e)

    async def listen(self, hints: Hints) -> None:
        """Hear the hints of others; only the control plane may."""

        async def declare(channel: AbstractChannel) -> AbstractQueue:
            name = names.private_queue("hints", self._user)
            queue = await channel.declare_queue(
                name, exclusive=True, auto_delete=True, arguments={"x-max-length": MOST_HINTS}
            )
            await queue.bind(names.HINTS)
            return queue

        async def hear(message: AbstractIncomingMessage) -> None:
            if message.app_id != self._id:
                kind, id = msgspec.json.decode(message.body, type=tuple[str, str])
                await asyncio.get_running_loop().run_in_executor(hints.threads, hints.hear, kind, id)

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

        async def hear_one(message: AbstractIncomingMessage) -> None:
            await _hear(hear, message, busy)

        channel = await self._connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(lambda *_: gone.set())
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _: gone.set())
        await channel.set_qos(at_a_time)
        queue = await declare(channel)
        tag = await queue.consume(hear_one)
        tried.set()
        try:
            await gone.wait()
        finally:
            await _wind_up(channel, queue, tag, busy)

    async def close(self) -> None:
        """Take no more, let what is being answered be answered, and disconnect."""
        await asyncio.gather(*(self.leave(name) for name in list(self._consumers)))
        self._teller.cancel()
        with suppress(AMQPError, OSError, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close()


async def _hear(hear: Hear, message: AbstractIncomingMessage, busy: set[asyncio.Task[None] | None]) -> None:
    """One message; it is acknowledged at the end, so that no more are on their way than are being heard."""
    task = asyncio.current_task()
    busy.add(task)
    try:
        await hear(message)
        await message.ack()
    except (AMQPError, OSError, RuntimeError, msgspec.DecodeError) as e:
        log.debug("a message was lost", error=e)
    finally:
        busy.discard(task)


async def _wind_up(
    channel: AbstractChannel, queue: AbstractQueue, tag: str, busy: set[asyncio.Task[None] | None]
) -> None:
    """Take no more from a queue, and close its channel when what was taken is done."""
    with suppress(AMQPError, OSError, RuntimeError):
        if not channel.is_closed:
            await queue.cancel(tag)
            if busy:
                await asyncio.wait(set(filter(None, busy)), timeout=GRACE_SECONDS)
            await channel.close()
