"""Requests signed by botocore, as a server sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import BaseSigner, S3SigV4Auth, S3SigV4QueryAuth, SigV2Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cumulet.lib.errors import Refusal
from cumulet.wire.request import Request, read_form
from cumulet.wire.signature import read, verify

KEY = "AKIAIOSFODNN7EXAMPLE"
REGION = "us-east-1"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
BODY = {"Action": "DescribeInstances", "Version": "2016-11-15", "Filter.1.Name": "tag:a b", "Filter.1.Value.1": "ä*~/+"}


def sign(signer: BaseSigner, method: str = "POST", url: str = "", body: Any = None, **headers: str) -> Request:
    """A request signed by botocore and read from the wire."""
    request = AWSRequest(method, url or "http://ec2.localhost:8773/", headers=headers, data=body)
    signer.add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    sent = [("Host", parts.netloc), *((name, _text(value)) for name, value in prepared.headers.items())]
    raw = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    return Request.of(method, parts.path, parts.query, sent, raw or b"")


def _text(value: str | bytes) -> str | bytes:
    return value.encode() if isinstance(value, str) else value


def by_header(service: str = "ec2", token: str | None = None, region: str = REGION, **more: Any) -> Request:
    """Version 4 in the Authorization header; `region` is the scope's."""
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    more.setdefault("body", dict(BODY))
    return sign(signer(Credentials(KEY, SECRET, token), service, region), **more)


def by_url(
    service: str = "sts", expires: int = 60, token: str | None = None, region: str = REGION, **more: Any
) -> Request:
    """Version 4 in the URL."""
    signer = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
    more.setdefault("url", "http://localhost:8773/?Action=GetCallerIdentity&Version=2011-06-15&b=1%2F2&a=x%20y&a2")
    return sign(signer(Credentials(KEY, SECRET, token), service, region, expires=expires), "GET", **more)


def by_form(**more: Any) -> Request:
    """Version 2."""
    more.setdefault("body", dict(BODY))
    return sign(SigV2Auth(Credentials(KEY, SECRET)), **more)


def check(
    request: Request, service: str, now: float, secret: str | None = SECRET, token: str = "", region: str = REGION
) -> Refusal | None:
    """What a cloud in `region` says on reading and verifying the request; None if it is believed."""
    try:
        claim = read(request, read_form(request))
        assert claim is not None
        verify(claim, secret, now, service, region, token)
    except Refusal as refusal:
        return refusal
    return None


def with_header(request: Request, name: str, value: str) -> Request:
    """The request with another value for a header, or with one more header."""
    others = tuple(pair for pair in request.headers if pair[0] != name)
    return replace(request, headers=(*others, (name, value)))
