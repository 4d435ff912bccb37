"""Volumes for other hosts by iSCSI: exported by a real tgtd, read and written by QEMU's own initiator."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.databases import free_port
from support.libvirtd import bounded

from cumulet.drivers.contract import Seen
from cumulet.drivers.places import volume_file
from cumulet.drivers.specs import ISCSI_LUN, SnapshotSpec, VolumeExportSpec, VolumeSpec, iscsi_name
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run

VOLUME, NAME = "vol-0123456789abcdef0", "volattach-0123456789abcdef0"
SECRET = "not-to-be-guessed"
SPEC = VolumeExportSpec(id=NAME, volume=VOLUME, secret=SECRET, client="127.0.0.1")


class Host:
    """A host with volumes, and a client of its exports."""

    def __init__(self, directory: Path) -> None:
        self.ports = free_port(), free_port()
        self.directory = directory
        self.volumes = self.agent()
        self.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))

    def agent(self) -> DirectoryVolumes:
        """The driver of a process that has just been started."""
        exports = Exports(self.directory / "run", "127.0.0.1", *self.ports)
        return DirectoryVolumes(self.directory / "volumes", self.directory / "images", exports)

    def url(self, user: str = f"{NAME}%{SECRET}@", name: str = NAME) -> str:
        return f"iscsi://{user}127.0.0.1:{self.ports[1]}/{iscsi_name(name)}/{ISCSI_LUN}"

    def io(self, *commands: str, url: str = "") -> subprocess.CompletedProcess[str]:
        words = [word for command in commands for word in ("-c", command)]
        return run(["qemu-io", "-f", "raw", *words, url or self.url()], check=False)

    def does(self, *commands: str, url: str = "") -> bool:
        done = self.io(*commands, url=url)
        return done.returncode == 0 and "failed" not in done.stdout + done.stderr

    def client(self) -> subprocess.Popen[str]:
        """One that stays connected, and does what it reads."""
        words = ["qemu-io", "-f", "raw", self.url()]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, bufsize=1)

    def daemons(self, program: str) -> list[int]:
        """The processes of a program that serve this host: their sockets are in its directory."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if program.encode() in known.split(b"\0")[0] and bytes(self.directory / "run") in known:
                found.append(int(process.name))
        return found

    def kill(self, program: str) -> None:
        for process in self.daemons(program):
            os.kill(process, signal.SIGKILL)
        for _ in bounded(5):
            if not self.daemons(program):
                return


@pytest.fixture
def host() -> Iterator[Host]:
    directory = Path(tempfile.mkdtemp(prefix="cumulet-iscsi-"))
    made = Host(directory)
    yield made
    for seen in made.volumes.observe():
        made.volumes.remove(seen.id)
    made.kill("tgtd")
    made.kill("qemu-storage-daemon")
    shutil.rmtree(directory)


def said(client: subprocess.Popen[str], command: str) -> str:
    """What a client says of a command: the line that tells of success, or of a failure."""
    assert client.stdin and client.stdout
    client.stdin.write(f"{command}\n")
    while line := client.stdout.readline():
        if "wrote" in line or "read " in line or "failed" in line:
            client.stdout.readline() if "failed" not in line else None
            return line
    return ""


def test_what_is_written_by_an_export_is_in_the_volume(host: Host) -> None:
    host.volumes.ensure(SPEC)
    host.volumes.ensure(SPEC)
    assert host.volumes.look(NAME) == Seen(id=NAME)
    assert set(host.volumes.observe()) == {Seen(id=VOLUME), Seen(id=NAME)}
    assert host.does("write -P 7 1M 64k", "flush")
    host.volumes.remove(NAME)
    host.volumes.remove(NAME)
    assert host.volumes.observe() == [Seen(id=VOLUME)]
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 1M 64k", volume_file(host.volumes.directory, VOLUME)])
    for _ in bounded(5):
        if not host.daemons("tgtd") and not host.daemons("qemu-storage-daemon"):
            return


def test_only_the_guests_host_with_the_secret_is_let_in(host: Host) -> None:
    host.volumes.ensure(SPEC)
    assert host.does("read 0 64k")
    for user in ("", f"{NAME}%another-secret-00@", f"another%{SECRET}@"):
        assert "Authentication failure" in host.io("read 0 64k", url=host.url(user)).stderr
    elsewhere = VolumeExportSpec(id=NAME, volume=VOLUME, secret=SECRET, client="127.0.0.2")
    host.volumes.ensure(elsewhere)
    assert not host.does("read 0 64k")


def test_no_other_user_of_the_host_can_read_the_secret(host: Host) -> None:
    """A request over the daemon's socket, which only root may make; what tells of it is for root too."""
    host.volumes.ensure(SPEC)
    host.directory.chmod(0o755)
    processes = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    assert not [words for words in processes if SECRET.encode() in words]
    denied = run(["setpriv", "--reuid", "65534", "--clear-groups", *_show(host)], check=False)
    assert denied.returncode != 0
    assert SECRET not in run(_show(host)).stdout


def _show(host: Host) -> list[str]:
    socket = f"TGT_IPC_SOCKET={host.directory / 'run' / 'targets'}"
    return ["env", socket, "tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"]


def test_who_is_connected_is_shut_out_when_the_export_ends(host: Host) -> None:
    """And gets errors, at once: an initiator that waited would hold up the whole guest."""
    host.volumes.ensure(SPEC)
    with host.client() as client:
        assert "wrote" in said(client, "write -P 1 0 64k")
        host.volumes.remove(NAME)
        assert host.volumes.observe() == [Seen(id=VOLUME)]
        host.volumes.ensure(
            VolumeExportSpec(id="volattach-another", volume=VOLUME, secret="x" * 16, client="127.0.0.1")
        )
        another = host.url(f"volattach-another%{'x' * 16}@", "volattach-another")
        assert host.does("write -P 2 0 64k", url=another)
        began = time.monotonic()
        assert "failed" in said(client, "write -P 3 0 64k")
        assert time.monotonic() - began < 5
        client.communicate("quit\n", timeout=30)
    assert host.does("read -P 2 0 64k", url=another)
    assert not host.does("read 0 64k")
    again = VolumeExportSpec(id=NAME, volume=VOLUME, secret="another-secret-00", client="127.0.0.1")
    host.volumes.remove("volattach-another")
    host.volumes.ensure(again)
    assert not host.does("read 0 64k")
    assert host.does("read -P 2 0 64k", url=host.url(f"{NAME}%another-secret-00@"))


def test_an_export_outlives_the_agent_that_made_it(host: Host) -> None:
    host.volumes.ensure(SPEC)
    before = host.daemons("tgtd")
    again = host.agent()
    again.ensure(SPEC)
    assert host.daemons("tgtd") == before
    assert again.look(NAME) == Seen(id=NAME)


@pytest.mark.parametrize("program", ["tgtd", "qemu-storage-daemon"])
def test_a_guest_goes_on_when_a_daemon_that_was_killed_is_there_again(host: Host, program: str) -> None:
    host.volumes.ensure(SPEC)
    with host.client() as client:
        assert "wrote" in said(client, "write -P 9 5M 64k")
        host.kill(program)
        seen = host.volumes.look(NAME)
        assert seen == Seen(id=NAME, state="broken")
        host.agent().ensure(SPEC)
        assert host.volumes.look(NAME) == Seen(id=NAME)
        for _ in bounded(20):
            if "read 65536" in said(client, "read -P 9 5M 64k"):
                break
        assert "wrote" in said(client, "write -P 8 5M 64k")
        client.communicate("quit\n", timeout=30)
    assert host.does("read -P 8 5M 64k")


def test_an_exported_volume_has_snapshots(host: Host) -> None:
    host.volumes.ensure(SPEC)
    with host.client() as client:
        assert "wrote" in said(client, "write -P 1 0 1M")
        snapshot = SnapshotSpec(id="snap-0123456789abcdef0", volume=VOLUME)
        host.volumes.ensure(snapshot)
        host.volumes.ensure(SPEC)
        assert "wrote" in said(client, "write -P 2 0 64k")
        client.communicate("quit\n", timeout=30)
    other = VolumeSpec(id="vol-0123456789abcdef1", size_gib=1, snapshot=snapshot.id)
    host.volumes.ensure(other)
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 1 0 64k", volume_file(host.volumes.directory, other.id)])
    assert host.does("read -P 2 0 64k", "read -P 1 64k 64k")


def test_an_exported_volume_grows_and_its_client_goes_on(host: Host) -> None:
    host.volumes.ensure(SPEC)
    with host.client() as client:
        assert "wrote" in said(client, "write -P 3 0 64k")
        for _ in range(2):
            host.volumes.ensure(msgspec.structs.replace(SPEC, size_gib=2))
        assert "read 65536" in said(client, "read -P 3 0 64k")
        client.communicate("quit\n", timeout=30)
    assert host.does("read -P 3 0 64k", "write -P 4 1536M 64k")


def test_an_encrypted_volume_is_served_as_raw_bytes(host: Host) -> None:
    key, volume, name = "k" * 43 + "=", VOLUME.replace("0123", "4567"), NAME.replace("0123", "4567")
    host.volumes.ensure(VolumeSpec(id=volume, size_gib=1, key=key))
    spec = msgspec.structs.replace(SPEC, id=name, volume=volume, key=key)
    host.volumes.ensure(spec)
    url = host.url(f"{name}%{SECRET}@", name)
    assert host.does("write -P 65 1M 64k", "read -P 65 1M 64k", "read -P 0 2M 64k", url=url)
    host.volumes.ensure(SnapshotSpec(id=volume.replace("vol", "snap"), volume=volume, key=key))
    host.volumes.ensure(spec)
    assert host.does("read -P 65 1M 64k", "write -P 65 2M 64k", url=url)
    host.volumes.remove(name)
    files = [path for path in host.volumes.directory.rglob("*.qcow2") if path.is_file()]
    assert len(files) > 2
    assert not any(b"A" * 512 in path.read_bytes() for path in files)
