"""The settings of a bucket that are lists of rules: CORS, website, logging."""

from __future__ import annotations

import re
from typing import Any

from cumulet.api.s3 import cors, errors
from cumulet.api.s3.bucket_settings import change, setting
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.model import bucket
from cumulet.wire.rest_parse import malformed

MAX_ID = 255
MAX_CORS, MAX_ROUTES = 100, 50
_REDIRECT, _FAILED = re.compile("30[1-9]|3[1-9][0-9]"), re.compile("[45][0-9][0-9]")


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
            if method not in cors.METHODS:
                raise errors.invalid_request(
                    f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )
        if len(rule.get("ID", "")) > MAX_ID:
            raise errors.invalid_argument(f"ID length should not exceed allowed limit of {MAX_ID}")
        for name in ("AllowedOrigin", "AllowedHeader"):
            for text in rule.get(f"{name}s", []):
                if text.count("*") > 1:
                    raise errors.invalid_request(f'{name} "{text}" can not have more than one wildcard.')
        if any("*" in text for text in rule.get("ExposeHeaders", [])):
            raise errors.invalid_request("ExposeHeader can not contain a wildcard.")
    change(call, cors=rules)
    return {}


@operation("DeleteBucketCors", needs=("s3:PutBucketCORS", ""))
def delete_bucket_cors(call: Call, given: Given) -> Answer:
    change(call, cors=None)
    return Answer(204)


@operation("GetBucketWebsite", needs=("s3:GetBucketWebsite", ""))
def get_bucket_website(call: Call, given: Given) -> Result:
    missing = "The specified bucket does not have a website configuration"
    return dict(setting(call, "website", "NoSuchWebsiteConfiguration", missing))


@operation("PutBucketWebsite", "WebsiteConfiguration", needs=("s3:PutBucketWebsite", ""))
def put_bucket_website(call: Call, given: Given) -> Result:
    wanted = given.get("WebsiteConfiguration")
    if wanted is None:
        raise malformed("the body is WebsiteConfiguration")
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
    if wanted.get("RoutingRules") == []:
        raise malformed("RoutingRules has at least one RoutingRule")
    if len(wanted.get("RoutingRules", [])) > MAX_ROUTES:
        why = f"{len(wanted['RoutingRules'])} routing rules provided, the number of routing rules in a website"
        raise errors.invalid_request(f"{why} configuration is limited to {MAX_ROUTES}.")
    for rule in wanted.get("RoutingRules", []):
        _check_route(rule)
    change(call, website=wanted)
    return {}


def _check_route(rule: dict[str, Any]) -> None:
    condition, redirect = rule.get("Condition"), rule["Redirect"]
    if condition is not None and not condition:
        why = "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't"
        raise errors.invalid_request(f"{why} be present.")
    if not redirect:
        raise malformed("Redirect has at least one element")
    if "ReplaceKeyPrefixWith" in redirect and "ReplaceKeyWith" in redirect:
        raise errors.invalid_request("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    failed = (condition or {}).get("HttpErrorCodeReturnedEquals", "404")
    if not _FAILED.fullmatch(failed):
        why = f"The provided HTTP error code ({failed}) is not valid. Valid codes are 4XX or 5XX."
        raise errors.invalid_request(why)
    code = redirect.get("HttpRedirectCode", "301")
    if not _REDIRECT.fullmatch(code):
        why = f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300."
        raise errors.invalid_request(why)


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
