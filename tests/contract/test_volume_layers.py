"""Snapshots in a directory: what they hold, what stands on them, and what is left when they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from cumulet.drivers.places import layer_file, snapshot_file, volume_top
from cumulet.drivers.specs import SnapshotSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible

ID, CLONE = "vol-0123456789abcdef0", "vol-0123456789abcdef1"
ONE, TWO = "snap-0123456789abcdef0", "snap-0123456789abcdef1"


@pytest.fixture
def volumes(tmp_path: Path) -> DirectoryVolumes:
    made = DirectoryVolumes(tmp_path / "volumes", tmp_path / "images", Exports(tmp_path, ""))
    made.ensure(VolumeSpec(id=ID, size_gib=1))
    return made


def write(volumes: DirectoryVolumes, number: int, volume: str = ID) -> None:
    run(["qemu-io", "-f", "qcow2", "-c", f"write -P {number} 1M 64k", volume_top(volumes.directory, volume)])


def holds(volumes: DirectoryVolumes, number: int, volume: str = ID) -> bool:
    file = volume_top(volumes.directory, volume)
    said = run(["qemu-io", "-f", "qcow2", "-r", "-c", f"read -P {number} 1M 64k", file], check=False)
    return said.returncode == 0 and "Pattern verification failed" not in said.stdout + said.stderr


def layers(volumes: DirectoryVolumes) -> list[str]:
    return sorted(file.name for file in (volumes.directory / "layers").iterdir())


def test_a_volume_from_a_snapshot_has_what_was_there_then(volumes: DirectoryVolumes) -> None:
    write(volumes, 1)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    write(volumes, 2)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    volumes.ensure(SnapshotSpec(id=ONE))
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=3, snapshot=ONE))
    assert holds(volumes, 1, CLONE)
    assert holds(volumes, 2)
    write(volumes, 3, CLONE)
    assert holds(volumes, 2)
    assert holds(volumes, 3, CLONE)
    assert [seen.id for seen in volumes.observe()] == sorted([ID, CLONE, ONE])


def test_layers_stay_as_long_as_anything_stands_on_them(volumes: DirectoryVolumes) -> None:
    write(volumes, 1)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    write(volumes, 2)
    volumes.ensure(SnapshotSpec(id=TWO, volume=ID))
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=ONE))
    volumes.remove(ONE)
    volumes.remove(TWO)
    assert holds(volumes, 1, CLONE)
    assert holds(volumes, 2)
    volumes.remove(ID)
    assert layers(volumes) == [layer_file(volumes.directory, ONE).name]
    assert holds(volumes, 1, CLONE)
    volumes.remove(CLONE)
    assert layers(volumes) == []
    assert volumes.observe() == []


def test_a_snapshot_outlives_its_volume(volumes: DirectoryVolumes) -> None:
    write(volumes, 1)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    volumes.remove(ID)
    assert volumes.look(ONE) is not None
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=ONE))
    assert holds(volumes, 1, CLONE)


def test_a_copy_stands_on_the_same_layer_and_outlives_the_other(volumes: DirectoryVolumes) -> None:
    write(volumes, 1)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    write(volumes, 2)
    volumes.ensure(SnapshotSpec(id=TWO, source=ONE))
    volumes.ensure(SnapshotSpec(id=TWO))
    volumes.remove(ONE)
    volumes.ensure(SnapshotSpec(id=TWO, source=ONE))
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=TWO))
    assert holds(volumes, 1, CLONE)
    assert holds(volumes, 2)
    for id in (ID, CLONE, TWO):
        volumes.remove(id)
    assert layers(volumes) == []
    with pytest.raises(Impossible, match=f"{ONE} has been lost"):
        volumes.ensure(SnapshotSpec(id=TWO, source=ONE))


def test_a_crash_between_the_steps_loses_nothing(volumes: DirectoryVolumes) -> None:
    write(volumes, 1)
    frozen = layer_file(volumes.directory, ONE)
    frozen.parent.mkdir()
    frozen.hardlink_to(volume_top(volumes.directory, ID))
    assert holds(volumes, 1)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    snapshot_file(volumes.directory, ONE).unlink()
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    write(volumes, 2)
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=ONE))
    assert holds(volumes, 1, CLONE)


def test_a_volume_with_snapshots_grows(volumes: DirectoryVolumes) -> None:
    write(volumes, 1)
    volumes.ensure(SnapshotSpec(id=ONE, volume=ID))
    volumes.ensure(VolumeSpec(id=ID, size_gib=4))
    assert holds(volumes, 1)
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=ONE))
    sizes = [run(["qemu-img", "info", volume_top(volumes.directory, id)]).stdout for id in (ID, CLONE)]
    assert ["4 GiB" in sizes[0], "1 GiB" in sizes[1]] == [True, True]


def test_what_is_missing_is_named(volumes: DirectoryVolumes) -> None:
    with pytest.raises(Impossible, match=f"{ONE} has been lost"):
        volumes.ensure(SnapshotSpec(id=ONE))
    with pytest.raises(Impossible, match=f"{ONE} has been lost"):
        volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=ONE))
    with pytest.raises(Failure, match=CLONE):
        volumes.ensure(SnapshotSpec(id=ONE, volume=CLONE))
