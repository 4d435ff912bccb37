"""Secrets in logs: each that a cloud's clients have sent or were given is looked for in all that it has logged."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

SECRET = {
    "CopySourceSSECustomerKey",
    "KeyMaterial",
    "NewPassword",
    "OldPassword",
    "Password",
    "SSECustomerKey",
    "SecretAccessKey",
    "SessionToken",
    "UserData",
}
"""The members of requests and answers that hold one."""
SHORTEST = 12
"""What is shorter may be in a log by chance."""


class Watch(logging.Handler):
    """Hears all that is logged, of each level, until it is `ended`; knows the secrets that have come by."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.secrets: set[str] = set()
        self._logger = logging.getLogger("cumulet")
        self._level = self._logger.level
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        self.lines.append(record.getMessage() + trace)

    def listen(self, client: Any) -> None:
        """Know what this client of boto3 sends and is given."""
        client.meta.events.register("provide-client-params", lambda params, **_: self.know(params))
        client.meta.events.register("after-call", lambda parsed, **_: self.know(parsed))

    def know(self, value: Any) -> None:
        for secret in _secrets(value):
            if len(secret) >= SHORTEST:
                self.secrets.add(secret)

    def leaks(self, audit: Path) -> list[str]:
        """The lines of the log and of the audit log that have a secret in them."""
        files = [line for file in audit.rglob("*.jsonl") for line in file.read_text().splitlines()]
        forms = {form for secret in self.secrets for form in _forms(secret)}
        return [line for line in (*self.lines, *files) if any(form in line for form in forms)]

    def ended(self, audit: Path) -> None:
        """Hear no more; fails where a secret was logged."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
        assert self.leaks(audit) == []


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in SECRET and isinstance(inner, str | bytes):
                yield inner.decode(errors="replace") if isinstance(inner, bytes) else inner
            else:
                yield from _secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)


def _forms(secret: str) -> set[str]:
    """As it is, and as it may stand in a URL, in JSON or in Base64."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, quote(secret, safe=""), secret.replace("\n", "\\n"), encoded}
