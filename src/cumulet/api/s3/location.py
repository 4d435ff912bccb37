"""What a request to S3 is about: bucket and key, in the path or in the host's name; and whether it is to S3 at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from cumulet.api.s3 import errors
from cumulet.lib.config import Config
from cumulet.wire.request import Request
from cumulet.wire.rest_route import Level

MAX_KEY = 1024
MAX_QUERY = 2000
_SCOPE = re.compile(r"Credential=[^,\s]*/([a-z0-9-]+)/aws4_request")
_SCOPE_IN_URL = re.compile(r"X-Amz-Credential=[^&]*(?:%2F|/)([a-z0-9-]+)(?:%2F|/)aws4_request", re.IGNORECASE)
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(":[0-9]*$")


@dataclass(frozen=True)
class Place:
    """Where a request goes; `by_host`: the bucket is in the host's name."""

    bucket: str
    key: bytes
    query: dict[str, str]
    by_host: bool = False
    website: bool = False

    @property
    def level(self) -> Level:
        return "key" if self.key else "bucket" if self.bucket else "service"


def is_for_s3(scope: dict[str, Any], config: Config) -> bool:
    """Whether an HTTP request is S3's: signed for it, or to a name of it; or to a path, which no other service has."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    authorization, query = headers.get(b"authorization", ""), scope["query_string"].decode("latin-1")
    found = _SCOPE.search(authorization) or _SCOPE_IN_URL.search(query)
    if found:
        return found[1] == "s3"
    if authorization.startswith("AWS ") or of_host(headers.get(b"host", ""), config) is not None:
        return True
    path = scope["raw_path"]
    if path == b"/":
        by_url = "AWSAccessKeyId=" in query and "Expires=" in query
        return by_url or scope["method"] in ("HEAD", "OPTIONS") or (scope["method"] == "GET" and "Action=" not in query)
    is_query = headers.get(b"content-type", "").startswith("application/x-www-form-urlencoded")
    return not is_query and "Action=" not in query and "SignatureVersion=" not in query


def of_host(host: str, config: Config) -> tuple[str, bool] | None:
    """The bucket that a host's name says ("": none), and whether it is its website; None if the name is not S3's."""
    domain = config.object_domain
    name = _PORT.sub("", host).lower()
    if not domain:
        return None
    if name == domain:
        return "", False
    for end, is_website in ((f".s3-website.{domain}", True), (f".{domain}", False)):
        if name.endswith(end):
            return name.removesuffix(end), is_website
    return None


def locate(request: Request, config: Config) -> Place:
    """Raises InvalidURI for what is not UTF-8, KeyTooLongError for a key of more than 1,024 bytes, InvalidBucketName
    for a key without a bucket."""
    by_host = of_host(request.header("host") or "", config)
    path = request.raw_path.removeprefix("/")
    if by_host is not None and by_host[0]:
        bucket, rest = by_host[0], path
    else:
        bucket, _, rest = path.partition("/")
        bucket = _text(bucket)
    key = _text(rest).encode()
    if len(key) > MAX_KEY:
        long = {"Size": str(len(key)), "MaxSizeAllowed": str(MAX_KEY)}
        raise errors.S3Refusal("KeyTooLongError", "Your key is too long", 400, **long)
    if key and not bucket:
        raise errors.S3Refusal("InvalidBucketName", "The specified bucket is not valid.", 400, BucketName="")
    website = by_host is not None and by_host[1]
    return Place(bucket, key, _query(request.query), bool(by_host and by_host[0]), website)


def _text(raw: str) -> str:
    if raw.isascii() and "%" not in raw:
        return raw
    try:
        if _STRAY_PERCENT.search(raw):
            raise ValueError(raw)
        return unquote_to_bytes(raw.encode("latin-1", "replace")).decode()
    except ValueError:
        raise errors.S3Refusal("InvalidURI", "Couldn't parse the specified URI.", 400, URI=raw[:200]) from None


def _query(raw: str) -> dict[str, str]:
    parts = [part for part in raw.split("&") if part]
    if len(parts) > MAX_QUERY:
        raise errors.invalid_argument(f"The query has more than {MAX_QUERY} parameters.")
    pairs = [part.replace("+", " ").partition("=")[::2] for part in parts]
    return {_text(name): _text(value) for name, value in reversed(pairs)}
