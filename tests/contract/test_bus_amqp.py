"""The bus on RabbitMQ where something is wrong: no broker, one that comes back, one that is short of memory, TLS."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest
from contract.test_bus import TOPIC, echo
from support.buses import PATIENCE, connected, until
from support.certificates import write_certificates
from support.rabbitmq import VirtualHost

from cumulet.bus.amqp import AmqpBus
from cumulet.bus.amqp_session import PROBE_SECONDS
from cumulet.bus.contract import Bus
from cumulet.bus.serving import THREADS
from cumulet.lib.errors import Failure, Unreachable


@pytest.fixture
def control(vhost: VirtualHost) -> Iterator[AmqpBus]:
    with connected(vhost.url) as bus:
        yield bus


@pytest.fixture
def host(vhost: VirtualHost) -> Iterator[AmqpBus]:
    with connected(vhost.host("h1")) as bus:
        yield bus


def answers(bus: Bus, topic: str = TOPIC, seconds: float = PATIENCE) -> bool:
    return answered(bus, topic, seconds) == b"heard one"


def answered(bus: Bus, topic: str = TOPIC, seconds: float = PATIENCE) -> bytes:
    """The answer; empty when there is none."""
    try:
        return bus.call(topic, b"one", seconds)
    except Unreachable:
        return b""


def test_no_answer_in_time_is_unreachable(control: AmqpBus, host: AmqpBus) -> None:
    released = threading.Event()
    host.serve(TOPIC, lambda message, sender: b"" if released.wait(PATIENCE) else b"")
    with pytest.raises(Unreachable, match=r"compute.h1: no answer within 0.2 s"):
        control.call(TOPIC, b"one", 0.2)
    released.set()
    host.serve(TOPIC, echo)
    assert control.call(TOPIC, b"two", PATIENCE) == b"heard two"


def test_an_answer_that_is_lost_is_not_waited_for(vhost: VirtualHost, control: AmqpBus, host: AmqpBus) -> None:
    begun, released = threading.Event(), threading.Event()

    def answer(message: bytes, sender: str) -> bytes:
        begun.set()
        released.wait(PATIENCE)
        return message

    host.serve(TOPIC, answer)
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(control.call, TOPIC, b"one", 100 * PATIENCE)
        assert begun.wait(PATIENCE)
        until(lambda: vhost.rabbitmq.cut(vhost.name, "host-h1") > 0)
        released.set()
        with pytest.raises(Unreachable, match="the answer was lost|nobody serves"):
            asked.result(PATIENCE)
    until(lambda: answered(control) == b"one")


def test_an_answer_that_takes_long_is_waited_for(control: AmqpBus, host: AmqpBus) -> None:
    def answer(message: bytes, sender: str) -> bytes:
        time.sleep(2.5 * PROBE_SECONDS)
        return message

    host.serve(TOPIC, answer)
    assert control.call(TOPIC, b"one", PATIENCE) == b"one"


def test_a_question_that_nobody_waits_for_any_more_is_not_heard(control: AmqpBus, host: AmqpBus) -> None:
    released, heard = threading.Event(), []

    def answer(message: bytes, sender: str) -> bytes:
        heard.append(message)
        released.wait(PATIENCE)
        return message

    host.serve(TOPIC, answer)
    with ThreadPoolExecutor(THREADS) as callers:
        early = [callers.submit(control.call, TOPIC, b"early", PATIENCE) for _ in range(THREADS)]
        until(lambda: len(heard) == THREADS)
        with pytest.raises(Unreachable):
            control.call(TOPIC, b"late", 0.2)
        time.sleep(0.5)  # the broker counts from when it had the question
        released.set()
        assert [each.result(PATIENCE) for each in early] == [b"early"] * THREADS
    assert control.call(TOPIC, b"next", PATIENCE) == b"next"
    assert b"late" not in heard


def test_questions_to_the_scheduler_are_shared_by_all_schedulers(
    vhost: VirtualHost, control: AmqpBus, host: AmqpBus
) -> None:
    asked = {"first": 0, "second": 0}

    def answer(name: str) -> bytes:
        asked[name] += 1
        return name.encode()

    control.serve("scheduler", lambda message, sender: answer("first"))
    with connected(vhost.url) as second:
        second.serve("scheduler", lambda message, sender: answer("second"))
        for _ in range(20):
            host.call("scheduler", b"beat", PATIENCE)
        assert asked == {"first": 10, "second": 10}
    assert {host.call("scheduler", b"beat", PATIENCE) for _ in range(4)} == {b"first"}


def test_a_topic_of_a_host_is_one_process_and_the_next_takes_over(
    vhost: VirtualHost, control: AmqpBus, host: AmqpBus
) -> None:
    host.serve(TOPIC, lambda message, sender: b"first")
    with connected(vhost.host("h1")) as second:
        second.serve(TOPIC, lambda message, sender: b"second")
        assert {control.call(TOPIC, b"who", PATIENCE) for _ in range(4)} == {b"first"}
        host.stop()
        until(lambda: answered(control) == b"second")


def test_what_is_being_answered_at_the_end_is_answered_still(vhost: VirtualHost, control: AmqpBus) -> None:
    begun, released = threading.Event(), threading.Event()

    def answer(message: bytes, sender: str) -> bytes:
        begun.set()
        released.wait(PATIENCE)
        return b"done"

    with ThreadPoolExecutor(2) as pool, connected(vhost.host("h1")) as host:
        host.serve(TOPIC, answer)
        host.serve("network.h1", echo)
        asked = pool.submit(control.call, TOPIC, b"one", PATIENCE)
        assert begun.wait(PATIENCE)
        stopping = pool.submit(host.stop)
        until(lambda: not answers(control, "network.h1", 0.5))  # shorter than what it waits for at its end
        assert not stopping.done()
        released.set()
        assert asked.result(PATIENCE) == b"done"
        stopping.result(PATIENCE)


def test_all_goes_on_when_the_broker_is_back(vhost: VirtualHost, control: AmqpBus, host: AmqpBus) -> None:
    hints: list[str] = []
    host.serve(TOPIC, echo)
    control.serve("scheduler", echo)
    control.on_hint(lambda kind, id: hints.append(id))
    waiting = threading.Event()

    def forget(message: bytes, sender: str) -> bytes:
        waiting.set()
        time.sleep(0.5)
        return b"too late"

    host.serve("network.h1", forget)
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(control.call, "network.h1", b"one", 10 * PATIENCE)
        assert waiting.wait(PATIENCE)
        vhost.rabbitmq.kill()
        with pytest.raises(Unreachable, match="the connection is lost"):
            asked.result(PATIENCE)
    with pytest.raises(Unreachable, match="away"):
        control.call(TOPIC, b"one", 10 * PATIENCE)
    vhost.rabbitmq.start()
    until(lambda: answers(control))
    until(lambda: answers(host, "scheduler"))

    def hinted() -> bool:
        host.hint("changed", "i-1")
        return bool(hints)

    until(hinted)


def test_a_bus_waits_for_its_broker_that_says_good_bye_or_is_not_there_yet(
    vhost: VirtualHost, control: AmqpBus, host: AmqpBus
) -> None:
    host.serve(TOPIC, echo)
    vhost.rabbitmq.stop()
    with pytest.raises(Unreachable):
        control.call(TOPIC, b"one", PATIENCE)
    with connected(vhost.url) as early:
        early.serve("scheduler", echo)
        with pytest.raises(Unreachable, match="away"):
            early.call("scheduler", b"one", PATIENCE)
        vhost.rabbitmq.start()
        until(lambda: answers(control))
        until(lambda: answers(host, "scheduler"))


def test_a_broker_that_is_short_of_memory_is_unreachable_and_then_is_not(
    vhost: VirtualHost, control: AmqpBus, host: AmqpBus
) -> None:
    host.serve(TOPIC, echo)
    vhost.rabbitmq.set_memory_limit(0.001)
    with pytest.raises(Unreachable, match="no answer"):
        for _ in range(10):
            control.call(TOPIC, b"one", 1.0)
    vhost.rabbitmq.set_memory_limit(0.4)
    until(lambda: answers(control))


def test_a_topic_that_is_taken_away_is_served_again(vhost: VirtualHost, control: AmqpBus, host: AmqpBus) -> None:
    control.serve("scheduler", echo)
    assert answers(host, "scheduler")
    asyncio.run(delete(vhost.url, "scheduler"))
    until(lambda: answers(host, "scheduler"))


async def delete(url: str, queue: str) -> None:
    async with await aio_pika.connect(url) as connection:
        await (await connection.channel()).queue_delete(queue)


def test_it_speaks_tls_with_a_broker_that_its_authority_vouches_for(vhost: VirtualHost) -> None:
    with connected(over_tls(vhost), str(vhost.rabbitmq.ca_file)) as bus:
        bus.serve(TOPIC, echo)
        assert bus.call(TOPIC, b"one", PATIENCE) == b"heard one"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """All that is logged."""
    text, root = io.StringIO(), logging.getLogger("cumulet")
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("of", ["the system", "another authority"])
def test_it_tells_no_password_to_a_broker_that_nobody_vouches_for(
    vhost: VirtualHost, tmp_path: Path, of: str, said: io.StringIO
) -> None:
    write_certificates(tmp_path)
    bus = AmqpBus(over_tls(vhost), "" if of == "the system" else str(tmp_path / "ca-cert.pem"))
    bus.start()
    with pytest.raises(Unreachable):
        bus.call(TOPIC, b"one", PATIENCE)
    bus.stop()
    assert "certificate verify failed" in said.getvalue()


def over_tls(vhost: VirtualHost) -> str:
    plain, encrypted = f":{vhost.rabbitmq.port}/", f":{vhost.rabbitmq.tls_port}/"
    return vhost.url.replace("amqp:", "amqps:").replace(plain, encrypted)


def test_the_password_is_shown_nowhere(
    vhost: VirtualHost, said: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = vhost.url.replace(f":{urlsplit(vhost.url).password}@", ":se-cret@")
    for url, why in ((wrong, "ACCESS_REFUSED"), (wrong.replace(str(vhost.rabbitmq.port), "1"), "Connection refused")):
        bus = AmqpBus(url)
        bus.start()
        with pytest.raises(Unreachable) as refused:
            bus.call(TOPIC, b"one", PATIENCE)
        bus.stop()
        assert why in said.getvalue()
        assert f"{vhost.user}:***@127.0.0.1" in said.getvalue()
        everything = [said.getvalue(), *capfd.readouterr(), *traceback.format_exception(refused.value)]
        assert "se-cret" not in "".join(everything)


@pytest.mark.parametrize("url", ["http://u:se-cret@h/", "amqps://h/", "amqps://u:se-cret@h:x/", "amqp://u:se-cret@[/"])
def test_a_url_of_something_else_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Failure, match="amqps://USER:PASSWORD@HOST") as refused:
        AmqpBus(url)
    assert "se-cret" not in "".join(traceback.format_exception(refused.value))


def test_certificates_that_are_not_there_are_named() -> None:
    with pytest.raises(Failure, match="no-such-file"):
        AmqpBus("amqps://u:p@h/", "/no-such-file")
