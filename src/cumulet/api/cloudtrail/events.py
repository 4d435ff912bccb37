"""The event history: what has been asked in the account's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypedDict

import msgspec

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.identity.audit import AuditLog
from cumulet.lib.errors import Refusal

MOST = 50

Record = dict[str, Any]


class LookupAttribute(TypedDict, total=False):
    AttributeKey: str
    AttributeValue: str


def _user(record: Record) -> str:
    identity = record["userIdentity"]
    session = str(identity.get("arn", "")).rpartition("/")[2] if "/" in identity.get("arn", "") else ""
    return str(identity.get("userName") or session or identity.get("type", "").lower())


def _named(record: Record) -> set[str]:
    """All the short texts of what a request names."""
    return set(_texts(record.get("requestParameters")))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


READ: dict[str, Callable[[Record], Any]] = {
    "EventId": lambda record: {record["eventID"]},
    "EventName": lambda record: {record["eventName"]},
    "EventSource": lambda record: {record["eventSource"]},
    "ReadOnly": lambda record: {"true" if record["readOnly"] else "false"},
    "Username": lambda record: {_user(record)},
    "AccessKeyId": lambda record: {record["userIdentity"].get("accessKeyId", "")},
    "ResourceName": _named,
}


@action("cloudtrail")
def lookup_events(
    ctx: Context,
    lookup_attributes: list[LookupAttribute] | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    max_results: int = MOST,
    next_token: str = "",
) -> Result:
    """The account's calls of the last days, newest first, as this host has seen them."""
    now = datetime.fromtimestamp(ctx.database.clock.now(), UTC)
    oldest = max(start_time or now, now - timedelta(days=ctx.config.audit_days)) if start_time else None
    begin, end = oldest or now - timedelta(days=ctx.config.audit_days), min(end_time or now, now)
    if begin > end:
        raise Refusal("InvalidTimeRangeException", "The start time is after the end time.")
    log = AuditLog(ctx.config.audit_directory(), ctx.config.audit_days)
    records = log.records(ctx.account, end.date(), begin.date())
    wanted = _chosen(records, lookup_attributes or [], _iso(begin), _iso(end))
    shown = list(islice(_after(wanted, next_token), max_results + 1))
    events = [_event(record) for record in shown[:max_results]]
    return {"Events": events} | ({"NextToken": events[-1]["EventId"]} if len(shown) > max_results else {})


def _chosen(records: Iterator[Record], attributes: list[LookupAttribute], begin: str, end: str) -> Iterator[Record]:
    tests = []
    for one in attributes:
        key = one.get("AttributeKey", "")
        if key not in READ:
            text = f"The lookup attribute {key} is not one of {', '.join(READ)}."
            raise Refusal("InvalidLookupAttributesException", text)
        tests.append((READ[key], one.get("AttributeValue", "")))
    for record in records:
        if begin <= record["eventTime"] <= end and all(value in read(record) for read, value in tests):
            yield record


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _after(records: Iterator[Record], token: str) -> Iterator[Record]:
    """What comes after the record whose id the token is."""
    if token and not any(record["eventID"] == token for record in records):
        raise Refusal("InvalidNextTokenException", "The token names no event.")
    return records


def _event(record: Record) -> Item:
    moment = datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return {
        "EventId": record["eventID"],
        "EventName": record["eventName"],
        "ReadOnly": "true" if record["readOnly"] else "false",
        "AccessKeyId": record["userIdentity"].get("accessKeyId"),
        "EventTime": moment,
        "EventSource": record["eventSource"],
        "Username": _user(record),
        "Resources": [],
        "CloudTrailEvent": msgspec.json.encode(record).decode(),
    }
