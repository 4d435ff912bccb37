"""What every bus promises, by one suite: within this process, and RabbitMQ between the control plane and a host."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.buses import KINDS, PATIENCE, Ends, both_ends, until

from cumulet.bus.contract import Said
from cumulet.bus.memory import MemoryBus
from cumulet.bus.serving import THREADS
from cumulet.lib.errors import Failure, Unreachable

TOPIC = "compute.h1"


@pytest.fixture(params=KINDS)
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with both_ends(request.param, request) as made:
        yield made


def echo(message: bytes, sender: str) -> bytes:
    return b"heard " + message


def test_a_question_is_answered(ends: Ends) -> None:
    ends.host.serve(TOPIC, echo)
    assert ends.control.call(TOPIC, b"one", PATIENCE) == b"heard one"
    assert ends.control.call(TOPIC, b"", PATIENCE) == b"heard "


def test_a_host_asks_the_scheduler(ends: Ends) -> None:
    ends.control.serve("scheduler", echo)
    assert ends.host.call("scheduler", b"beat", PATIENCE) == b"heard beat"


def test_questions_are_answered_together_where_they_can_wait(ends: Ends) -> None:
    seen: list[list[Said]] = []

    def answer(said: list[Said]) -> list[bytes | Failure]:
        seen.append(said)
        return [Failure("not you") if one.message == b"7" else b"heard " + one.message for one in said]

    def ask(number: int) -> bytes | str:
        try:
            return ends.host.call("scheduler", b"%d" % number, PATIENCE)
        except Failure as e:
            return str(e)

    ends.control.serve_together("scheduler", answer)
    with ThreadPoolExecutor(30) as threads:
        answers = list(threads.map(ask, range(30)))
    assert answers == [b"heard %d" % number if number != 7 else "not you" for number in range(30)]
    assert sorted(int(one.message) for said in seen for one in said) == list(range(30))
    assert isinstance(ends.control, MemoryBus) or len(seen) < 30
    assert {one.sender for said in seen for one in said} == {"" if isinstance(ends.control, MemoryBus) else "host-h1"}


def test_whoever_answers_together_and_fails_has_failed_each(ends: Ends) -> None:
    def fail(said: list[Said]) -> list[bytes | Failure]:
        raise Failure("the database is away")

    ends.control.serve_together("scheduler", fail)
    with pytest.raises(Failure, match="the database is away"):
        ends.host.call("scheduler", b"beat", PATIENCE)
    ends.control.serve_together("scheduler", lambda said: [b"well" for _ in said])
    assert ends.host.call("scheduler", b"beat", PATIENCE) == b"well"


def test_a_process_asks_itself(ends: Ends) -> None:
    ends.control.serve("volume.h2", echo)
    assert ends.control.call("volume.h2", b"one", PATIENCE) == b"heard one"


def test_nobody_who_serves_is_known_at_once(ends: Ends) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match=f"nobody serves {TOPIC}"):
        ends.control.call(TOPIC, b"one", 10 * PATIENCE)
    with pytest.raises(Unreachable, match="nobody serves scheduler"):
        ends.host.call("scheduler", b"beat", 10 * PATIENCE)
    assert time.monotonic() - began < PATIENCE


def test_a_failure_over_there_is_one_here(ends: Ends) -> None:
    def fail(message: bytes, sender: str) -> bytes:
        raise Failure("the disk of h1 is full")

    ends.host.serve(TOPIC, fail)
    with pytest.raises(Failure, match="the disk of h1 is full") as failed:
        ends.control.call(TOPIC, b"one", PATIENCE)
    assert not isinstance(failed.value, Unreachable)


def test_questions_and_answers_may_be_large(ends: Ends) -> None:
    ends.host.serve(TOPIC, lambda message, sender: message[::-1])
    message = bytes(range(256)) * 4096
    assert ends.control.call(TOPIC, message, PATIENCE) == message[::-1]


def test_several_are_answered_at_a_time(ends: Ends) -> None:
    together = threading.Barrier(THREADS)

    def wait_for_the_others(message: bytes, sender: str) -> bytes:
        together.wait(PATIENCE)
        return message

    ends.host.serve(TOPIC, wait_for_the_others)
    questions = [b"%d" % number for number in range(2 * THREADS)]
    with ThreadPoolExecutor(THREADS) as callers:
        assert list(callers.map(lambda question: ends.control.call(TOPIC, question, PATIENCE), questions)) == questions


def test_a_slow_answer_holds_up_neither_its_topic_nor_another(ends: Ends) -> None:
    fast = threading.Event()

    def answer(message: bytes, sender: str) -> bytes:
        if message == b"slow":
            assert fast.wait(PATIENCE)
        return message

    ends.host.serve(TOPIC, answer)
    ends.host.serve("network.h1", answer)
    with ThreadPoolExecutor(1) as caller:
        slow = caller.submit(ends.control.call, TOPIC, b"slow", PATIENCE)
        assert ends.control.call(TOPIC, b"fast", PATIENCE) == b"fast"
        assert ends.control.call("network.h1", b"fast", PATIENCE) == b"fast"
        assert not slow.done()
        fast.set()
        assert slow.result(PATIENCE) == b"slow"


def test_who_serves_a_topic_again_takes_it_over(ends: Ends) -> None:
    ends.host.serve(TOPIC, lambda message, sender: b"first")
    ends.host.serve(TOPIC, lambda message, sender: b"second")
    assert [ends.control.call(TOPIC, b"who", PATIENCE) for _ in range(4)] == [b"second"] * 4


def test_a_topic_that_was_left_is_nobodys_until_it_is_served_again(ends: Ends) -> None:
    ends.host.serve(TOPIC, echo)
    ends.host.serve("network.h1", echo)
    ends.host.leave(TOPIC)
    with pytest.raises(Unreachable, match="nobody"):
        ends.control.call(TOPIC, b"one", PATIENCE)
    assert ends.control.call("network.h1", b"one", PATIENCE) == b"heard one"
    ends.host.serve(TOPIC, echo)
    assert ends.control.call(TOPIC, b"one", PATIENCE) == b"heard one"


def test_leaving_what_is_not_served_succeeds(ends: Ends) -> None:
    ends.host.leave(TOPIC)


def test_hints_are_heard_by_all_who_listen_once_each(ends: Ends) -> None:
    heard: list[tuple[str, str, str]] = []

    def fail(kind: str, id: str) -> None:
        raise ValueError("this listener is broken")

    ends.control.on_hint(fail)
    ends.control.on_hint(lambda kind, id: heard.append(("control", kind, id)))
    ends.control.hint("instance", "i-1")
    assert heard == [("control", "instance", "i-1")]
    ends.host.hint("changed", "i-2")
    until(lambda: len(heard) > 1)
    ends.control.hint("instance", "i-3")
    assert heard == [("control", "instance", "i-1"), ("control", "changed", "i-2"), ("control", "instance", "i-3")]


def test_a_hint_that_nobody_hears_is_no_mistake(ends: Ends) -> None:
    ends.host.hint("changed", "i-1")
    ends.control.hint("instance", "i-1")
