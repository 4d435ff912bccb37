"""Filters and pages, as AWS's describing actions have them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.api import filters, pages
from cumulet.lib.errors import Refusal

ITEMS: list[dict[str, Any]] = [
    {"Id": "a", "State": {"Name": "on"}, "Tags": [{"Key": "Name", "Value": "web"}], "Disks": [{"Size": 2}]},
    {"Id": "b", "State": {"Name": "off"}, "Tags": [{"Key": "Name", "Value": "web-2"}], "Default": True},
    {"Id": "c", "State": {"Name": "on"}, "Tags": []},
]
PATHS: dict[str, filters.Path] = {
    "state": "State.Name",
    "size": "Disks.Size",
    "default": lambda item: item.get("Default", False),
}


def chosen(*wanted: tuple[str, list[str]]) -> str:
    found = filters.select(ITEMS, [{"Name": name, "Values": values} for name, values in wanted], PATHS)
    return "".join(item["Id"] for item in found)


def test_values_are_alternatives_and_filters_must_all_hold() -> None:
    assert chosen(("state", ["on", "off"])) == "abc"
    assert chosen(("state", ["on"]), ("tag:Name", ["web*"])) == "a"


def test_paths_go_through_lists_and_booleans_are_words() -> None:
    assert chosen(("size", ["2"])) == "a"
    assert chosen(("default", ["true"])) == "b"
    assert chosen(("default", ["false"])) == "ac"


def test_stars_and_question_marks_are_wild_unless_escaped() -> None:
    assert chosen(("tag:Name", ["web?2"])) == "b"
    assert chosen(("tag:Name", ["web\\*"])) == ""
    assert chosen(("tag-key", ["N*"])) == "ab"


@pytest.mark.parametrize("wanted", [("colour", ["red"]), ("state", []), ("", ["x"])])
def test_a_crooked_filter_is_refused(wanted: tuple[str, list[str]]) -> None:
    with pytest.raises(Refusal) as refused:
        chosen(wanted)
    assert refused.value.code == "InvalidParameterValue"


def test_a_filter_that_is_nearly_right_is_guessed_and_others_are_listed() -> None:
    for name, hint in (
        ("stat", "Did you mean state?"),
        ("colour", "Valid are: default, size, state, tag-key, tag:KEY."),
    ):
        with pytest.raises(Refusal) as refused:
            chosen((name, ["x"]))
        assert refused.value.message == f"The filter '{name}' is invalid. {hint}"


@given(count=st.integers(0, 60), most=st.integers(5, 20))
def test_pages_give_each_item_once(count: int, most: int) -> None:
    items = [{"Id": str(number)} for number in range(count)]
    seen, token = pages.page(items, most, None, "Id")
    while token:
        shown, token = pages.page(items, most, token, "Id")
        seen = seen + shown
    assert seen == items


def test_a_page_goes_on_where_it_was_though_earlier_items_went() -> None:
    items = [{"Id": str(number)} for number in range(20)]
    _, token = pages.page(items, 10, None, "Id")
    shown, _ = pages.page(items[3:], 10, token, "Id")
    assert shown[0] == {"Id": "10"}


@pytest.mark.parametrize(("most", "token"), [(4, None), (1001, None), (5, "crooked"), (5, "W10=")])
def test_a_crooked_page_is_refused(most: int, token: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        pages.page(ITEMS, most, token, "Id")
    assert refused.value.code == "InvalidParameterValue"
