"""The bus on RabbitMQ: a question is a message with a time to live, and its answer one to a queue of the asker's own.

The core is synchronous and threaded, AMQP is not: one thread has the event loop and the connection (`amqp_session`),
callers wait on futures of its, and questions are answered in threads of their topic. Whoever is not connected hears
so at once. Queues are transient and nothing is sent twice: truth is in SQL, and who got no answer asks again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import uvloop

from cumulet.bus.amqp_session import Session, cancelled_by_us
from cumulet.bus.contract import Serve, ServeTogether
from cumulet.bus.serving import Hints, Served, ServedTogether, Topic
from cumulet.lib.errors import Failure, Unreachable
from cumulet.lib.log import Log
from cumulet.lib.urls import without_password

T = TypeVar("T")
log = Log("bus")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two tries to connect: twice as long each time, less a random part, so that hosts do not come all
at once when a broker is back."""
PATIENCE = 5.0
"""Seconds that starting, serving and leaving wait for the broker; what takes longer is done when it is back."""


class Address(NamedTuple):
    """Where the broker is, who we are there, and what its certificate is checked with; `shown` has no password."""

    url: str
    user: str
    shown: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, ca_file: str) -> Address:
        """Raises `Failure` for a URL that is none of a broker, and for certificates that cannot be read."""
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("amqp", "amqps") and parts.hostname and parts.username and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise Failure("the URL of the bus is not as it should be: amqps://USER:PASSWORD@HOST:PORT/VHOST")
        try:
            tls = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "amqps" else None
        except OSError as e:
            raise Failure(f"the certificates of the bus in {ca_file} cannot be read: {e}") from e
        return cls(url, unquote(parts.username or ""), without_password(url), tls)


class AmqpBus:
    """Speaks as the URL's user: as `host-NAME` for a host, as any other for the control plane (`names`, `broker`)."""

    def __init__(self, url: str, ca_file: str = "") -> None:
        self._address = Address.of(url, ca_file)
        self._served: dict[str, Topic] = {}
        self._hints = Hints()
        self._session: Session | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()

    def start(self) -> None:
        logging.getLogger("aiormq").setLevel(logging.CRITICAL + 1)  # a broker that is away is no news, and we say it
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="bus", daemon=True)
        self._thread.start()
        self._tried.wait(PATIENCE)

    def stop(self) -> None:
        if self._thread is None:
            return
        if self._loop is not None and self._connecting is not None:
            self._loop.call_soon_threadsafe(self._connecting.cancel)
        self._thread.join()
        self._thread = None
        for served in self._served.values():
            served.close()
        self._hints.close()

    def call(self, topic: str, message: bytes, timeout: float = 30.0) -> bytes:
        session = self._session
        if session is None:
            raise Unreachable(f"{topic}: RabbitMQ is away")
        try:
            return self._in_loop(session.ask(topic, message, timeout), timeout + PATIENCE)
        except (TimeoutError, CancelledError):
            raise Unreachable(f"{topic}: RabbitMQ has gone away") from None

    def serve(self, topic: str, answer: Serve) -> None:
        before = self._served.get(topic)
        if isinstance(before, Served):
            before.answer = answer
        else:
            self._serve(Served(topic, answer))

    def serve_together(self, topic: str, answer: ServeTogether) -> None:
        before = self._served.get(topic)
        if isinstance(before, ServedTogether):
            before.answer = answer
        else:
            self._serve(ServedTogether(topic, answer))

    def _serve(self, served: Topic) -> None:
        self.leave(served.topic)
        self._served[served.topic] = served
        self._with_session(lambda session: session.serve(served))

    def leave(self, topic: str) -> None:
        served = self._served.pop(topic, None)
        if served is not None:
            self._with_session(lambda session: session.leave(topic))
            served.close()

    def publish(self, routing_key: str, message: bytes) -> None:
        session = self._session
        if session is None:
            raise Unreachable(f"{routing_key}: RabbitMQ is away")
        try:
            self._in_loop(session.publish(routing_key, message), 2 * PATIENCE)
        except (TimeoutError, CancelledError):
            raise Unreachable(f"{routing_key}: RabbitMQ has gone away") from None

    def hint(self, kind: str, id: str) -> None:
        """Listeners in this process have it at once, in this thread."""
        self._hints.hear(kind, id)
        session, loop = self._session, self._loop
        if session is not None and loop is not None:
            with suppress(RuntimeError):  # stopped just now
                loop.call_soon_threadsafe(session.hint, kind, id)

    def on_hint(self, listen: Callable[[str, str], None]) -> None:
        first = not self._hints.listeners
        self._hints.listeners.append(listen)
        if first:
            self._with_session(lambda session: session.listen(self._hints))

    def _with_session(self, do: Callable[[Session], Coroutine[Any, Any, None]]) -> None:
        """Do it with the connection that is there; each later one does it by itself."""
        session = self._session
        if session is not None:
            try:
                self._in_loop(do(session), PATIENCE)
            except (TimeoutError, CancelledError):
                log.warning("the broker is slow", place=self._address.shown)

    def _in_loop(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        assert self._loop is not None
        try:
            doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # stopped just now
            work.close()
            raise CancelledError from None
        return doing.result(timeout)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connecting = asyncio.create_task(self._stay_connected())
        await asyncio.wait([self._connecting])

    async def _stay_connected(self) -> None:
        pause, say = FIRST_PAUSE, log.warning
        while True:
            try:
                session = await Session.open(self._address.url, self._address.user, self._address.tls)
                pause, say = FIRST_PAUSE, log.warning
                await self._live(session)
            except (Exception, asyncio.CancelledError) as e:  # noqa: BLE001 - whatever it is, it is tried again
                if cancelled_by_us(e):
                    raise
                say("not connected", place=self._address.shown, error=e)
                say = log.debug
                self._tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _live(self, session: Session) -> None:
        """Serve and be served over this connection as long as it lasts."""
        try:
            self._session = session
            for served in list(self._served.values()):
                await session.serve(served)
            if self._hints.listeners:
                await session.listen(self._hints)
            self._tried.set()
            log.info("connected", place=self._address.shown)
            await session.ended.wait()
            log.warning("the connection is lost", place=self._address.shown, error=session.reason)
        finally:
            self._session = None
            await session.close()
