"""RabbitMQ itself: its virtual host and its users, through its management API; each host's user may do the least.

A host may have the queues of its own topics and one for answers to it, and send to three exchanges. It may bind
nothing: whoever may bind a queue to an exchange may do so under any key, and so read what others are sent.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import ssl
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from cumulet.bus import names
from cumulet.lib.errors import Failure
from cumulet.lib.urls import without_password

TIMEOUT_SECONDS = 10.0


class Permissions(NamedTuple):
    """Patterns of the names that a user may make and delete, send to, and take from (RabbitMQ, Access Control)."""

    configure: str
    write: str
    read: str


CONTROL = Permissions(".*", ".*", ".*")
"""The control plane may give every host every order, so there is nothing to keep from it in its virtual host."""


def of_host(host: str) -> Permissions:
    """What the user of this host may do; raises `Failure` for what is not the name of a host."""
    user = re.escape(names.host_user(host))
    own = rf"^([a-z]+\.{re.escape(host)}|answers:{user}:{names.PRIVATE})$"
    sent_to = "|".join(map(re.escape, (names.REPORTS, names.ANSWERS, names.HINTS)))
    return Permissions(configure=own, write=f"^({sent_to})$", read=own)


class Broker:
    """RabbitMQ's management API, at http(s)://ADMINISTRATOR:PASSWORD@HOST:PORT; `vhost` is where the bus is."""

    def __init__(self, url: str, vhost: str = "cumulet", ca_file: str = "") -> None:
        parts = urlsplit(url)
        self._shown = without_password(url)
        self._vhost = quote(vhost, safe="")
        self._host, self._port = parts.hostname or "localhost", parts.port
        self._tls = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._authorization = "Basic " + base64.b64encode(login.encode()).decode()

    def prepare(self) -> None:
        """The virtual host is there."""
        self._ask("PUT", f"vhosts/{self._vhost}")

    def remove(self) -> None:
        """The virtual host is gone, with all that was in it."""
        self._ask("DELETE", f"vhosts/{self._vhost}")

    def add_control(self, user: str) -> str:
        """Make a user of the control plane, or give it a new password; gives the password."""
        if not user or names.is_host(user):
            raise Failure(f"{user!r} cannot be a user of the control plane: such names are those of hosts")
        return self._add(user, CONTROL)

    def add_host(self, host: str) -> str:
        """Make the user of a host, or give it a new password; gives the password."""
        return self._add(names.host_user(host), of_host(host))

    def remove_user(self, user: str) -> None:
        """The user is gone, and RabbitMQ closes its connections."""
        self._ask("DELETE", f"users/{quote(user, safe='')}")

    def _add(self, user: str, permissions: Permissions) -> str:
        password, name = secrets.token_urlsafe(24), quote(user, safe="")
        self._ask("PUT", f"users/{name}", {"password": password, "tags": ""})
        self._ask("PUT", f"permissions/{self._vhost}/{name}", permissions._asdict())
        return password

    def _ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> None:
        """Removing what is not there succeeds; raises `Failure` for any other answer than that it is done."""
        try:
            status, said = self._exchange(method, f"/api/{path}", json.dumps(document or {}))
        except (OSError, http.client.HTTPException) as e:
            raise Failure(f"asking RabbitMQ's management at {self._shown}") from e
        if status >= 300 and (method, status) != ("DELETE", 404):
            raise Failure(f"{method} {path} at {self._shown}: {status} {said.decode(errors='replace').strip()}")

    def _exchange(self, method: str, path: str, body: str) -> tuple[int, bytes]:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        )
        try:
            headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
