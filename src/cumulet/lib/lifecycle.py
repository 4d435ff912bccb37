"""What a bucket's lifecycle rules say of an object: plain rules and numbers in, a time out.

Source: "Lifecycle configuration elements" of the Amazon S3 User Guide. Days end at midnight UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

DAY = 86400.0
Rule = dict[str, Any]
Tags = Iterable[Sequence[str]]


def active(rules: Iterable[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule.get("Status") == "Enabled"]


def applies(rule: Rule, key: str, tags: Tags, size: int) -> bool:
    """Whether the rule's filter selects an object."""
    if "Filter" not in rule:
        return key.startswith(rule.get("Prefix") or "")
    chosen = rule["Filter"] or {}
    both = chosen.get("And") or {}
    wanted = [
        (tag["Key"], tag["Value"]) for tag in [*both.get("Tags", []), *([chosen["Tag"]] if "Tag" in chosen else [])]
    ]
    has = {(tag[0], tag[1]) for tag in tags}
    prefix = chosen.get("Prefix") or both.get("Prefix") or ""
    least = chosen.get("ObjectSizeGreaterThan", both.get("ObjectSizeGreaterThan", -1))
    most = chosen.get("ObjectSizeLessThan", both.get("ObjectSizeLessThan", math.inf))
    return key.startswith(prefix) and all(tag in has for tag in wanted) and least < size < most


def prefix_of(rule: Rule) -> str:
    """The prefix that everything the rule selects has."""
    chosen = rule.get("Filter") or {}
    return str(chosen.get("Prefix") or (chosen.get("And") or {}).get("Prefix") or rule.get("Prefix") or "")


def after_days(time: float, days: int, day: float = DAY) -> float:
    """The midnight that follows so many days after `time`; with another length of a day (for tests), just then."""
    if day != DAY:
        return time + days * day
    return math.ceil((time + days * day) / day) * day


def expires_at(
    rules: Iterable[Rule], key: str, tags: Tags, size: int, modified: float, day: float = DAY
) -> tuple[float, str] | None:
    """When the newest version goes, and by which rule; None: never."""
    found: list[tuple[float, str]] = []
    for rule in active(rules):
        expiration = rule.get("Expiration") or {}
        if not applies(rule, key, tags, size):
            continue
        if expiration.get("Days"):
            found.append((after_days(modified, expiration["Days"], day), rule.get("ID", "")))
        elif expiration.get("Date"):
            found.append((moment(expiration["Date"]), rule.get("ID", "")))
    return min(found) if found else None


def aborts_at(rules: Iterable[Rule], key: str, created: float, day: float = DAY) -> tuple[float, str] | None:
    """When an upload that nobody completes goes, and by which rule; None: never."""
    found = [
        (after_days(created, rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], day), rule.get("ID", ""))
        for rule in active(rules)
        if "AbortIncompleteMultipartUpload" in rule and key.startswith(prefix_of(rule))
    ]
    return min(found) if found else None


def storage_class_at(
    rules: Iterable[Rule], key: str, tags: Tags, size: int, modified: float, now: float, day: float = DAY
) -> str | None:
    """The storage class that the newest version has come to by now; None: its own. The last transition counts."""
    found: list[tuple[float, str]] = []
    for rule in active(rules):
        for one in rule.get("Transitions", []) if applies(rule, key, tags, size) else []:
            when = moment(one["Date"]) if "Date" in one else after_days(modified, one["Days"], day)
            found.append((when, one["StorageClass"]))
    due = [one for one in found if one[0] <= now]
    return max(due)[1] if due else None


def moment(date: Any) -> float:
    """A date of a rule in seconds since 1970."""
    if isinstance(date, int | float):
        return float(date)
    time = date if isinstance(date, datetime) else datetime.fromisoformat(str(date).replace("Z", "+00:00"))
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
