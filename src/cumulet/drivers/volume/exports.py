"""Volumes for guests on other hosts: one qemu-storage-daemon exports them by NBD.

The daemon outlives this process, as guests do, and ends with its last export. Each export has a name of its own, so
that one that has been taken away gives its client nothing, even if the volume is exported again. Every write is on
the disk before it is answered: a guest whose daemon was killed goes on with the next one, and what it was told is
written must be there although it has asked the old one, and not the new one, to flush.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cumulet.drivers.specs import EXPORT_PORT
from cumulet.drivers.volume.qmp import Qmp
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_PATIENCE = 5.0
_NODE = "file-"


class Exports:
    """The exports of this host, at `address`; without one there can be none. `directory` is for the daemon's socket."""

    def __init__(self, directory: Path, address: str, port: int = EXPORT_PORT) -> None:
        self._directory = directory
        self._address = address
        self.port = port
        self._lock = threading.Lock()

    def put(self, name: str, file: Path) -> None:
        """Have the qcow2 file exported as `name`; raises `Failure`.

        One that is exported with another file writes to this one from now on, which is empty and stands on that one.
        """
        if not self._address:
            raise Failure(f"exporting {file}: the setting tunnel_address is empty: other hosts do not reach this one")
        node = _node(file)
        with self._lock, self._daemon() as daemon:
            before = _exports(daemon).get(name)
            if before != node:
                _open(daemon, node, file, on_top=before is not None)
                crash.point("volume.export.open")
            if before is None:
                export = {"type": "nbd", "id": name, "name": name, "node-name": node}
                daemon.ask("block-export-add", **export, writable=True, writethrough=True)
            elif before != node:
                daemon.ask("blockdev-snapshot", node=before, overlay=node)

    def drop(self, name: str) -> None:
        """Nobody reads or writes by this export any more, not even who is connected; the daemon ends with the last."""
        with self._lock, suppress(OSError), Qmp(self._socket) as daemon:
            if name in _exports(daemon):
                daemon.ask("block-export-del", id=name, mode="hard")
                _until(lambda: name not in _exports(daemon), f"the export {name} does not end")
            crash.point("volume.export.dropped")
            _close_unused(daemon)
            if not _exports(daemon):
                daemon.attempt("quit")
                _until(lambda: not self._runs(), "the qemu-storage-daemon does not end")

    def names(self) -> list[str]:
        """The exports that there are."""
        with self._lock, suppress(OSError), Qmp(self._socket) as daemon:
            return sorted(_exports(daemon))
        return []

    @property
    def _socket(self) -> Path:
        return self._directory / "exports.qmp"

    @contextmanager
    def _daemon(self) -> Iterator[Qmp]:
        """A connection to the daemon, which is started if there is none."""
        try:
            connection = Qmp(self._socket)
        except OSError:
            self._start()
            connection = Qmp(self._socket)
        with connection:
            yield connection

    def _start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        monitor = ["--chardev", f"socket,id=monitor,path={self._socket},server=on,wait=off", "--monitor", "monitor"]
        with self._listening() as listens:
            server = ["--nbd-server", f"addr.type=fd,addr.str={listens.fileno()}"]
            run(["qemu-storage-daemon", "--daemonize", *monitor, *server], descriptors=[listens.fileno()])

    def _listening(self) -> socket.socket:
        """Where clients will connect. QEMU's server sets no TCP_NODELAY before 8.1, and its connections have what this
        socket has: without it, answers that are under way together wait for each other, 2 ms each."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                made = socket.create_server((self._address, self.port))
                break
            except OSError as e:  # a daemon that is just ending has it still
                if e.errno != errno.EADDRINUSE or time.monotonic() > end:
                    raise Failure(f"exporting volumes: {e.strerror}") from e
                time.sleep(0.01)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _runs(self) -> bool:
        try:
            with Qmp(self._socket):
                return True
        except (OSError, Failure):
            return False


def _node(file: Path) -> str:
    """The daemon's name of an open file, of at most 31 characters."""
    return _NODE + hashlib.sha256(str(file).encode()).hexdigest()[:24]


def _exports(daemon: Qmp) -> dict[str, str]:
    """Each export and the file that it writes to."""
    return {one["id"]: one["node-name"] for one in daemon.ask("query-block-exports")}


def _open(daemon: Qmp, node: str, file: Path, *, on_top: bool) -> None:
    nodes = _nodes(daemon)
    if node in nodes:
        if node in _exports(daemon).values():
            raise Failure(f"exporting {file}: it is exported under another name still")
        return
    options: dict[str, Any] = {"driver": "qcow2", "node-name": node, "discard": "unmap", "detect-zeroes": "unmap"}
    if on_top:
        options["backing"] = None  # what it stands on is open already
    daemon.ask("blockdev-add", **options, file={"driver": "file", "filename": str(file), "discard": "unmap"})


def _nodes(daemon: Qmp) -> list[str]:
    """The files that are open."""
    return [one["node-name"] for one in daemon.ask("query-named-block-nodes", flat=True)]


def _close_unused(daemon: Qmp) -> None:
    """Close what no export writes to or stands on; the daemon refuses to close what is used."""
    left = [node for node in _nodes(daemon) if node.startswith(_NODE)]
    while closed := [node for node in left if "error" not in daemon.attempt("blockdev-del", node_name=node)]:
        left = [node for node in left if node not in closed]


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise Failure(f"{what} within {_PATIENCE:g} s")
        time.sleep(0.005)
