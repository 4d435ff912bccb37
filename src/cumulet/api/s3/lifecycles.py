"""The lifecycle of a bucket: its rules, and which are none.

Source: "Lifecycle configuration elements" of the Amazon S3 User Guide, and PutBucketLifecycleConfiguration of the API
Reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cumulet.api.s3 import describing, errors
from cumulet.api.s3.bucket_settings import change, setting
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.lib import ids
from cumulet.lib.lifecycle import DAY, prefix_of
from cumulet.wire.rest_parse import malformed

Rule = dict[str, Any]
MAX_RULES = 1000
MAX_ID, MAX_PREFIX = 255, 1024
MOST_KEPT = 100
"""Noncurrent versions that a rule may keep."""
LEAST_DAYS = {"STANDARD_IA": 30, "ONEZONE_IA": 30}
"""How old what comes to a storage class has to be."""
_MINIMUM = "all_storage_classes_128K"
_ACTIONS = (
    "Expiration",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
    "Transitions",
    "NoncurrentVersionTransitions",
)


@operation("GetBucketLifecycleConfiguration", needs=("s3:GetLifecycleConfiguration", ""))
def get_bucket_lifecycle_configuration(call: Call, given: Given) -> Result:
    missing = "The lifecycle configuration does not exist"
    rules = setting(call, "lifecycle", "NoSuchLifecycleConfiguration", missing)
    minimum = call.bucket.settings.get("transition_minimum", _MINIMUM)
    return {"Rules": [_shown_rule(rule) for rule in rules], "TransitionDefaultMinimumObjectSize": minimum}


def _shown_rule(rule: Rule) -> Rule:
    shown = dict(rule)
    if "Expiration" in rule:
        shown["Expiration"] = _shown_moment(rule["Expiration"])
    if "Transitions" in rule:
        shown["Transitions"] = [_shown_moment(one) for one in rule["Transitions"]]
    return shown


def _shown_moment(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "Date": datetime.fromtimestamp(one["Date"], UTC)} if "Date" in one else one


@operation(
    "PutBucketLifecycleConfiguration",
    "LifecycleConfiguration TransitionDefaultMinimumObjectSize",
    needs=("s3:PutLifecycleConfiguration", ""),
)
def put_bucket_lifecycle_configuration(call: Call, given: Given) -> Result:
    rules = (given.get("LifecycleConfiguration") or {}).get("Rules") or []
    if not 1 <= len(rules) <= MAX_RULES:
        raise malformed(f"LifecycleConfiguration has 1 to {MAX_RULES} Rules")
    least = LEAST_DAYS if call.config.object_day_seconds == DAY else {}  # tests have short days, and wait for few
    kept = [_checked_rule(rule, least) for rule in rules]
    if len({rule["ID"] for rule in kept}) != len(kept):
        raise errors.invalid_argument("Rule ID must be unique. Found same ID for more than one rule")
    minimum = given.get("TransitionDefaultMinimumObjectSize", _MINIMUM)
    change(call, lifecycle=kept, transition_minimum=minimum)
    return {"TransitionDefaultMinimumObjectSize": minimum}


@operation("DeleteBucketLifecycle", needs=("s3:PutLifecycleConfiguration", ""))
def delete_bucket_lifecycle(call: Call, given: Given) -> Answer:
    change(call, lifecycle=None, transition_minimum=None)
    return Answer(204)


def _checked_rule(rule: Rule, least: Mapping[str, int]) -> Rule:
    """The rule as it is kept."""
    if not any(name in _ACTIONS for name in rule):
        raise errors.invalid_request("At least one action needs to be specified in a rule")
    if ("Filter" in rule) == ("Prefix" in rule):
        raise malformed("Rule has either a Filter or a Prefix")
    if len(rule.get("ID", "")) > MAX_ID:
        raise errors.invalid_argument(f"ID length should not exceed allowed limit of {MAX_ID}")
    if len(prefix_of(rule).encode()) > MAX_PREFIX:
        raise errors.invalid_request(f"The maximum size of a prefix is {MAX_PREFIX}.")
    _check_filter(rule.get("Filter") or {}, rule)
    rule = {"ID": rule.get("ID") or ids.token(32), **{name: value for name, value in rule.items() if name != "ID"}}
    if "Transitions" in rule:
        rule["Transitions"] = [_checked_transition(one, least) for one in rule["Transitions"]]
    if "Expiration" in rule:
        rule["Expiration"] = _checked_expiration(rule["Expiration"])
    _check_order(rule)
    _check_noncurrent(rule, least)
    if "AbortIncompleteMultipartUpload" in rule:
        _positive(rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation"), "DaysAfterInitiation")
    return rule


def _check_filter(chosen: dict[str, Any], rule: Rule) -> None:
    if len(chosen) > 1:
        raise malformed("Filter has one element; several are in And")
    both = chosen.get("And") or {}
    if "And" in chosen and len(both) + max(len(both.get("Tags", [])) - 1, 0) < 2:
        raise malformed("And has at least two elements")
    tags = [*both.get("Tags", []), *([chosen["Tag"]] if "Tag" in chosen else [])]
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise errors.invalid_request("Duplicate Tag Keys are not allowed.")
    describing.checked_tags(tags, len(tags))
    marks = (rule.get("Expiration") or {}).get("ExpiredObjectDeleteMarker")
    if tags and ("AbortIncompleteMultipartUpload" in rule or marks):
        names = "AbortIncompleteMultipartUpload and ExpiredObjectDeleteMarker"
        raise errors.invalid_request(f"{names} cannot be specified with Tags")
    _check_sizes({**both, **chosen})


def _check_sizes(chosen: dict[str, Any]) -> None:
    least, most = chosen.get("ObjectSizeGreaterThan"), chosen.get("ObjectSizeLessThan")
    if least is not None and least < 0:
        raise errors.invalid_request("'ObjectSizeGreaterThan' should be greater than or equal to 0")
    if most is not None and most <= (least or 0):
        raise errors.invalid_request("'ObjectSizeLessThan' should be greater than 'ObjectSizeGreaterThan'")


def _checked_expiration(expiration: dict[str, Any]) -> dict[str, Any]:
    if len(expiration) != 1:
        raise malformed("Expiration has one of Days, Date and ExpiredObjectDeleteMarker")
    if "Days" in expiration:
        _positive(expiration["Days"], "Days", "'Days' for Expiration action must be a positive integer")
    return _with_moment(expiration)


def _checked_transition(one: dict[str, Any], least: Mapping[str, int]) -> dict[str, Any]:
    if ("Days" in one) == ("Date" in one) or "StorageClass" not in one:
        raise malformed("Transition has a StorageClass, and either Days or a Date")
    if one.get("Days", 0) < 0:
        raise errors.invalid_argument("'Days' for Transition action must be nonnegative")
    if "Days" in one:
        _check_age(one["Days"], one["StorageClass"], least, "'Days' in Transition action")
    return _with_moment(one)


def _check_age(days: int, storage_class: str, least: Mapping[str, int], what: str) -> None:
    if days < least.get(storage_class, 0):
        right = f"must be greater than or equal to {least[storage_class]} for storageClass '{storage_class}'"
        raise errors.invalid_argument(f"{what} {right}")


def _check_order(rule: Rule) -> None:
    """All by days or all by dates, each storage class once, and gone only afterwards."""
    transitions, expiration = rule.get("Transitions", []), rule.get("Expiration") or {}
    where = f"prefix '{prefix_of(rule)}'"
    if len({one["StorageClass"] for one in transitions}) != len(transitions):
        why = "'StorageClass' must be different for 'Transition' actions in same 'Rule' with"
        raise errors.invalid_request(f"{why} {where}")
    for unit, other in (("Days", "Date"), ("Date", "Days")):
        ends = expiration.get(unit)
        if ends is not None and any(other in one for one in transitions):
            why = "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for"
            raise errors.invalid_request(f"{why} {where}")
        if ends is not None and any(one[unit] >= ends for one in transitions):
            later = "must be greater than" if unit == "Days" else "must be later than"
            why = f"'{unit}' in the Expiration action for {where} {later} '{unit}' in the Transition action"
            raise errors.invalid_argument(why)


def _check_noncurrent(rule: Rule, least: Mapping[str, int]) -> None:
    transitions, expiration = rule.get("NoncurrentVersionTransitions", []), rule.get("NoncurrentVersionExpiration")
    for one in [*transitions, *([expiration] if expiration is not None else [])]:
        _positive(one.get("NoncurrentDays"), "NoncurrentDays")
        kept = one.get("NewerNoncurrentVersions", 1)
        if not 1 <= kept <= MOST_KEPT:
            raise errors.invalid_argument(f"'NewerNoncurrentVersions' must be an integer between 1 and {MOST_KEPT}")
    for one in transitions:
        what = "'NoncurrentDays' in NoncurrentVersionTransition action"
        _check_age(one["NoncurrentDays"], one.get("StorageClass", ""), least, what)
        if expiration is not None and one["NoncurrentDays"] >= expiration["NoncurrentDays"]:
            later = "must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action"
            raise errors.invalid_argument(f"'NoncurrentDays' in the NoncurrentVersionExpiration action {later}")


def _with_moment(one: dict[str, Any]) -> dict[str, Any]:
    """The same with its date as it is kept."""
    if "Date" not in one:
        return one
    date = one["Date"]
    if (date.hour, date.minute, date.second) != (0, 0, 0):
        raise errors.invalid_argument("'Date' must be at midnight GMT")
    return {**one, "Date": date.timestamp()}


def _positive(number: int | None, name: str, message: str = "") -> None:
    if number is None:
        raise malformed(f"{name} is missing")
    if number < 1:
        raise errors.invalid_argument(message or f"'{name}' must be a positive integer")
