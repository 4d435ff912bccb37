"""Volumes for guests on other hosts: by NBD, with TLS or without, or by iSCSI where the order has a secret for it."""

from __future__ import annotations

import json
from pathlib import Path

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import (
    EXPORT_PORT,
    EXPORT_TLS_PORT,
    ISCSI_PORT,
    VolumeExportSpec,
    VolumeSpec,
    move_export,
)
from cumulet.drivers.volume.filling import Source
from cumulet.drivers.volume.storage_daemon import Kept, StorageDaemon
from cumulet.drivers.volume.targets import Targets
from cumulet.lib.config import CERTIFICATES


class Exports:
    """The exports of this host, at `address`; without one there can be none. `directory` is for the daemons' sockets.

    Each has a name of its own, so that one that has been taken away gives its client nothing, even if the volume is
    exported again.
    """

    def __init__(
        self,
        directory: Path,
        address: str,
        port: int = EXPORT_PORT,
        iscsi_port: int = ISCSI_PORT,
        tls_port: int = EXPORT_TLS_PORT,
        certificates: Path = Path(CERTIFICATES),
    ) -> None:
        self.port, self._tls_port = port, tls_port
        self._certificates = certificates
        self._secured = StorageDaemon(directory / "tls", address, tls_port, certificates)
        self._daemon = StorageDaemon(directory, address, port)
        self._targets = Targets(directory, address, self._daemon, iscsi_port)

    def put(self, spec: VolumeExportSpec, file: Kept, format: str) -> None:
        """Have the file, qcow2 or raw, or the image in Ceph, exported, as large as it is to be; raises `Failure`.

        One that is exported with another file writes to this one from now on, which is empty and stands on that one.
        """
        size = spec.size_gib << 30
        if spec.secret:
            self._targets.put(spec.id, spec.secret, spec.client, file, format, spec.key, size)
            return
        wanted, other = (self._secured, self._daemon) if spec.tls else (self._daemon, self._secured)
        if spec.id in other.names():  # a move that began before TLS was wanted, or no more
            other.drop(spec.id)
        wanted.put(spec.id, file, format, spec.key, size)

    def source(self, spec: VolumeSpec) -> Source:
        """The volume as the host exports it from which it is to be copied."""
        if not spec.source_tls:
            return Source(f"nbd://{spec.source}:{self.port}/{move_export(spec.id)}")
        server = {"type": "inet", "host": spec.source, "port": str(self._tls_port)}
        nbd = {"driver": "nbd", "export": move_export(spec.id), "server": server, "tls-creds": "tls"}
        credentials = f"tls-creds-x509,id=tls,endpoint=client,dir={self._certificates}"
        return Source("json:" + json.dumps({"driver": "raw", "file": nbd}), words=("--object", credentials))

    def drop(self, name: str) -> None:
        """Nobody reads or writes by this export any more, not even who is connected."""
        self._targets.drop(name)
        self._daemon.drop(name)
        self._secured.drop(name)

    def seen(self) -> list[Seen]:
        """The exports that there are."""
        by_nbd = self._daemon.names() | self._secured.names()
        found = {**dict.fromkeys(by_nbd, "there"), **self._targets.states()}
        return [Seen(id=name, state=state) for name, state in sorted(found.items())]

    def look(self, name: str) -> Seen | None:
        """One of them."""
        return next((one for one in self.seen() if one.id == name), None)
