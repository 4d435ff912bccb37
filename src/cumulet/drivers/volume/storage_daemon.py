"""Volumes by NBD for guests on other hosts, and as raw bytes for tgtd: one qemu-storage-daemon opens them all.

The daemon outlives this process, as guests do, and ends with its last export. Every write is on the disk before it is
answered: a guest whose daemon was killed goes on with the next one, and what it was told is written must be there
although it has asked the old one, and not the new one, to flush.
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
from typing import Any, NamedTuple

from cumulet.drivers.specs import EXPORT_PORT
from cumulet.drivers.volume import encrypted
from cumulet.drivers.volume.qmp import Qmp
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.lib.rbd import Pool

_PATIENCE = 5.0
_NODE = "file-"
_TLS = "tls"


class Image(NamedTuple):
    """What is kept as an image in a pool of Ceph, where others have a file."""

    pool: Pool
    name: str

    def __str__(self) -> str:
        return f"{self.pool.name}/{self.name}"


Kept = Path | Image


class StorageDaemon:
    """This host's; `address` and `port` are where it serves NBD: with TLS, where it has a directory of `certificates`,
    and then to those alone that have one of the same authority. `directory` is for its socket and for the views."""

    def __init__(
        self, directory: Path, address: str, port: int = EXPORT_PORT, certificates: Path | None = None
    ) -> None:
        self._directory = directory
        self._certificates = certificates
        self._address = address
        self.port = port
        self._lock = threading.Lock()

    def put(self, name: str, file: Kept, format: str, key: str = "", size: int = 0) -> None:
        """Have the file exported by NBD as `name`, opened with its key if it has one; raises `Failure`.

        One that is exported with another file writes to this one from now on, which is empty and stands on that one.
        One that has fewer than `size` bytes grows: whoever is connected is cut off for that, and learns of it, or of
        nothing, when it connects again.
        """
        if not self._address:
            raise Failure(f"exporting {file}: the setting tunnel_address is empty: other hosts do not reach this one")
        with self._lock, self._daemon() as daemon:
            there = _switched(daemon, name, file, format, key)
            if there and not _is_smaller(daemon, file, size):
                return
            if there:  # while QEMU serves a disk by NBD, nobody may change its size
                _end(daemon, name)
                crash.point("volume.export.ended")
            _grow(daemon, file, size)
            export = {"type": "nbd", "id": name, "name": name, "node-name": _node(file)}
            daemon.ask("block-export-add", **export, writable=True, writethrough=True)

    def view(self, name: str, file: Kept, format: str, key: str = "", size: int = 0) -> tuple[Path, bool]:
        """Have what is in the file as raw bytes in another one (FUSE), at least so many; gives that, and whether it is
        a new one."""
        mountpoint = self._views / name
        with self._lock, self._daemon() as daemon:
            there = _switched(daemon, name, file, format, key)
            _grow(daemon, file, size)
            if there:  # the kernel remembers the size for a second
                _until(lambda: mountpoint.stat().st_size >= size, f"{mountpoint} has not grown")
                return mountpoint, False
            self._views.mkdir(mode=0o700, exist_ok=True)
            self._clear_view(name)
            mountpoint.touch(mode=0o600)
            export = {"type": "fuse", "id": name, "mountpoint": str(mountpoint), "node-name": _node(file)}
            daemon.ask("block-export-add", **export, writable=True, writethrough=True)
            return mountpoint, True

    def drop(self, name: str) -> None:
        """Nobody reads or writes by this export any more, not even who is connected; the daemon ends with the last."""
        with self._lock, suppress(OSError), Qmp(self._socket) as daemon:
            if name in _exports(daemon):
                _end(daemon, name)
            crash.point("volume.export.dropped")
            _close_unused(daemon)
            if not _exports(daemon):
                daemon.attempt("quit")
                _until(lambda: not self._runs(), "the qemu-storage-daemon does not end")
        self._clear_view(name)

    def _clear_view(self, name: str) -> None:
        """Take away the file that a view was on."""
        mountpoint = self._views / name
        try:
            mountpoint.unlink(missing_ok=True)
        except OSError:  # a daemon that was killed has left it mounted
            run(["umount", "--lazy", mountpoint])
            mountpoint.unlink(missing_ok=True)

    def names(self) -> set[str]:
        """The exports by NBD that there are."""
        return self._of_type("nbd")

    def views(self) -> set[str]:
        """The names of the views that there are."""
        return self._of_type("fuse")

    def is_view(self, file: str) -> bool:
        """Whether a file is a view, or was one."""
        return Path(file).parent == self._views

    def _of_type(self, type: str) -> set[str]:
        with self._lock, suppress(OSError), Qmp(self._socket) as daemon:
            return {one["id"] for one in daemon.ask("query-block-exports") if one["type"] == type}
        return set()

    @property
    def _views(self) -> Path:
        return self._directory / "views"

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
            server = f"addr.type=fd,addr.str={listens.fileno()}"
            secured: list[str] = []
            if self._certificates is not None:
                credentials = f"tls-creds-x509,id={_TLS},dir={self._certificates},endpoint=server,verify-peer=on"
                secured, server = ["--object", credentials], f"{server},tls-creds={_TLS}"
            words = ["qemu-storage-daemon", "--daemonize", *monitor, *secured, "--nbd-server", server]
            run(words, descriptors=[listens.fileno()])

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


def _node(file: Kept) -> str:
    """The daemon's name of an open file, of at most 31 characters."""
    return _NODE + hashlib.sha256(str(file).encode()).hexdigest()[:24]


def _exports(daemon: Qmp) -> dict[str, str]:
    """Each export and the file that it writes to."""
    return {one["id"]: one["node-name"] for one in daemon.ask("query-block-exports")}


def _switched(daemon: Qmp, name: str, file: Kept, format: str, key: str) -> bool:
    """Have the file open, and written to by the export of this name if there is one; gives whether there is."""
    node, before = _node(file), _exports(daemon).get(name)
    if before != node:
        of_pool = file.pool.key() if isinstance(file, Image) else ""
        with _told(daemon, encrypted.SECRET, key, "raw"), _told(daemon, encrypted.POOL_SECRET, of_pool, "base64"):
            _open(daemon, node, file, format, on_top=before is not None, has_key=bool(key))
        crash.point("volume.export.open")
    if before not in (None, node):
        daemon.ask("blockdev-snapshot", node=before, overlay=node)
    return before is not None


def _end(daemon: Qmp, name: str) -> None:
    daemon.ask("block-export-del", id=name, mode="hard")
    _until(lambda: name not in _exports(daemon), f"the export {name} does not end")


def _grow(daemon: Qmp, file: Kept, size: int) -> None:
    if _is_smaller(daemon, file, size):
        daemon.ask("block_resize", node_name=_node(file), size=size)


def _is_smaller(daemon: Qmp, file: Kept, size: int) -> bool:
    """Whether an open file has fewer bytes than this."""
    if not size:
        return False
    nodes = {one["node-name"]: one["image"] for one in daemon.ask("query-named-block-nodes", flat=True)}
    return bool(nodes[_node(file)]["virtual-size"] < size)


def _open(daemon: Qmp, node: str, file: Kept, format: str, *, on_top: bool, has_key: bool) -> None:
    nodes = _nodes(daemon)
    if node in nodes:
        if node in _exports(daemon).values():
            raise Failure(f"exporting {file}: it is exported under another name still")
        return
    options: dict[str, Any] = {"driver": format, "node-name": node, "discard": "unmap", "detect-zeroes": "unmap"}
    if format == "luks":
        options["key-secret"] = encrypted.SECRET
    if isinstance(file, Image):
        where = file.pool.node(file.name, encrypted.POOL_SECRET)
        daemon.ask("blockdev-add", **options, file={**where, "discard": "unmap"})
        return
    if has_key and format != "luks":
        options |= encrypted.options(file)
    if on_top:
        options["backing"] = None  # what it stands on is open already
    driver = "host_device" if file.is_block_device() else "file"
    options["file"] = {"driver": driver, "filename": str(file), "discard": "unmap"}
    daemon.ask("blockdev-add", **options)


@contextmanager
def _told(daemon: Qmp, name: str, key: str, format: str) -> Iterator[None]:
    """While this lasts, the daemon knows the key by this name: it needs it only to open files."""
    if not key:
        yield
        return
    daemon.attempt("object-del", id=name)  # of somebody who has died meanwhile
    daemon.ask("object-add", qom_type="secret", id=name, data=key, format=format)
    try:
        yield
    finally:
        daemon.attempt("object-del", id=name)


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
