"""Exports with TLS: what crosses between hosts cannot be read, and only a host with a certificate is let in."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import write_certificates
from support.databases import free_port
from support.libvirtd import bounded

from cumulet.drivers.contract import Seen
from cumulet.drivers.places import volume_file
from cumulet.drivers.specs import SnapshotSpec, VolumeExportSpec, VolumeSpec, move_export
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

VOLUME, NAME = "vol-0123456789abcdef0", "volattach-0123456789abcdef0"
PATTERN = b"A" * 64


class Listener:
    """Passes on what somebody sends to a port of this host and what comes back, and keeps all of it."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.heard = b""
        self._to = port
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                there, _ = self._server.accept()
            except OSError:
                return
            here = socket.create_connection(("127.0.0.1", self._to))
            for one, other in ((there, here), (here, there)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while said := one.recv(65536):
                self.heard += said
                other.sendall(said)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


class Host:
    """A host whose volumes are exported with TLS and without, and a client of both with somebody between."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        write_certificates(directory / "pki")
        ports = free_port(), free_port(), free_port()
        exports = Exports(directory / "run", "127.0.0.1", *ports, directory / "pki")
        self.volumes = DirectoryVolumes(directory / "volumes", directory / "images", exports)
        self.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
        self.plain, self.secured = Listener(ports[0]), Listener(ports[2])

    def does(self, *commands: str, port: int, pki: str = "") -> bool:
        """Whether a client succeeds, with the certificates of this directory if any."""
        words = [word for command in commands for word in ("-c", command)]
        server = f"driver=nbd,export={NAME},server.type=inet,server.host=127.0.0.1,server.port={port}"
        if pki:
            words += ["--object", f"tls-creds-x509,id=tls,endpoint=client,dir={self.directory / pki}"]
            server += ",tls-creds=tls"
        done = run(["qemu-io", *words, "--image-opts", server], check=False)
        return done.returncode == 0 and "failed" not in done.stdout + done.stderr


@pytest.fixture
def host() -> Iterator[Host]:
    directory = Path(tempfile.mkdtemp(prefix="cumulet-exports-"))
    made = Host(directory)
    yield made
    for seen in made.volumes.observe():
        made.volumes.remove(seen.id)
    made.plain.close()
    made.secured.close()
    shutil.rmtree(directory)


def test_what_crosses_between_hosts_cannot_be_read(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.does("write -P 65 0 64k", "read -P 65 0 64k", port=host.plain.port)
    assert host.plain.heard.count(PATTERN) >= 2 * 1024
    host.volumes.remove(NAME)
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, tls=True))
    assert host.volumes.look(NAME) == Seen(id=NAME)
    assert host.does("read -P 65 0 64k", "write -P 65 1M 64k", port=host.secured.port, pki="pki")
    assert len(host.secured.heard) > 2 * 65536
    assert PATTERN not in host.secured.heard
    assert NAME.encode() not in host.secured.heard


def test_only_who_has_a_certificate_of_the_authority_is_let_in(host: Host) -> None:
    write_certificates(host.directory / "foreign")
    shutil.copy(host.directory / "pki" / "ca-cert.pem", host.directory / "foreign" / "ca-cert.pem")
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, tls=True))
    assert not host.does("read 0 64k", port=host.secured.port)
    assert not host.does("read 0 64k", port=host.secured.port, pki="foreign")
    assert host.does("read 0 64k", port=host.secured.port, pki="pki")


def test_it_grows_has_snapshots_and_ends_as_others_do(host: Host) -> None:
    secured = VolumeExportSpec(id=NAME, volume=VOLUME, tls=True)
    host.volumes.ensure(secured)
    assert host.does("write -P 65 0 64k", port=host.secured.port, pki="pki")
    host.volumes.ensure(SnapshotSpec(id="snap-0123456789abcdef0", volume=VOLUME))
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, tls=True, size_gib=2))
    assert host.does("read -P 65 0 64k", "write 1536M 64k", port=host.secured.port, pki="pki")
    host.volumes.remove(NAME)
    assert host.volumes.observe() == [Seen(id="snap-0123456789abcdef0"), Seen(id=VOLUME)]


def test_a_copy_for_another_host_cannot_be_read_either(host: Host) -> None:
    ports = host.plain.port, free_port(), host.secured.port
    exports = Exports(host.directory / "other", "127.0.0.1", *ports, host.directory / "pki")
    there = DirectoryVolumes(host.directory / "there", host.directory / "images", exports)
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, tls=True))
    assert host.does("write -P 65 0 1M", port=host.secured.port, pki="pki")
    host.volumes.remove(NAME)
    moved = move_export(VOLUME)
    host.volumes.ensure(VolumeExportSpec(id=moved, volume=VOLUME))
    host.volumes.ensure(VolumeExportSpec(id=moved, volume=VOLUME, tls=True))
    for _ in bounded(20):
        there.ensure(VolumeSpec(id=VOLUME, size_gib=1, source="127.0.0.1", source_tls=True))
        if there.look(VOLUME) is not None:
            break
    copied = run(["qemu-io", "-f", "qcow2", "-c", "read -P 65 0 1M", volume_file(there.directory, VOLUME)])
    assert "verification failed" not in copied.stdout
    assert len(host.secured.heard) > 2 << 20
    assert PATTERN not in host.secured.heard
    assert host.plain.heard == b""


def test_a_host_without_certificates_says_so(host: Host) -> None:
    shutil.rmtree(host.directory / "pki")
    with pytest.raises(Failure, match=r"ca-cert\.pem"):
        host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, tls=True))
