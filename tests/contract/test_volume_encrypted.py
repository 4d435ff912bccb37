"""Encrypted volumes in a directory: what QEMU's tools make of them, and that nothing of them lies there as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import free_port
from support.libvirtd import bounded

from cumulet.drivers.places import backing, image_files, volume_file, volume_top
from cumulet.drivers.specs import SnapshotSpec, VolumeExportSpec, VolumeSpec, move_export
from cumulet.drivers.volume import encrypted, qcow2
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Later

KEY, OTHER = "a" * 43 + "=", "b" * 43 + "="
ID, CLONE = "vol-0123456789abcdef0", "vol-0123456789abcdef1"
ONE, TWO = "snap-0123456789abcdef0", "snap-0123456789abcdef1"
IMAGE = "imf-0123456789abcdef0"
NAME = "volattach-0123456789abcdef0"
WORD = b"A" * 512


class Host:
    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.volumes = self.agent("volumes")
        self.there = self.agent("elsewhere")

    def agent(self, volumes: str) -> DirectoryVolumes:
        exports = Exports(self.directory / "run", "127.0.0.1", self.port)
        return DirectoryVolumes(self.directory / volumes, self.directory / "images", exports)

    def io(self, *commands: str, volume: str = ID, key: str = KEY, volumes: DirectoryVolumes | None = None) -> str:
        file = volume_top((volumes or self.volumes).directory, volume)
        words = [word for command in commands for word in ("-c", command)]
        with encrypted.told(key) as told:
            command = ["qemu-io", *told.words, *words, encrypted.name(file)]
            done = run(command, check=False, descriptors=told.descriptors)
        return done.stdout + done.stderr

    def write(self, at: str = "1M") -> None:
        assert "wrote" in self.io(f"write -P 65 {at} 64k")

    def holds(self, at: str = "1M", volume: str = ID, volumes: DirectoryVolumes | None = None) -> bool:
        """Whether the word is there."""
        said = self.io(f"read -P 65 {at} 64k", volume=volume, volumes=volumes)
        return "read 65536" in said and "verification failed" not in said

    def shows(self) -> list[str]:
        """The files that have the word, or a key, as it is."""
        files = [path for path in self.directory.rglob("*.qcow2") if path.is_file()]
        return [path.name for path in files if any(word in path.read_bytes() for word in (WORD, KEY.encode()))]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.volumes.ensure(VolumeSpec(id=ID, size_gib=1, key=KEY))
    yield made
    for export in (NAME, move_export(ID)):
        made.volumes.remove(export)


def test_what_is_written_lies_there_encrypted_and_only_its_key_opens_it(host: Host) -> None:
    host.write()
    assert host.holds()
    assert host.shows() == []
    assert "Invalid password" in host.io("read 1M 512", key=OTHER)
    assert "pattern" not in host.io("read -P 0 2M 64k").lower()
    said = run(["qemu-img", "info", "--output", "json", volume_file(host.volumes.directory, ID)]).stdout
    assert json.loads(said)["format-specific"]["data"]["encrypt"]["format"] == "luks"
    assert volume_file(host.volumes.directory, ID).stat().st_blocks * 512 < 1 << 20
    assert "No errors" in checked(host)


def checked(host: Host) -> str:
    with encrypted.told(KEY) as told:
        name = encrypted.name(volume_top(host.volumes.directory, ID))
        return run(["qemu-img", "check", *told.words, name], descriptors=told.descriptors).stdout


def test_snapshots_and_what_is_made_from_them_are_encrypted_too(host: Host) -> None:
    host.write()
    host.volumes.ensure(SnapshotSpec(id=ONE, volume=ID, key=KEY))
    host.write("2M")
    host.volumes.ensure(SnapshotSpec(id=TWO, source=ONE, key=KEY))
    host.volumes.ensure(VolumeSpec(id=CLONE, size_gib=2, snapshot=TWO, key=KEY))
    assert host.holds(volume=CLONE)
    assert not host.holds("2M", volume=CLONE)
    assert host.holds()
    assert host.holds("2M")
    assert host.shows() == []
    assert all(qcow2.is_encrypted(path) for path in host.volumes.directory.rglob("*.qcow2"))


def test_nothing_is_done_with_one_whose_key_is_not_told(host: Host) -> None:
    for spec in (
        SnapshotSpec(id=ONE, volume=ID),
        VolumeSpec(id=ID, size_gib=2),
        VolumeExportSpec(id=NAME, volume=ID),
    ):
        with pytest.raises(Failure, match="its key was not told"):
            host.volumes.ensure(spec)


def test_it_grows_with_all_that_is_on_it(host: Host) -> None:
    host.write()
    host.volumes.ensure(SnapshotSpec(id=ONE, volume=ID, key=KEY))
    host.volumes.ensure(VolumeSpec(id=ID, size_gib=3, key=KEY))
    assert qcow2.virtual_size(volume_top(host.volumes.directory, ID)) == 3 << 30
    assert host.holds()
    assert "wrote" in host.io("write -P 7 2500M 64k")


def test_another_host_reads_and_writes_it_and_a_snapshot_changes_nothing_for_that(host: Host) -> None:
    host.volumes.ensure(SnapshotSpec(id=ONE, volume=ID, key=KEY))
    url = f"nbd://127.0.0.1:{host.port}/{NAME}"
    for round, snapshot in ((1, TWO), (2, "")):
        host.volumes.ensure(VolumeExportSpec(id=NAME, volume=ID, key=KEY))
        assert "wrote" in run(["qemu-io", "-f", "raw", "-c", f"write -P 65 {round}M 64k", url]).stdout
        if snapshot:
            host.volumes.ensure(SnapshotSpec(id=snapshot, volume=ID, key=KEY))
    host.volumes.remove(NAME)
    assert host.holds("1M")
    assert host.holds("2M")
    assert host.shows() == []


def test_a_copy_on_another_host_has_the_same_key(host: Host) -> None:
    host.write()
    host.volumes.ensure(SnapshotSpec(id=ONE, volume=ID, key=KEY))
    host.volumes.ensure(VolumeExportSpec(id=move_export(ID), volume=ID, key=KEY))
    for _ in bounded(20):
        host.there.ensure(VolumeSpec(id=ID, size_gib=1, source="127.0.0.1", key=KEY))
        if host.there.look(ID) is not None:
            break
    host.volumes.remove(move_export(ID))
    assert host.holds(volumes=host.there)
    assert host.shows() == []
    assert volume_file(host.there.directory, ID).stat().st_blocks * 512 < 1 << 20


def test_from_an_image_it_is_copied_so_that_nothing_lies_under_it_as_it_is(host: Host) -> None:
    files = image_files(host.directory / "images", IMAGE)
    files["disk"].parent.mkdir(parents=True)
    files["disk"].write_bytes(b"\0" * (1 << 20) + WORD * 128)
    files["facts"].write_text(json.dumps({"format": "raw", "virtual_size": files["disk"].stat().st_size}))
    spec = VolumeSpec(id=CLONE, size_gib=1, image_file=IMAGE, key=KEY)
    done_at_last(host, spec)
    assert host.holds(volume=CLONE)
    assert host.shows() == []
    assert backing(volume_file(host.volumes.directory, CLONE)) is None
    assert qcow2.virtual_size(volume_file(host.volumes.directory, CLONE)) == 1 << 30


def test_an_encrypted_copy_of_a_snapshot_that_is_not_encrypted_is_a_copy_of_all_of_it(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=CLONE, size_gib=1))
    file = volume_file(host.volumes.directory, CLONE)
    run(["qemu-io", "-f", "qcow2", "-c", "write -P 65 1M 64k", file])
    host.volumes.ensure(SnapshotSpec(id=ONE, volume=CLONE))
    spec = SnapshotSpec(id=TWO, source=ONE, key=KEY)
    done_at_last(host, spec)
    host.volumes.ensure(SnapshotSpec(id=TWO))
    host.volumes.remove(CLONE)
    host.volumes.remove(ONE)
    assert host.shows() == []
    made = "vol-0123456789abcdef2"
    host.volumes.ensure(VolumeSpec(id=made, size_gib=1, snapshot=TWO, key=KEY))
    assert host.holds(volume=made)
    for id in (made, TWO, ID):
        host.volumes.remove(id)
    assert [path.name for path in host.volumes.directory.rglob("*") if path.is_file()] == []


def test_a_copy_that_was_given_up_leaves_nothing_behind(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=CLONE, size_gib=1))
    host.volumes.ensure(SnapshotSpec(id=ONE, volume=CLONE))
    with pytest.raises(Later):
        host.volumes.ensure(SnapshotSpec(id=TWO, source=ONE, key=KEY))
    for id in (TWO, ONE, CLONE, ID):
        host.volumes.remove(id)
    assert [path.name for path in host.volumes.directory.rglob("*") if path.is_file()] == []


def done_at_last(host: Host, spec: SnapshotSpec | VolumeSpec) -> None:
    """It is begun, and there some time after."""
    with pytest.raises(Later):
        host.volumes.ensure(spec)
    for _ in bounded(20):
        try:
            host.volumes.ensure(spec)
            return
        except Later:
            assert host.volumes.look(spec.id) is None


@pytest.mark.parametrize(
    "spec", [VolumeSpec(id=ID, size_gib=3, key=OTHER), VolumeExportSpec(id=NAME, volume=ID, key=OTHER)]
)
def test_another_key_opens_nothing_and_is_in_no_message(host: Host, spec: VolumeSpec | VolumeExportSpec) -> None:
    with pytest.raises(Failure, match="Invalid password") as caught:
        host.volumes.ensure(spec)
    assert OTHER not in str(caught.value)
