"""What is signed: the canonical forms of a request, version 4 and version 2.

Sources: "Create a signed AWS API request" of the IAM User Guide; "Signature Version 2 signing process" of the AWS
General Reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from cumulet.wire.request import Form, Request

_BLANKS = re.compile("[ \t]+")
_PLAIN_PATH = re.compile("[A-Za-z0-9._~/-]+")
REMEMBERED = 4096
_PORT = re.compile(":[0-9]*$")


def text_v4(request: Request, signed_headers: Iterable[str], payload: str, when: str, scope: str, s3: bool) -> bytes:
    """Version 4's string to sign. `when` is YYYYMMDDTHHMMSSZ, `scope` is day/region/service/aws4_request."""
    names = [name.lower() for name in signed_headers]
    values = _header_values(request)
    lines = [request.method.upper(), canonical_path(request.raw_path, s3), _query(request.query)]
    lines += [f"{name}:{values.get(name, '')}" for name in names]
    lines += ["", ";".join(names), payload]
    hashed = sha256("\n".join(lines).encode("latin-1", "replace")).hexdigest()
    return f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashed}".encode()


def texts_v2(request: Request, form: Form) -> tuple[bytes, ...]:
    """Version 2's string to sign, with the host as sent and without its port, of which some clients sign the one and
    some the other."""
    pairs = sorted((name, value) for name, value in form if name != "Signature")
    parameters = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    host = (request.header("host") or "").lower()
    hosts = dict.fromkeys([host, _PORT.sub("", host)])
    path = request.raw_path or "/"
    return tuple(f"{request.method.upper()}\n{name}\n{path}\n{parameters}".encode() for name in hosts)


def _header_values(request: Request) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        values.setdefault(name, []).append(_BLANKS.sub(" ", value.strip(" \t")))
    return {name: ",".join(parts) for name, parts in values.items()}


def canonical_path(raw_path: str, s3: bool) -> str:
    """S3's path is encoded once and left as it is; all others' is normalised and encoded once more."""
    if s3 and _PLAIN_PATH.fullmatch(raw_path):
        return raw_path
    raw = raw_path.encode("latin-1", "replace")
    return quote_from_bytes(unquote_to_bytes(raw) if s3 else _normalised(raw), safe="/") or "/"


def _normalised(path: bytes) -> bytes:
    """Without empty, `.` and `..` segments, as AWS's SDKs do it."""
    kept: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del kept[-1:]
        elif part not in (b"", b"."):
            kept.append(part)
    slash = b"/" if kept and path.endswith(b"/") else b""
    return b"/" + b"/".join(kept) + slash


def _query(raw: str) -> str:
    """The query sorted and encoded anew, without the signature itself."""
    pairs = []
    for part in raw.encode("latin-1", "replace").split(b"&"):
        name, _, value = part.partition(b"=")
        if part and name != b"X-Amz-Signature":
            pairs.append((_encoded(name), _encoded(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(REMEMBERED)
def _encoded(text: bytes) -> str:
    return quote_from_bytes(unquote_to_bytes(text.replace(b"+", b" ")), safe="")
