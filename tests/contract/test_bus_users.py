"""A host that has fallen into wrong hands, on a real RabbitMQ: with all its credentials it reaches no other host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import msgspec
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, DeliveryError
from contract.test_bus import TOPIC, echo
from contract.test_bus_amqp import answers
from support.buses import PATIENCE, connected, until
from support.rabbitmq import VirtualHost

from cumulet.agent.heartbeat import Beat, Heard
from cumulet.bus import names
from cumulet.bus.amqp import AmqpBus
from cumulet.bus.broker import Broker, of_host
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure, Unreachable
from cumulet.model import host
from cumulet.services import Cloud

Act = Callable[[AbstractChannel], Awaitable[object]]
OTHER = "compute.h2"
EXCHANGES = [names.REPORTS, names.ANSWERS, names.HINTS]


@pytest.fixture
def control(vhost: VirtualHost) -> Iterator[AmqpBus]:
    with connected(vhost.url) as bus:
        bus.serve("scheduler", echo)
        yield bus


@pytest.fixture
def other(vhost: VirtualHost, control: AmqpBus) -> Iterator[AmqpBus]:
    """The host h2, which is as it should be."""
    with connected(vhost.host("h2")) as bus:
        bus.serve(OTHER, echo)
        yield bus


@pytest.fixture
def stolen(vhost: VirtualHost, other: AmqpBus) -> str:
    """The URL of h1, with its password."""
    return vhost.host("h1")


def do(url: str, act: Act) -> None:
    """Act with these credentials, by whatever the protocol has."""

    async def run() -> None:
        async with await aio_pika.connect(url) as connection:
            await act(await connection.channel(on_return_raises=True))

    asyncio.run(run())


def assert_refused(url: str, act: Act, why: str = "ACCESS_REFUSED") -> None:
    with pytest.raises(AMQPError, match=why):
        do(url, act)


def recorded(bus: AmqpBus, topic: str) -> list[tuple[bytes, str]]:
    """Serve a topic; what is asked, and by whom, comes into the list."""
    heard: list[tuple[bytes, str]] = []

    def hear(message: bytes, sender: str) -> bytes:
        heard.append((message, sender))
        return b""

    bus.serve(topic, hear)
    return heard


def declaring(queue: str) -> Act:
    return lambda channel: channel.declare_queue(queue)


def taking(queue: str) -> list[Act]:
    async def hear(message: AbstractIncomingMessage) -> None:
        await message.ack()

    async def consume(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).consume(hear)

    async def get(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).get()

    async def purge(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).purge()

    return [consume, get, purge, lambda channel: channel.queue_delete(queue)]


def binding(queue: str, exchange: str, key: str) -> Act:
    async def bind(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).bind(exchange, key)

    return bind


def sending(exchange: str, key: str, message: aio_pika.Message | None = None) -> Act:
    async def send(channel: AbstractChannel) -> None:
        to = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await to.publish(message or aio_pika.Message(b"order"), key, mandatory=True)

    return send


def test_it_has_no_other_queue(vhost: VirtualHost, stolen: str) -> None:
    answer_queues = [queue for queue in vhost.queues() if queue.startswith("answers:")]
    assert len(answer_queues) == 2
    for queue in (OTHER, "scheduler", *answer_queues):
        for act in (declaring(queue), *taking(queue)):
            assert_refused(stolen, act)
    for queue in ("compute.h11", "compute.xh1", "compute.h1.example", "answers:host-h1:mine", "x.compute.h1", "h1"):
        assert_refused(stolen, declaring(queue))
    do(stolen, declaring("compute.h1"))


def test_it_binds_nothing_and_so_reads_nothing_along(stolen: str) -> None:
    async def keep_a_queue_and_bind_it(channel: AbstractChannel) -> None:
        await channel.declare_queue("compute.h1")
        for exchange in (*EXCHANGES, "amq.direct", "amq.rabbitmq.trace"):
            await asyncio.to_thread(assert_refused, stolen, binding("compute.h1", exchange, OTHER))

    do(stolen, keep_a_queue_and_bind_it)
    for exchange in EXCHANGES:
        assert_refused(stolen, binding(OTHER, exchange, "compute.h1"))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_it_neither_makes_nor_removes_an_exchange(stolen: str, exchange: str) -> None:
    assert_refused(stolen, lambda channel: channel.declare_exchange(exchange, "fanout"))
    assert_refused(stolen, lambda channel: channel.exchange_delete(exchange))
    assert_refused(stolen, lambda channel: channel.declare_exchange("mine"))


def test_it_gives_no_orders(vhost: VirtualHost, other: AmqpBus, stolen: str) -> None:
    orders = recorded(other, OTHER)
    for exchange in ("", "amq.direct", "amq.topic"):
        assert_refused(stolen, sending(exchange, OTHER))
    for exchange in (names.REPORTS, names.ANSWERS):
        with pytest.raises(DeliveryError):
            do(stolen, sending(exchange, OTHER))
    with connected(stolen) as bus:
        with pytest.raises(Unreachable):
            bus.call(OTHER, b"order", PATIENCE)
        until(lambda: answers(bus, "scheduler"))
    assert orders == []


def test_nor_does_the_scheduler_in_its_place(vhost: VirtualHost, control: AmqpBus, other: AmqpBus, stolen: str) -> None:
    orders = recorded(other, OTHER)
    control.serve("scheduler", lambda message, sender: message)
    answers_of_other = next(queue for queue in vhost.queues() if queue.startswith("answers:host-h2:"))
    for to in (OTHER, answers_of_other, "scheduler", ""):
        question = aio_pika.Message(b"order", reply_to=to, correlation_id="1", user_id="host-h1", expiration=5)
        do(stolen, sending(names.REPORTS, "scheduler", question))
    assert control.call(OTHER, b"true", PATIENCE) == b""
    assert [order for order, _ in orders] == [b"true"]


def test_it_answers_nothing_that_another_was_asked(
    vhost: VirtualHost, control: AmqpBus, other: AmqpBus, stolen: str
) -> None:
    """Even if it knew what nobody tells it: where the answer goes, and the question's number."""
    asked: list[AbstractIncomingMessage] = []

    async def hold(channel: AbstractChannel) -> None:
        """Be h2, forwarding what it knows to h1, which answers first."""
        queue = await channel.declare_queue("compute.h3", exclusive=True)
        async with queue.iterator() as messages:
            question = asyncio.create_task(asyncio.to_thread(control.call, "compute.h3", b"one", PATIENCE))
            asked.append(await anext(messages))
        for sender, why in (("host-h1", ""), (None, ""), ("host-h3", "PRECONDITION_FAILED")):
            lie = aio_pika.Message(b"lie", correlation_id=asked[0].correlation_id, user_id=sender)
            act = sending(names.ANSWERS, asked[0].reply_to or "", lie)
            await asyncio.to_thread(assert_refused, stolen, act, why) if why else await asyncio.to_thread(
                do, stolen, act
            )
        truth = aio_pika.Message(b"truth", correlation_id=asked[0].correlation_id, user_id="host-h3")
        await sending(names.ANSWERS, asked[0].reply_to or "", truth)(channel)
        assert await question == b"truth"

    do(vhost.host("h3"), hold)


def test_nobody_speaks_under_another_name(vhost: VirtualHost, stolen: str) -> None:
    forged = aio_pika.Message(b"{}", user_id="host-h2")
    assert_refused(stolen, sending(names.REPORTS, "scheduler", forged), "PRECONDITION_FAILED.*user_id")


def test_what_has_no_sender_is_not_heard(control: AmqpBus, stolen: str) -> None:
    heard = recorded(control, "scheduler")

    async def ask(channel: AbstractChannel) -> None:
        to = f"answers:host-h1:{'0' * 32}"
        await channel.declare_queue(to, exclusive=True)
        await sending(names.REPORTS, "scheduler", aio_pika.Message(b"beat", reply_to=to))(channel)

    do(stolen, ask)
    with connected(stolen) as bus:
        bus.call("scheduler", b"with a sender", PATIENCE)
    assert heard == [(b"with a sender", "host-h1")]


def test_it_has_no_heart_but_its_own(vhost: VirtualHost, tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path, drivers="fake", test=True, host_name="c1", bus_url=vhost.url)
    cloud = Cloud(config)
    cloud.prepare()
    cloud.bus.start()
    try:
        with connected(vhost.host("h1")) as bus:
            assert beats(bus, "h1")
            with pytest.raises(Failure, match="host-h1 may not report for h2"):
                beats(bus, "h2")
        with cloud.database.read() as tx:
            assert [row.name for row in host.all(tx)] == ["h1"]
    finally:
        cloud.stop()


def beats(bus: AmqpBus, name: str) -> bool:
    beat = Beat(host=name, roles=["compute"], zones=["a"])
    return bus.call("scheduler", msgspec.json.encode(beat), PATIENCE) == msgspec.json.encode(Heard())


def test_it_hears_no_hints(vhost: VirtualHost, control: AmqpBus, stolen: str) -> None:
    heard: list[str] = []
    with connected(stolen) as bus:
        bus.on_hint(lambda kind, id: heard.append(id))
        control.hint("instance", "i-1")
        assert answers(bus, "scheduler")
        assert answers(bus, "scheduler")
    assert heard == []


def test_it_has_no_part_in_the_management(vhost: VirtualHost, stolen: str) -> None:
    parts = urlsplit(stolen)
    assert vhost.rabbitmq.look("/api/whoami", f"{parts.username}:{parts.password}")[0] == 401


def test_it_is_out_as_soon_as_its_user_is_gone(vhost: VirtualHost, control: AmqpBus, stolen: str) -> None:
    with connected(stolen) as bus:
        bus.serve(TOPIC, echo)
        assert answers(control)
        vhost.broker.remove_user("host-h1")
        until(lambda: gone(control))
        with pytest.raises(Unreachable):
            bus.call("scheduler", b"beat", PATIENCE)


def gone(control: AmqpBus) -> bool:
    try:
        control.call(TOPIC, b"one", 1.0)
    except Unreachable as e:
        return "nobody serves" in str(e)
    return False


@pytest.mark.parametrize("name", ["", ".*", "h1|h2", "h 1", "-h1", "h1.", "h1\n", "h1:x"])
def test_what_is_not_the_name_of_a_host_is_refused(name: str) -> None:
    with pytest.raises(Failure, match="is not the name of a host"):
        of_host(name)


def test_a_user_of_the_control_plane_has_no_name_of_a_host(vhost: VirtualHost) -> None:
    with pytest.raises(Failure, match="'host-h1' cannot be"):
        vhost.broker.add_control("host-h1")


def test_a_management_that_says_no_is_quoted_without_the_password(vhost: VirtualHost) -> None:
    with pytest.raises(Failure, match="401") as refused:
        Broker(f"http://guest:se-cret@127.0.0.1:{vhost.rabbitmq.management_port}").prepare()
    assert "se-cret" not in str(refused.value)
