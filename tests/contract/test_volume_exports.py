"""Volumes for other hosts: exported by a real qemu-storage-daemon, read and written by QEMU's own client."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
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


class Host:
    """A host with volumes, and a client of its exports."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        self.volumes = self.agent()
        self.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))

    def agent(self, volumes: str = "volumes") -> DirectoryVolumes:
        """The driver of a process that has just been started."""
        exports = Exports(self.directory / "run", "127.0.0.1", self.port)
        return DirectoryVolumes(self.directory / volumes, self.directory / "images", exports)

    def io(self, *commands: str, name: str = NAME) -> subprocess.CompletedProcess[str]:
        words = [word for command in commands for word in ("-c", command)]
        return run(["qemu-io", "-f", "raw", *words, f"nbd://127.0.0.1:{self.port}/{name}"], check=False)

    def does(self, *commands: str, name: str = NAME) -> bool:
        done = self.io(*commands, name=name)
        return done.returncode == 0 and "failed" not in done.stdout + done.stderr

    def client(self) -> subprocess.Popen[str]:
        """One that stays connected, and does what it reads."""
        words = ["qemu-io", "-f", "raw", f"nbd://127.0.0.1:{self.port}/{NAME}"]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def daemons(self) -> list[int]:
        """The processes that export for this host."""
        mine = str(self.directory / "run").encode()
        found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mine in _read(path)]
        return [int(path.parent.name) for path in found if b"qemu-storage-daemon" in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def host() -> Iterator[Host]:
    directory = Path(tempfile.mkdtemp(prefix="cumulet-exports-"))
    made = Host(directory)
    yield made
    for seen in made.volumes.observe():
        made.volumes.remove(seen.id)
    for _ in bounded(5):
        if not made.daemons():
            break
    shutil.rmtree(directory)


def test_what_is_written_by_an_export_is_in_the_volume(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.volumes.look(NAME) == Seen(id=NAME)
    assert set(host.volumes.observe()) == {Seen(id=VOLUME), Seen(id=NAME)}
    assert host.does("write -P 7 1M 64k")
    host.volumes.remove(NAME)
    host.volumes.remove(NAME)
    assert host.volumes.look(NAME) is None
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 1M 64k", volume_file(host.volumes.directory, VOLUME)])


def test_who_is_connected_is_shut_out_when_the_export_ends(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    with host.client() as client:
        assert client.stdin and client.stdout
        client.stdin.write("write -P 1 0 64k\n")
        assert "wrote" in client.stdout.readline()
        host.volumes.remove(NAME)
        host.volumes.ensure(VolumeExportSpec(id="volattach-another", volume=VOLUME))
        assert host.does("write -P 2 0 64k", name="volattach-another")
        output, _ = client.communicate("write -P 3 0 64k\nwrite -P 3 0 64k\nquit\n", timeout=30)
        assert "wrote" not in output
    assert host.does("read -P 2 0 64k", name="volattach-another")
    assert not host.does("read 0 64k")


def test_an_exported_volume_grows_and_who_is_connected_is_cut_off_once(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    grown = VolumeExportSpec(id=NAME, volume=VOLUME, size_gib=2)
    with host.client() as client:
        assert client.stdin and client.stdout
        client.stdin.write("write -P 5 0 64k\n")
        assert "wrote" in client.stdout.readline()
        host.volumes.ensure(grown)
        output, _ = client.communicate("read 0 64k\nread 0 64k\nquit\n", timeout=30)
        assert "wrote" not in output
    with host.client() as client:
        host.volumes.ensure(grown)
        host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
        output, _ = client.communicate("read -P 5 0 64k\nwrite -P 6 1536M 64k\nlength\nquit\n", timeout=30)
    assert ("failed" in output, "wrote 65536" in output, "2 GiB" in output) == (False, True, True)
    host.volumes.ensure(SnapshotSpec(id="snap-0123456789abcdef0", volume=VOLUME))
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, size_gib=3))
    assert host.does("read -P 5 0 64k", "read -P 6 1536M 64k", "write -P 7 2560M 64k")
    host.volumes.remove(NAME)
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME, size_gib=4))
    assert host.does("write -P 7 3584M 64k")


def test_a_written_byte_outlives_the_daemon_without_a_flush(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    with host.client() as client:
        assert client.stdin and client.stdout
        client.stdin.write("write -P 9 5M 64k\n")
        assert "wrote" in client.stdout.readline()
        (daemon,) = host.daemons()
        os.kill(daemon, signal.SIGKILL)
        client.communicate("quit\n", timeout=30)
    again = host.agent()
    assert again.look(NAME) is None
    again.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.does("read -P 9 5M 64k")


def test_an_export_outlives_the_agent_that_made_it(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    before = host.daemons()
    again = host.agent()
    again.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.daemons() == before
    assert again.look(NAME) == Seen(id=NAME)


def test_an_exported_volume_has_snapshots(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.does("write -P 1 0 1M")
    snapshot = SnapshotSpec(id="snap-0123456789abcdef0", volume=VOLUME)
    host.volumes.ensure(snapshot)
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.does("write -P 2 0 64k", "read -P 1 64k 64k")
    other = VolumeSpec(id="vol-0123456789abcdef1", size_gib=1, snapshot=snapshot.id)
    host.volumes.ensure(other)
    file = volume_file(host.volumes.directory, other.id)
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 1 0 64k", file])
    host.volumes.remove(NAME)
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.does("read -P 2 0 64k", "read -P 1 64k 64k")


def until_copied(there: DirectoryVolumes, spec: VolumeSpec) -> None:
    for _ in bounded(20):
        there.ensure(spec)
        if there.look(spec.id) is not None:
            return


def test_a_volume_is_copied_from_another_host(host: Host) -> None:
    there = host.agent("volumes of another host")
    host.volumes.ensure(VolumeExportSpec(id=move_export(VOLUME), volume=VOLUME))
    assert host.does("write -P 4 3M 64k", name=move_export(VOLUME))
    spec = VolumeSpec(id=VOLUME, size_gib=1, source="127.0.0.1")
    until_copied(there, spec)
    file = volume_file(there.directory, VOLUME)
    assert (file.stat().st_mode & 0o777, list(there.directory.iterdir())) == (0o600, [file])
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 4 3M 64k", file])
    there.ensure(VolumeSpec(id=VOLUME, size_gib=2))
    host.volumes.remove(move_export(VOLUME))
    there.remove(VOLUME)
    assert list(there.directory.iterdir()) == []


def test_a_snapshot_comes_to_another_host_as_a_volume_of_no_size_of_its_own(host: Host) -> None:
    """As a replica is made (`model.replica`), while the snapshot is what a volume that is exported stands on."""
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    assert host.does("write -P 6 3M 64k")
    of, carrier, there = "snap-0123456789abcdef0", "vol-0123456789abcdef1", host.agent("volumes of another host")
    host.volumes.ensure(SnapshotSpec(id=of, volume=VOLUME))
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    host.volumes.ensure(VolumeSpec(id=carrier, size_gib=0, snapshot=of))
    host.volumes.ensure(VolumeExportSpec(id=move_export(carrier), volume=carrier))
    until_copied(there, VolumeSpec(id=carrier, size_gib=0, source="127.0.0.1"))
    host.volumes.remove(move_export(carrier))
    host.volumes.remove(carrier)
    there.ensure(SnapshotSpec(id="snap-0123456789abcdef1", volume=carrier))
    there.ensure(SnapshotSpec(id="snap-0123456789abcdef1"))
    there.remove(carrier)
    made = VolumeSpec(id="vol-0123456789abcdef2", size_gib=2, snapshot="snap-0123456789abcdef1")
    there.ensure(made)
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 6 3M 64k", volume_file(there.directory, made.id)])
    assert host.does("write -P 7 3M 64k")


def test_a_copy_that_fails_says_why_and_begins_anew(host: Host) -> None:
    there = host.agent("volumes of another host")
    spec = VolumeSpec(id=VOLUME, size_gib=1, source="127.0.0.1")
    with pytest.raises(Failure, match=f"copying {VOLUME} from nbd://127.0.0.1"):
        for _ in bounded(20):
            there.ensure(spec)
    host.volumes.ensure(VolumeExportSpec(id=move_export(VOLUME), volume=VOLUME))
    until_copied(there, spec)
    there.ensure(spec)
    there.remove(VOLUME)


def test_requests_that_are_under_way_together_do_not_wait_for_each_other(host: Host) -> None:
    """QEMU 7.2's server by itself takes 2 ms for each: Nagle's algorithm and delayed acknowledgements."""
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    load = ["-s", "4096", "-S", "528384", "-c", "2000", "-d", "32"]
    began = time.monotonic()
    run(["qemu-img", "bench", "-f", "raw", *load, f"nbd://127.0.0.1:{host.port}/{NAME}"])
    assert time.monotonic() - began < 1.5


def test_two_exports_of_a_volume_are_refused(host: Host) -> None:
    host.volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
    with pytest.raises(Failure, match="exported under another name"):
        host.volumes.ensure(VolumeExportSpec(id="volattach-another", volume=VOLUME))


def test_what_is_not_there_or_not_reached_is_named(host: Host) -> None:
    with pytest.raises(Failure, match="vol-00000000000000000"):
        host.volumes.ensure(VolumeExportSpec(id=NAME, volume="vol-00000000000000000"))
    alone = DirectoryVolumes(host.volumes.directory, host.directory, Exports(host.directory / "run", ""))
    with pytest.raises(Failure, match="tunnel_address"):
        alone.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
