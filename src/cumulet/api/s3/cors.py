"""Requests from a browser's page of another origin: the preflight, and the headers of every answer to one."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Answer, Call
from cumulet.model import bucket
from cumulet.wire.request import shown

_VARY = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
Headers = list[tuple[str, str]]


def preflight(call: Call) -> Answer:
    """Whether the request that a browser wants to make may be made."""
    origin, method = call.header("origin"), call.header("access-control-request-method")
    if not origin:
        raise errors.S3Refusal("BadRequest", "Insufficient information. Origin request header needed.", 400)
    if not method:
        raise errors.S3Refusal("BadRequest", "Invalid Access-Control-Request-Method: null", 400)
    if method not in METHODS:
        raise errors.S3Refusal("BadRequest", f"Invalid Access-Control-Request-Method: {shown(method)}", 400)
    asked = [name.strip().lower() for name in (call.header("access-control-request-headers") or "").split(",")]
    asked = [name for name in asked if name]
    rules = _rules(call)
    if rules is None:
        raise _forbidden("CORSResponse: CORS is not enabled for this bucket.", method)
    rule = _matching(rules, origin, method, asked)
    if rule is None:
        raise _forbidden("CORSResponse: This CORS request is not allowed.", method)
    headers = _allowed(rule, origin)
    if asked:
        headers.append(("Access-Control-Allow-Headers", ", ".join(asked)))
    return Answer(200, headers)


def _forbidden(why: str, method: str) -> errors.S3Refusal:
    known = "This is usually because the evalution of Origin, request method / Access-Control-Request-Method or"
    whole = f"{why} {known} Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
    return errors.S3Refusal("AccessForbidden", whole, 403, Method=method, ResourceType="BUCKET")


def of_answer(call: Call) -> Headers:
    """What the answer to a request with an Origin says."""
    origin = call.header("origin") or ""
    method = call.header("access-control-request-method") or call.request.method
    rule = _matching(_rules(call) or [], origin, method, [])
    return _allowed(rule, origin) if rule is not None else []


def _rules(call: Call) -> list[dict[str, Any]] | None:
    if call.bucket_row is None and call.bucket_name:
        with call.read() as tx:
            call.bucket_row = bucket.find(tx, call.bucket_name)
    found = call.bucket_row.settings.get("cors") if call.bucket_row is not None else None
    return found if isinstance(found, list) else None


def _matching(rules: list[dict[str, Any]], origin: str, method: str, asked: list[str]) -> dict[str, Any] | None:
    for rule in rules:
        headers = [name.lower() for name in rule.get("AllowedHeaders", [])]
        if (
            any(_is_like(origin, pattern) for pattern in rule["AllowedOrigins"])
            and method in rule["AllowedMethods"]
            and all(any(_is_like(name, pattern) for pattern in headers) for name in asked)
        ):
            return rule
    return None


def _is_like(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def _allowed(rule: dict[str, Any], origin: str) -> Headers:
    everybody = "*" in rule["AllowedOrigins"]
    headers = [("Access-Control-Allow-Origin", "*" if everybody else origin)]
    headers.append(("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])))
    if not everybody:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if rule.get("ExposeHeaders"):
        headers.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
    if rule.get("MaxAgeSeconds") is not None:
        headers.append(("Access-Control-Max-Age", str(rule["MaxAgeSeconds"])))
    return [*headers, _VARY]
