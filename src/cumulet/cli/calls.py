"""Requests to EC2 and S3 as a user makes them, for the few commands that act for one."""

from __future__ import annotations

import hmac
import os
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlencode, urlsplit

from cumulet.cli import running
from cumulet.cli.access import exports
from cumulet.cli.options import Cloud
from cumulet.lib.errors import Failure, Refusal
from cumulet.lib.s3_link import Signer, presigned
from cumulet.wire.canonical import text_v4
from cumulet.wire.request import Request
from cumulet.wire.signature import signing_key
from cumulet.wire.xml_tree import Element, read_xml

SECONDS = 300.0
LINK_SECONDS = 3600


class Client(NamedTuple):
    """Whose keys sign, and where EC2 and S3 are."""

    signer: Signer
    ec2: str
    s3: str


def of_environment(cloud: Cloud) -> Client:
    """As novarc and `cumulet env` set it, else as they would for the cloud that is asked; raises `Failure`."""
    known = {name: os.environ[name] for name in _NAMES if os.environ.get(name)}
    if not {"AWS_ACCESS_KEY_ID", "EC2_ACCESS_KEY"} & known.keys():
        known = exports(cloud) if cloud.endpoint or running.url(cloud.config.state_dir) else {}
    key, secret, url = (known.get(f"AWS_{name}") or known.get(f"EC2_{short}", "") for name, short in _PAIRS)
    url = cloud.endpoint or url
    if not url:
        raise Failure('it is not known where the cloud is: source novarc, or eval "$(cumulet env)"')
    signer = Signer(key, secret, known.get("AWS_SESSION_TOKEN", ""), known.get("AWS_REGION", cloud.config.region))
    return Client(signer, url.rstrip("/"), (cloud.endpoint or known.get("S3_URL", url)).rstrip("/"))


_PAIRS = (("ACCESS_KEY_ID", "ACCESS_KEY"), ("SECRET_ACCESS_KEY", "SECRET_KEY"), ("ENDPOINT_URL", "URL"))
_NAMES = ("AWS_SESSION_TOKEN", "AWS_REGION", "S3_URL", *(name for a, b in _PAIRS for name in (f"AWS_{a}", f"EC2_{b}")))


def ec2(client: Client, action: str, **parameters: str) -> Element:
    """The answer to an action of EC2; raises `Refusal`."""
    given = {"Action": action, "Version": "2016-11-15", **{key: value for key, value in parameters.items() if value}}
    body = urlencode(given).encode()
    url = f"{client.ec2}/"
    return read_xml(_sent(signed(client.signer, url, "ec2", body, "application/x-www-form-urlencoded")))


def signed(signer: Signer, url: str, service: str, body: bytes, content_type: str) -> urllib.request.Request:
    """A POST to a URL without a query, signed by AWS's version 4."""
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    headers = {"host": parts.netloc, "x-amz-date": when, "content-type": content_type}
    if signer.token:
        headers["x-amz-security-token"] = signer.token
    names = sorted(headers)
    request = Request.of("POST", parts.path, b"", headers.items(), body)
    scope = f"{when[:8]}/{signer.region}/{service}/aws4_request"
    text = text_v4(request, names, sha256(body).hexdigest(), when, scope, s3=False)
    key = signing_key(signer.secret, when[:8], signer.region, service)
    signature = hmac.digest(key, text, "sha256").hex()
    credential = f"Credential={signer.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}"
    return urllib.request.Request(url, body, headers, method="POST")


def put(client: Client, bucket: str, key: str, content: bytes | Path) -> None:
    """Have the bucket hold the object; raises `Refusal`."""
    body = content.read_bytes() if isinstance(content, Path) else content
    _sent(urllib.request.Request(_link(client, bucket, key), body, method="PUT"))


def stream(client: Client, bucket: str, key: str, content: IO[bytes], size: int) -> None:
    """The same with so many bytes, as they are read; raises `Refusal`."""
    request = urllib.request.Request(_link(client, bucket, key), content, method="PUT")
    request.add_header("content-length", str(size))
    _sent(request)


def delete(client: Client, bucket: str, key: str = "") -> None:
    """Have the object be gone, or the bucket where no key is given; raises `Refusal`."""
    _sent(urllib.request.Request(_link(client, bucket, key, "DELETE"), method="DELETE"))


def make_bucket(client: Client, bucket: str) -> None:
    """Have the bucket, unless it is the user's already; raises `Refusal`."""
    try:
        put(client, bucket, "", b"")
    except Refusal as e:
        if e.code != "BucketAlreadyOwnedByYou":
            raise


def _link(client: Client, bucket: str, key: str, method: str = "PUT") -> str:
    return presigned(client.signer, client.s3, bucket, key, time.time(), LINK_SECONDS, method)


def _sent(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as e:
        raise _refusal(e) from None
    except OSError as e:
        raise Failure(f"asking {urlsplit(request.full_url).netloc}") from e


def _refusal(e: urllib.error.HTTPError) -> Refusal:
    try:
        found = {element.name: element.text for element in _all(read_xml(e.read()))}
    except ValueError:
        found = {}
    return Refusal(found.get("Code", str(e.code)), found.get("Message", str(e.reason)), e.code)


def _all(element: Element) -> list[Element]:
    return [element, *(inner for child in element.children for inner in _all(child))]


def text_of(answer: Element, name: str) -> str:
    """The text of the first element of this name, at any depth; empty where there is none."""
    return next((element.text for element in _all(answer) if element.name == name), "")
