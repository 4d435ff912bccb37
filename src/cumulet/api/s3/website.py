"""A bucket as a website, at BUCKET.s3-website.DOMAIN: index and error documents, redirects, pages for people.

Source: "Hosting a static website using Amazon S3" of the Amazon S3 User Guide.
"""

from __future__ import annotations

import html
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from cumulet.api.s3 import access, errors
from cumulet.api.s3 import objects as api_objects
from cumulet.api.s3.call import HOST_ID, Answer, Call
from cumulet.lib.errors import Refusal
from cumulet.model import bucket
from cumulet.model import object as objects
from cumulet.wire.models import load
from cumulet.wire.request import Request
from cumulet.wire.rest_parse import parse_rest
from cumulet.wire.rest_render import mail_safe

Site = dict[str, Any]


def serve(call: Call) -> Answer:
    """The page, a redirect, or a page that says what is wrong."""
    try:
        site = _site(call)
        return _moved(call, site, call.key, None) or _page(call, site)
    except Refusal as e:
        return _plain_error(call, e)


def _site(call: Call) -> Site:
    if call.request.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed(call.request.method, "OBJECT", "GET, HEAD")
    with call.read() as tx:
        call.bucket_row = bucket.find(tx, call.bucket_name)
    if call.bucket_row is None:
        raise errors.no_such_bucket(call.bucket_name)
    access.check_payer(call, call.bucket)
    site = call.bucket.settings.get("website")
    if site is None:
        missing = "The specified bucket does not have a website configuration"
        raise errors.S3Refusal("NoSuchWebsiteConfiguration", missing, 404, BucketName=call.bucket_name)
    return dict(site)


def _page(call: Call, site: Site) -> Answer:
    asked = call.key
    suffix = site.get("IndexDocument", {}).get("Suffix", "").encode()
    key = asked + suffix if not asked or asked.endswith(b"/") else asked
    try:
        return _object(call, key)
    except Refusal as e:
        if not asked.endswith(b"/") and asked and _is_there(call, asked + b"/" + suffix):
            return Answer(302, [("Location", f"/{quote(asked)}/")])
        return _moved(call, site, asked, e.status) or _error_document(call, site, e)


def _object(call: Call, key: bytes, status: int | None = None) -> Answer:
    """An object as anybody may read it, or where it says to go instead."""
    call.key = key
    path = {"Bucket": call.bucket_name, "Key": call.key_text}
    request = call.request if status is None else Request(call.request.method, call.request.raw_path, "", (), None)
    given = parse_rest(load("s3"), "GetObject", request, {}, path, None)
    known = ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince", "Range")
    answer = api_objects.serve(call, {name: given[name] for name in known if name in given}, "s3:GetObject")
    target = next((value for name, value in answer.headers if name == "x-amz-website-redirect-location"), None)
    if target is not None and status is None:
        return Answer(301, [("Location", target)])
    return Answer(status or answer.status, answer.headers, answer.body, answer.stream)


def _is_there(call: Call, key: bytes) -> bool:
    with call.read() as tx:
        row = objects.newest(tx, call.bucket_name, key)
    return row is not None and not row.marker


def _moved(call: Call, site: Site, key: bytes, status: int | None) -> Answer | None:
    """Where a redirect or a routing rule sends this request."""
    everything = site.get("RedirectAllRequestsTo")
    text = key.decode()
    if everything is not None:
        protocol = everything.get("Protocol") or call.scheme
        return Answer(301, [("Location", f"{protocol}://{everything['HostName']}/{quote(text)}")])
    for rule in site.get("RoutingRules", []):
        condition = rule.get("Condition") or {}
        prefix, code = condition.get("KeyPrefixEquals", ""), condition.get("HttpErrorCodeReturnedEquals")
        if text.startswith(prefix) and (code is None and status is None or code == str(status)):
            return _redirected(call, rule["Redirect"], text, prefix)
    return None


def _redirected(call: Call, redirect: dict[str, Any], key: str, prefix: str) -> Answer:
    if "ReplaceKeyWith" in redirect:
        key = redirect["ReplaceKeyWith"]
    elif "ReplaceKeyPrefixWith" in redirect:
        key = redirect["ReplaceKeyPrefixWith"] + key.removeprefix(prefix)
    host = redirect.get("HostName") or call.header("host") or ""
    location = f"{redirect.get('Protocol') or call.scheme}://{host}/{quote(key)}"
    return Answer(int(redirect.get("HttpRedirectCode", "301")), [("Location", location)])


def _error_document(call: Call, site: Site, refusal: Refusal) -> Answer:
    document = site.get("ErrorDocument", {}).get("Key")
    if not document:
        return _plain_error(call, refusal)
    try:
        return _object(call, document.encode(), refusal.status)
    except Refusal as e:
        return _plain_error(call, refusal, e)


def _plain_error(call: Call, refusal: Refusal, second: Refusal | None = None) -> Answer:
    """A page that says what is wrong, and what was wrong with the page that was to say so."""
    title = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    inside = f"<h1>{title}</h1>\n{_listed(refusal, RequestId=call.request_id, HostId=HOST_ID)}"
    if second is not None:
        inside += f"<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n{_listed(second)}"
    page = f"<html>\n<head><title>{title}</title></head>\n<body>\n{inside}<hr/>\n</body>\n</html>\n"
    headers = [("Content-Type", "text/html; charset=utf-8")]
    headers += [("x-amz-error-code", refusal.code), ("x-amz-error-message", refusal.message)]
    headers += [(f"x-amz-error-detail-{name}", mail_safe(text)) for name, text in refusal.details.items()]
    return Answer(refusal.status, headers, page.encode())


def _listed(refusal: Refusal, **more: str) -> str:
    pairs = {"Code": refusal.code, "Message": refusal.message, **refusal.details, **more}
    items = "".join(f"<li>{html.escape(f'{name}: {text}')}</li>\n" for name, text in pairs.items())
    return f"<ul>\n{items}</ul>\n"
