"""Links to objects: presigned URLs (AWS: "Authenticating requests: using query parameters"), path style.

Whoever has one may do this one thing with this one object, with the rights of whose key signed it.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit


class Signer(NamedTuple):
    """Whose links they are: an access key, its secret, the session's token where it is temporary, and the region."""

    key: str
    secret: str
    token: str
    region: str


def presigned(signer: Signer, endpoint: str, bucket: str, key: str, now: float, seconds: int, method: str) -> str:
    """The link to `method` an object (with no `key` the bucket) at http://HOST:PORT, good until `now` + `seconds`."""
    when = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{when[:8]}/{signer.region}/s3/aws4_request"
    path = "/" + quote(f"{bucket}/{key}" if key else bucket, safe="/~")
    query = {
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
