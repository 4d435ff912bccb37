"""Who may speak for whom on the bus, and what a host's user may touch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cumulet.bus import names
from cumulet.bus.broker import of_host
from cumulet.lib.urls import without_password

PAGE = Path(__file__).parents[2] / "docs" / "rabbitmq.md"


@pytest.mark.parametrize(
    ("sender", "topic", "may"),
    [
        ("host-h1", "compute.h1", True),
        ("host-h1", "compute.h2", False),
        ("host-h1", "compute.h11", False),
        ("host-h1", "compute.h1.example", False),
        ("host-h1.example", "network.h1.example", True),
        ("host-h1", "scheduler", False),
        ("cumulet", "scheduler", True),
        ("cumulet", "compute.h1", True),
        ("", "compute.h1", True),
    ],
)
def test_a_host_answers_for_itself_and_the_control_plane_for_all(sender: str, topic: str, may: bool) -> None:
    assert names.may_answer(sender, topic) is may


def test_an_answer_queue_is_its_users_alone() -> None:
    queue = names.private_queue("answers", "host-h1")
    assert names.is_answer_queue(queue, "host-h1")
    assert not names.is_answer_queue(queue, "host-h1.example")
    assert not names.is_answer_queue(queue, "host-h")
    assert not names.is_answer_queue(names.private_queue("hints", "host-h1"), "host-h1")
    assert not names.is_answer_queue("compute.h2", "host-h1")


def test_a_dot_in_a_hosts_name_stands_for_no_other_letter() -> None:
    assert re.search(of_host("h1.example").configure, "compute.h1.example")
    assert not re.search(of_host("h1.example").configure, "compute.h1xexample")


def test_the_page_for_operators_has_the_permissions_that_are_tested() -> None:
    page = PAGE.read_text()
    assert all(f"'{pattern}'" in page for pattern in of_host("h7"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqps://u:p@h:1/v", "amqps://u:***@h:1/v"),
        ("amqps://u:p@p@h/v?auth=plain", "amqps://u:***@h/v"),
        ("amqp://u@h/", "amqp://u@h/"),
        ("amqp://h/", "amqp://h/"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
