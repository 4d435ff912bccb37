"""Links to objects: presigned URLs (AWS: "Authenticating requests: using query parameters"), path style.

Whoever has one may do this one thing with this one object, with the rights of whose key signed it.
"""

from __future__ import annotations

import contextlib
import hmac
from datetime import UTC, datetime
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from cumulet.lib.errors import Failure, Impossible
from cumulet.lib.urls import without_password

SECONDS = 20.0
MOST_BYTES = 1 << 20
"""Of an answer that is read."""


class Signer(NamedTuple):
    """Whose links they are: an access key, its secret, the session's token where it is temporary, and the region."""

    key: str
    secret: str
    token: str
    region: str


def presigned(
    signer: Signer, endpoint: str, bucket: str, key: str, now: float, seconds: int, method: str, **parameters: str
) -> str:
    """The link to `method` an object (with no `key` the bucket) at http://HOST:PORT, good until `now` + `seconds`.

    `parameters` of the operation are signed too.
    """
    when = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{when[:8]}/{signer.region}/s3/aws4_request"
    path = "/" + quote(f"{bucket}/{key}" if key else bucket, safe="/~")
    query = {
        **parameters,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{signer.key}/{scope}",
        "X-Amz-Date": when,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if signer.token:
        query["X-Amz-Security-Token"] = signer.token
    asked = urlencode(sorted(query.items()), quote_via=quote, safe="~")
    lines = [method, path, asked, f"host:{urlsplit(endpoint).netloc}", "", "host", "UNSIGNED-PAYLOAD"]
    digest = sha256("\n".join(lines).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{digest}"
    secret = f"AWS4{signer.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    return f"{endpoint.rstrip('/')}{path}?{asked}&X-Amz-Signature={signature}"


def answer_to(method: str, link: str, body: bytes = b"") -> bytes:
    """The body of the answer to a link that is asked for; raises `Impossible` if it is refused, `Failure` otherwise."""
    url, where = urlsplit(link), without_password(link)
    connection = (HTTPSConnection if url.scheme == "https" else HTTPConnection)(url.netloc, timeout=SECONDS)
    try:
        with contextlib.closing(connection):
            connection.request(method, f"{url.path}?{url.query}", body)
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES)
    except (OSError, HTTPException) as e:
        raise Failure(f"asking {where}: {e}") from e
    if answer.status in (400, 403, 404):
        raise Impossible("ClientError", f"asking {where}: HTTP {answer.status} ({answer.reason})")
    if answer.status >= 300:
        raise Failure(f"asking {where}: HTTP {answer.status} ({answer.reason})")
    return text
