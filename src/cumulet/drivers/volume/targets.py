"""Volumes for guests on other hosts by iSCSI: a tgtd of our own has a target for each export.

As the storage daemon, it outlives this process and ends with its last export. A target lets in one host, by its
address, and one initiator, by the CHAP secret of the attachment. Each write is on the disk before it is answered
(O_SYNC). tgtd serves raw bytes, so it is given the storage daemon's view of what is kept as qcow2.

QEMU's initiator waits for a target that is gone for as long as it takes, and with it waits, as soon as the disk is to
be taken away, the whole guest. So an export that ends while somebody is connected leaves an empty target behind, by
which that one gets errors instead.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cumulet.drivers.specs import ISCSI_LUN, ISCSI_PORT, iscsi_name
from cumulet.drivers.volume import tgt
from cumulet.drivers.volume.storage_daemon import Kept, StorageDaemon
from cumulet.drivers.volume.tgt import Mode, Op
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_PATIENCE = 5.0
_EMPTY_SECONDS = 24 * 3600.0
"""For so long a target without a disk is there for somebody who may come back to it."""
_TARGET = re.compile(r"^Target (\d+): (\S+)$", re.M)
_UNIT = re.compile(rf"^ +LUN: {ISCSI_LUN}$.*?^ +Backing store path: (.+?)$", re.M | re.S)

_SIZE = re.compile(r"^ +Size: (\d+) MB", re.M)


@dataclass(frozen=True)
class _Target:
    """One of tgtd's: its number, what its disk is, whom it lets in, whether somebody is connected,
    and how large it says to be, in millions of bytes."""

    number: int
    file: str
    account: str
    client: str
    used: bool
    megabytes: int


class Targets:
    """Those of this host, at `address`; `views` serves what is not raw. `directory` is for the daemon's socket."""

    def __init__(self, directory: Path, address: str, views: StorageDaemon, port: int = ISCSI_PORT) -> None:
        self._directory = directory
        self._address = address
        self._views = views
        self._port = port
        self._lock = threading.Lock()

    def put(self, name: str, secret: str, client: str, file: Kept, format: str, key: str = "", size: int = 0) -> None:
        """Have the file, of at least `size` bytes, exported as `name` to the host whose address is `client`; raises
        `Failure`. tgtd looks once how large a disk is: one that has grown gets another target, to which its client
        connects again by itself."""
        if not self._address:
            raise Failure(f"exporting {file}: the setting tunnel_address is empty: other hosts do not reach this one")
        with self._lock:
            fresh = False
            if format != "raw" or not isinstance(file, Path):
                file, fresh = self._views.view(name, file, format, key, size)
            there = self._started().get(name)
            same = there is not None and (there.file, there.client) == (str(file), client)
            if there is not None and same and not fresh and there.megabytes >= size // 10**6:
                return
            if there is not None:
                self._delete(there.number)
            self._make(name, file, client, secret)

    def drop(self, name: str) -> None:
        """Nobody reads or writes by this export any more, not even who is connected; the daemon ends with the last."""
        with self._lock:
            targets = self._there()
            there = targets.get(name)
            if there is not None and not self._is_empty(there):
                self._delete(there.number)
                crash.point("volume.export.closed")
                if there.used:
                    self._make(name, self._empty_file(name), there.client)
            self._views.drop(name)
            self._forget_empty()

    def states(self) -> dict[str, str]:
        """The exports, each `there`, or `broken` where guests cannot use it any more."""
        with self._lock:
            targets = {name: one for name, one in self._there().items() if not self._is_empty(one)}
            views = self._views.views()
        broken = {name for name, one in targets.items() if self._views.is_view(one.file) and name not in views}
        broken |= views - targets.keys()
        return {name: "broken" if name in broken else "there" for name in sorted(targets.keys() | views)}

    @property
    def _socket(self) -> Path:
        """Where tgtd listens for orders; it adds a number to the name that it is given."""
        return self._directory / "targets.0"

    def _ask(
        self, mode: Mode, op: Op, parameters: str = "", *, target: int = -1, unit: int | None = None, accept: int = 0
    ) -> str:
        return tgt.ask(self._socket, mode, op, parameters, target=target, unit=unit, accept=(accept,))

    def _delete(self, number: int) -> None:
        """A target goes when no command of its client's is under way; raises `Failure` where one lasts."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self._ask(Mode.TARGET, Op.DELETE, target=number)
                return
            except tgt.Busy:
                if time.monotonic() > end:
                    raise
            time.sleep(0.01)

    def _there(self) -> dict[str, _Target]:
        """The targets by the names of their exports; none where no daemon runs."""
        try:
            shown = self._ask(Mode.TARGET, Op.SHOW)
        except OSError:
            return {}
        parts = _TARGET.split(shown)[1:]
        found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        return {iqn.rpartition(":")[2]: _parsed(int(number), text) for number, iqn, text in found}

    def _started(self) -> dict[str, _Target]:
        """The same, with the daemon started if none runs."""
        if not self._runs():
            self._start()
        return self._there()

    def _start(self) -> None:
        """Start the daemon; raises `Failure`. One that cannot have its port listens to everybody on another one."""
        if shutil.which("tgtd") is None:
            raise Failure("exporting by iSCSI: tgtd is not installed (the package tgt)")
        self._directory.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        socket = f"TGT_IPC_SOCKET={self._socket.with_suffix('')}"
        portal = f"{self._address}:{self._port}"
        end = time.monotonic() + _PATIENCE
        while True:  # one that is just ending has its port and its lock still
            run(["env", socket, "tgtd", "--control-port", "0", "--iscsi", f"portal={portal}"], check=False)
            if self._runs():
                if f"Portal: {portal}," in self._ask(Mode.PORTAL, Op.SHOW):
                    return
                self._ask(Mode.SYSTEM, Op.DELETE)
            if time.monotonic() > end:
                raise Failure(f"tgtd cannot have {self._address}, TCP port {self._port}: `ss -ltnp` says who has it")
            time.sleep(0.05)

    def _runs(self) -> bool:
        try:
            self._ask(Mode.SYSTEM, Op.SHOW)
        except (OSError, Failure):
            return False
        return True

    def _make(self, name: str, file: Path, client: str, secret: str = "") -> None:
        """A target, which lets nobody in until all else is there. Without a secret its account is there already."""
        number = max((one.number for one in self._there().values()), default=0) + 1
        self._ask(Mode.TARGET, Op.NEW, f"targetname={iscsi_name(name)}", target=number)
        if secret:
            self._ask(Mode.ACCOUNT, Op.DELETE, f"user={name}", accept=tgt.NO_USER)
            self._ask(Mode.ACCOUNT, Op.NEW, f"user={name},password={secret}")
        self._ask(Mode.ACCOUNT, Op.BIND, f"user={name}", target=number)
        unit = {"target": number, "unit": ISCSI_LUN}
        self._ask(Mode.UNIT, Op.NEW, f"path={file},bstype=rdwr,bsoflags=sync", **unit)
        self._ask(Mode.UNIT, Op.UPDATE, "targetOps thin_provisioning=1,", **unit)
        crash.point("volume.export.target")
        self._ask(Mode.TARGET, Op.BIND, f"initiator-address={client}", target=number)

    def _is_empty(self, target: _Target) -> bool:
        return target.file.startswith(f"{self._directory / 'ended'}/")

    def _empty_file(self, name: str) -> Path:
        file = self._directory / "ended" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file)
        return file

    def _forget_empty(self) -> None:
        """The targets that nobody will come back to are gone, and so is the daemon if there is no other."""
        targets = self._there()
        for name, one in list(targets.items()):
            if self._is_empty(one) and not one.used and _age(Path(one.file)) > _EMPTY_SECONDS:
                self._delete(one.number)
                self._ask(Mode.ACCOUNT, Op.DELETE, f"user={name}", accept=tgt.NO_USER)
                Path(one.file).unlink(missing_ok=True)
                del targets[name]
        if not targets and self._runs():
            self._ask(Mode.SYSTEM, Op.DELETE)


def _parsed(number: int, shown: str) -> _Target:
    unit = _UNIT.search(shown)
    _, _, rest = shown.partition("Account information:")
    accounts, _, clients = rest.partition("ACL information:")
    used = "I_T nexus: " in shown
    size = _SIZE.search(unit[0]) if unit else None
    megabytes = int(size[1]) if size else 0
    return _Target(number, unit[1] if unit else "", accounts.strip(), clients.strip(), used, megabytes)


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return _EMPTY_SECONDS + 1
