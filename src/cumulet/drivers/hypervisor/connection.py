"""The connection to libvirtd: opened when it is needed, again when libvirtd is back, and what it tells by itself."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt

from cumulet.drivers.specs import domain_uuid
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log

log = Log("libvirt")
_LOOK_AGAIN = 2.0
"""Seconds between two looks at whether libvirtd is still there (or again)."""


class Connection:
    """`get()` is a living connection. `on_change(id)` is called for a guest of which libvirt tells something, and
    for every one that `everything()` names after libvirtd was away, in a thread of its own."""

    def __init__(self, uri: str, on_change: Callable[[str], None], everything: Callable[[], list[str]]) -> None:
        self.uri = uri
        self._on_change = on_change
        self._everything = everything
        self._open: Any = None
        self._guard = threading.Lock()
        self._changes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closed = threading.Event()
        _run_event_loop()
        self._teller = threading.Thread(target=self._tell, name="libvirt changes", daemon=True)
        self._teller.start()

    def get(self) -> Any:
        """A `libvirt.virConnect`; raises `Failure` when libvirtd does not answer."""
        with self._guard:
            if self._open is None or not self._open.isAlive():
                self._open = self._opened()
            return self._open

    def close(self) -> None:
        """Stop listening and hang up."""
        self._closed.set()
        self._teller.join(timeout=_LOOK_AGAIN + 5)
        with self._guard, contextlib.suppress(libvirt.libvirtError):
            if self._open is not None:
                self._open.close()
            self._open = None

    def _opened(self) -> Any:
        try:
            connection = libvirt.open(self.uri)
            connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._heard, None)
            for event in (
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
            ):
                connection.domainEventRegisterAny(None, event, self._heard_of_device, None)
            connection.setKeepAlive(5, 3)
        except libvirt.libvirtError as e:
            raise self._no_answer(e) from e
        return connection

    def failure(self, act: str, error: libvirt.libvirtError) -> Failure:
        """What to raise for an error of libvirt's, which may be that its daemon has gone meanwhile."""
        if error.get_error_domain() == libvirt.VIR_FROM_RPC:
            return self._no_answer(error)
        return Failure(f"{act} on {self.uri}: {error}")

    def _no_answer(self, error: libvirt.libvirtError) -> Failure:
        return Failure(f"libvirtd at {self.uri} does not answer: start it (systemctl start libvirtd): {error}")

    def _heard(self, _connection: Any, domain: Any, _event: int, _detail: int, _opaque: Any) -> None:
        name = domain.name()
        if domain.UUIDString() == domain_uuid(name):
            self._changes.put(name)

    def _heard_of_device(self, connection: Any, domain: Any, _alias: str, opaque: Any) -> None:
        self._heard(connection, domain, 0, 0, opaque)

    def _tell(self) -> None:
        before = None
        while not self._closed.is_set():
            try:
                now = self.get()
                if now is not before:
                    for id in self._everything():
                        self._changes.put(id)
                before = now
            except Failure:
                pass  # it is tried again
            except Exception:  # noqa: BLE001 - whoever tells of changes goes on
                log.exception("changes of guests were not looked at")
            with contextlib.suppress(queue.Empty):
                self._on_change(self._changes.get(timeout=_LOOK_AGAIN))


@functools.cache
def _run_event_loop() -> threading.Thread:
    """libvirt's event loop: one for the process, for as long as it lives."""
    libvirt.registerErrorHandler(lambda *_: None, None)  # it would print; every error is raised anyway
    libvirt.virEventRegisterDefaultImpl()
    loop = threading.Thread(target=_loop, name="libvirt events", daemon=True)
    loop.start()
    return loop


def _loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as e:
            log.error("libvirt's events fail", error=e)
            time.sleep(_LOOK_AGAIN)
