"""The settings of a bucket that are lists of rules: CORS, lifecycle, website, logging."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.bucket_settings import change, setting
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.lib import ids
from cumulet.model import bucket
from cumulet.wire.rest_parse import malformed

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
MAX_CORS, MAX_RULES, MAX_ROUTES = 100, 1000, 50


@operation("GetBucketCors", needs=("s3:GetBucketCORS", ""))
def get_bucket_cors(call: Call, given: Given) -> Result:
    return {"CORSRules": setting(call, "cors", "NoSuchCORSConfiguration", "The CORS configuration does not exist")}


@operation("PutBucketCors", "CORSConfiguration", needs=("s3:PutBucketCORS", ""))
def put_bucket_cors(call: Call, given: Given) -> Result:
    rules = (given.get("CORSConfiguration") or {}).get("CORSRules") or []
    if not 1 <= len(rules) <= MAX_CORS:
        raise malformed(f"CORSConfiguration has 1 to {MAX_CORS} CORSRules")
    for rule in rules:
        for method in rule["AllowedMethods"]:
            if method not in METHODS:
                raise errors.invalid_request(
                    f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )
        for text in [*rule["AllowedOrigins"], *rule.get("AllowedHeaders", [])]:
            if text.count("*") > 1:
                raise errors.invalid_request(f'AllowedOrigin "{text}" can not have more than one wildcard.')
        if any("*" in text for text in rule.get("ExposeHeaders", [])):
            raise errors.invalid_request("ExposeHeader can not contain a wildcard.")
    change(call, cors=rules)
    return {}


@operation("DeleteBucketCors", needs=("s3:PutBucketCORS", ""))
def delete_bucket_cors(call: Call, given: Given) -> Answer:
    change(call, cors=None)
    return Answer(204)


_MINIMUM = "all_storage_classes_128K"


@operation("GetBucketLifecycleConfiguration", needs=("s3:GetLifecycleConfiguration", ""))
def get_bucket_lifecycle_configuration(call: Call, given: Given) -> Result:
    missing = "The lifecycle configuration does not exist"
    rules = setting(call, "lifecycle", "NoSuchLifecycleConfiguration", missing)
    minimum = call.bucket.settings.get("transition_minimum", _MINIMUM)
    return {"Rules": [_shown_rule(rule) for rule in rules], "TransitionDefaultMinimumObjectSize": minimum}


def _shown_rule(rule: dict[str, Any]) -> dict[str, Any]:
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
    kept = [_checked_rule(rule) for rule in rules]
    if len({rule["ID"] for rule in kept}) != len(kept):
        raise errors.invalid_argument("Rule ID must be unique. Found same ID for more than one rule")
    minimum = given.get("TransitionDefaultMinimumObjectSize", _MINIMUM)
    change(call, lifecycle=kept, transition_minimum=minimum)
    return {"TransitionDefaultMinimumObjectSize": minimum}


def _checked_rule(rule: dict[str, Any]) -> dict[str, Any]:
    acts = [name for name in rule if name in _ACTIONS]
    if not acts:
        raise errors.invalid_request("At least one action needs to be specified in a rule")
    for one in rule.get("NoncurrentVersionTransitions", []):
        _positive(one.get("NoncurrentDays"), "NoncurrentDays")
    if ("Filter" in rule) == ("Prefix" in rule):
        raise malformed("Rule has either a Filter or a Prefix")
    if len(rule.get("ID", "")) > 255:
        raise errors.invalid_argument("ID length should not exceed allowed limit of 255")
    _check_filter(rule.get("Filter") or {}, rule)
    rule = {"ID": rule.get("ID") or ids.token(32), **{name: value for name, value in rule.items() if name != "ID"}}
    if "Transitions" in rule:
        rule["Transitions"] = [_checked_transition(one) for one in rule["Transitions"]]
    if "Expiration" in rule:
        rule["Expiration"] = _checked_expiration(rule["Expiration"])
    noncurrent = rule.get("NoncurrentVersionExpiration") or {}
    if "NoncurrentVersionExpiration" in rule:
        _positive(noncurrent.get("NoncurrentDays"), "NoncurrentDays")
    if "NewerNoncurrentVersions" in noncurrent:
        _positive(noncurrent["NewerNoncurrentVersions"], "NewerNoncurrentVersions")
    if "AbortIncompleteMultipartUpload" in rule:
        _positive(rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation"), "DaysAfterInitiation")
    return rule


_ACTIONS = (
    "Expiration",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
    "Transitions",
    "NoncurrentVersionTransitions",
)


def _check_filter(chosen: dict[str, Any], rule: dict[str, Any]) -> None:
    if len(chosen) > 1:
        raise malformed("Filter has one element; several are in And")
    both = chosen.get("And") or {}
    if "And" in chosen and len(both) + max(len(both.get("Tags", [])) - 1, 0) < 2:
        raise malformed("And has at least two elements")
    tagged = "Tag" in chosen or "Tags" in both
    if tagged and (
        "AbortIncompleteMultipartUpload" in rule or (rule.get("Expiration") or {}).get("ExpiredObjectDeleteMarker")
    ):
        raise errors.invalid_request(
            "AbortIncompleteMultipartUpload and ExpiredObjectDeleteMarker cannot be specified with Tags"
        )


def _checked_expiration(expiration: dict[str, Any]) -> dict[str, Any]:
    if len(expiration) != 1:
        raise malformed("Expiration has one of Days, Date and ExpiredObjectDeleteMarker")
    if "Days" in expiration:
        _positive(expiration["Days"], "Days", "'Days' for Expiration action must be a positive integer")
    return _with_moment(expiration)


def _checked_transition(one: dict[str, Any]) -> dict[str, Any]:
    if ("Days" in one) == ("Date" in one) or "StorageClass" not in one:
        raise malformed("Transition has a StorageClass, and either Days or a Date")
    if one.get("Days", 0) < 0:
        raise errors.invalid_argument("'Days' for Transition action must be nonnegative")
    return _with_moment(one)


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


@operation("DeleteBucketLifecycle", needs=("s3:PutLifecycleConfiguration", ""))
def delete_bucket_lifecycle(call: Call, given: Given) -> Answer:
    change(call, lifecycle=None, transition_minimum=None)
    return Answer(204)


@operation("GetBucketWebsite", needs=("s3:GetBucketWebsite", ""))
def get_bucket_website(call: Call, given: Given) -> Result:
    missing = "The specified bucket does not have a website configuration"
    return dict(setting(call, "website", "NoSuchWebsiteConfiguration", missing))


@operation("PutBucketWebsite", "WebsiteConfiguration", needs=("s3:PutBucketWebsite", ""))
def put_bucket_website(call: Call, given: Given) -> Result:
    wanted = given.get("WebsiteConfiguration") or {}
    if "RedirectAllRequestsTo" in wanted:
        if len(wanted) > 1:
            raise errors.invalid_argument(
                "RedirectAllRequestsTo cannot be provided in conjunction with other elements."
            )
    elif "IndexDocument" not in wanted:
        raise errors.invalid_argument(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"
        )
    else:
        suffix = wanted["IndexDocument"]["Suffix"]
        if not suffix or "/" in suffix:
            raise errors.invalid_argument("The IndexDocument Suffix is not well formed")
    if len(wanted.get("RoutingRules", [])) > MAX_ROUTES:
        why = f"{len(wanted['RoutingRules'])} routing rules provided, the number of routing rules in a website"
        raise errors.invalid_request(f"{why} configuration is limited to {MAX_ROUTES}.")
    change(call, website=wanted)
    return {}


@operation("DeleteBucketWebsite", needs=("s3:DeleteBucketWebsite", ""))
def delete_bucket_website(call: Call, given: Given) -> Answer:
    change(call, website=None)
    return Answer(204)


@operation("GetBucketLogging", needs=("s3:GetBucketLogging", ""))
def get_bucket_logging(call: Call, given: Given) -> Result:
    found = call.bucket.settings.get("logging")
    return {"LoggingEnabled": found} if found else {}


@operation("PutBucketLogging", "BucketLoggingStatus", needs=("s3:PutBucketLogging", ""))
def put_bucket_logging(call: Call, given: Given) -> Result:
    wanted = (given.get("BucketLoggingStatus") or {}).get("LoggingEnabled")
    if wanted is not None:
        with call.read() as tx:
            target = bucket.find(tx, wanted["TargetBucket"])
        if target is None or target.account != call.bucket.account:
            why = "The target bucket for logging does not exist, is not owned by you, or does not have the"
            whole = f"{why} appropriate grants for the log-delivery group."
            raise errors.S3Refusal("InvalidTargetBucketForLogging", whole, 400)
        wanted.setdefault("TargetPrefix", "")
    change(call, logging=wanted)
    return {}
