"""The AWS endpoint as a bare ASGI app: reads a request within its limits, answers it in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cumulet.api import cloudtrail, ec2, iam, service_quotas, sts
from cumulet.api.context import Ask
from cumulet.api.dispatch import Response, answer, refused
from cumulet.api.s3.asgi import S3
from cumulet.api.s3.elsewhere import Elsewhere
from cumulet.api.s3.inside import Inside, InsideElsewhere
from cumulet.api.s3.location import is_for_s3
from cumulet.lib import ids
from cumulet.lib.config import Config
from cumulet.lib.errors import Refusal
from cumulet.lib.threads import Threads
from cumulet.model import Database
from cumulet.wire.request import Request

MAX_BODY = 1 << 20
MAX_HEADERS = 32 << 10
BODY_SECONDS = 20.0
THREADS = 16

SERVICES = (cloudtrail, ec2, iam, service_quotas, sts)
"""Importing a service is what registers its actions."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Admin = Callable[[Request], tuple[int, bytes] | None]
"""A request to (status, JSON), or None where the path is not its own."""


class App:
    """Serves every AWS service at one URL (S3 too, from here or from elsewhere), and `/_cumulet/…` by `admin`."""

    def __init__(
        self, database: Database, config: Config, ask: Ask, admin: Admin, s3: S3 | Elsewhere | None = None
    ) -> None:
        self._database = database
        self._config = config
        self._ask = ask
        self._admin = admin
        self._s3 = s3
        self._objects = _objects(database, config, s3)
        self._threads = Threads(THREADS, "api")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._s3 is not None and _is_for_s3(scope, self._config):
            await self._s3(scope, receive, send)
            return
        try:
            body = await _body(scope, receive)
        except Refusal as e:
            await _send(send, refused("ec2", e, ids.request_id()), close=True)
            return
        if body is None:
            return
        await _send(send, await self._threads.run(self._answer, scope, body))

    def _answer(self, scope: dict[str, Any], body: bytes) -> Response:
        path = scope["raw_path"].decode("latin-1")
        address = (scope.get("client") or ("",))[0]
        secure = scope.get("scheme") == "https"
        method, query, headers = scope["method"], scope["query_string"], scope["headers"]
        request = Request.of(method, path, query, headers, body, address, secure=secure)
        if path.startswith("/_cumulet/"):
            return self._administer(request)
        return answer(self._database, self._config, self._ask, request, self._objects)

    def _administer(self, request: Request) -> Response:
        status, text = self._admin(request) or (404, b'{"error": "there is no such path"}')
        return Response(status, text, ids.request_id(), "application/json")


def _objects(database: Database, config: Config, s3: S3 | Elsewhere | None) -> Inside | None:
    if isinstance(s3, S3):
        return Inside(s3.house)
    return InsideElsewhere(database, config, s3.url) if s3 is not None and s3.url else None


def _is_for_s3(scope: dict[str, Any], config: Config) -> bool:
    return not scope["raw_path"].startswith(b"/_cumulet/") and is_for_s3(scope, config)


async def _body(scope: dict[str, Any], receive: Receive) -> bytes | None:
    """The whole body; None when the client went away. Raises `Refusal` past a limit."""
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        raise Refusal("RequestHeaderSectionTooLarge", f"The headers are larger than {MAX_HEADERS} bytes.", 400)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MAX_BODY:
                    raise Refusal("RequestEntityTooLarge", f"The request is larger than {MAX_BODY} bytes.", 413)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal("RequestTimeout", f"The request was not complete after {BODY_SECONDS:g} s.", 400) from None


async def _send(send: Send, response: Response, *, close: bool = False) -> None:
    headers = [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
        (b"x-amzn-requestid", response.request_id.encode()),
    ]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
