"""Layers of deleted snapshots in a directory become one with those on top of them, and nothing is lost by that."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from cumulet.demo.process import until
from cumulet.drivers.places import backing, layer_file, volume_file, volume_top
from cumulet.drivers.specs import SnapshotSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib import crash
from cumulet.lib.command import run

ID, CLONE = "vol-0123456789abcdef0", "vol-0123456789abcdef1"
SNAPSHOTS = [f"snap-{number:017x}" for number in range(6)]
MIB = 1 << 20


def driver(directory: Path) -> DirectoryVolumes:
    return DirectoryVolumes(directory / "volumes", directory / "images", Exports(directory, ""))


@pytest.fixture
def volumes(tmp_path: Path) -> DirectoryVolumes:
    """A volume with as many snapshots; number n was written to the n-th MiB, and to the first, before the n-th."""
    made = driver(tmp_path)
    made.ensure(VolumeSpec(id=ID, size_gib=1))
    for number, snapshot in enumerate(SNAPSHOTS):
        write(made, number + 1, number)
        write(made, number + 1, 100)
        take(made, snapshot)
    return made


def take(volumes: DirectoryVolumes, snapshot: str, volume: str = ID) -> None:
    volumes.ensure(SnapshotSpec(id=snapshot, volume=volume))
    volumes.ensure(SnapshotSpec(id=snapshot))


def write(volumes: DirectoryVolumes, number: int, megabyte: int, volume: str = ID) -> None:
    run(["qemu-io", "-f", "qcow2", "-c", f"write -P {number} {megabyte}M 64k", volume_top(volumes.directory, volume)])


def holds(file: Path, last: int) -> bool:
    """Whether there is what was written before the `last` snapshot, and nothing of what came later."""
    wanted = [(number + 1 if number < last else 0, number) for number in range(len(SNAPSHOTS))] + [(last, 100)]
    words = [word for number, megabyte in wanted for word in ("-c", f"read -P {number} {megabyte}M 64k")]
    said = run(["qemu-io", "-f", "qcow2", "-r", *words, file], check=False)
    return said.returncode == 0 and "verification failed" not in said.stdout + said.stderr


def depth(file: Path | None) -> int:
    count = 0
    while file is not None:
        file, count = backing(file), count + 1
    return count


def test_a_chain_has_no_layers_of_deleted_snapshots(volumes: DirectoryVolumes) -> None:
    assert depth(volume_top(volumes.directory, ID)) == 7
    for snapshot in (SNAPSHOTS[0], SNAPSHOTS[2], SNAPSHOTS[3]):
        volumes.remove(snapshot)
    until(lambda: rests(volumes, 4), 20, "the layers to be merged")
    for number in (1, 4, 5):
        assert holds(layer_file(volumes.directory, SNAPSHOTS[number]), number + 1)
    assert holds(volume_top(volumes.directory, ID), 6)
    left = sorted(file.name for file in (volumes.directory / "layers").iterdir())
    names = {SNAPSHOTS[number] for number in (1, 4, 5)}
    assert {name.removesuffix(".qcow2") for name in left if name.startswith("snap")} == names
    assert volume_file(volumes.directory, ID).resolve().name != f"{ID}.qcow2", "what it began as takes room"
    volumes.ensure(VolumeSpec(id=ID, size_gib=2))
    assert holds(volume_top(volumes.directory, ID), 6)
    for id in (ID, *names):
        volumes.remove(id)
    until(lambda: not list((volumes.directory / "layers").iterdir()), 10, "all to be gone")
    assert volumes.observe() == []


def rests(volumes: DirectoryVolumes, wanted: int) -> bool:
    """Whether the volume stands on so many layers; it is what removing anything comes to in the end."""
    volumes.remove("snap-none")
    return depth(volume_top(volumes.directory, ID)) == wanted


def test_what_others_stand_on_stays(volumes: DirectoryVolumes) -> None:
    volumes.ensure(VolumeSpec(id=CLONE, size_gib=1, snapshot=SNAPSHOTS[1]))
    copy = "snap-0123456789abcdef1"
    volumes.ensure(SnapshotSpec(id=copy, source=SNAPSHOTS[3]))
    for snapshot in SNAPSHOTS[:5]:
        volumes.remove(snapshot)
    until(lambda: rests(volumes, 4), 20, "the layers to be merged")
    assert holds(volume_top(volumes.directory, CLONE), 2)
    assert holds(volumes.directory / f"{copy}.qcow2", 4)
    assert holds(volume_top(volumes.directory, ID), 6)


def test_what_a_guest_may_write_to_is_left_alone(volumes: DirectoryVolumes) -> None:
    later = "snap-0123456789abcdef2"
    volumes.ensure(SnapshotSpec(id=later, volume=ID))  # not complete: a guest may not have changed over
    volumes.remove(SNAPSHOTS[5])
    time.sleep(0.5)
    assert depth(volume_top(volumes.directory, ID)) == 8
    volumes.ensure(SnapshotSpec(id=later))
    until(lambda: rests(volumes, 7), 20, "the layers to be merged")


def test_a_volume_that_is_read_meanwhile_is_read_to_its_end(volumes: DirectoryVolumes) -> None:
    top = volume_top(volumes.directory, ID)
    reader = subprocess.Popen(["qemu-io", "-f", "qcow2", top], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdin is not None
    reader.stdin.write("read -P 1 0 64k\n")
    reader.stdin.flush()
    for snapshot in SNAPSHOTS[:5]:
        volumes.remove(snapshot)
    until(lambda: rests(volumes, 2), 20, "the layers to be merged")
    said, _ = reader.communicate("read -P 2 1M 64k\nread -P 5 4M 64k\nwrite -P 9 200M 64k\nread -P 6 100M 64k\n")
    assert "failed" not in said
    assert holds(top, 6)


@pytest.mark.parametrize("where", ["volume.merging.filled", "volume.merging.merged"])
def test_a_death_in_the_midst_of_it_loses_nothing(
    volumes: DirectoryVolumes, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = threading.Event()

    def die(name: str) -> None:
        if name == where:
            died.set()
            raise crash.Died(name)

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with crash.at_each_point(die):
        volumes.remove(SNAPSHOTS[0])
        assert died.wait(10)
    (volumes.directory / "layers" / f".{SNAPSHOTS[1]}.qcow2.merged").write_bytes(b"half")
    assert holds(volume_top(volumes.directory, ID), 6)
    assert holds(layer_file(volumes.directory, SNAPSHOTS[1]), 2)
    again = driver(volumes.directory.parent)
    for snapshot in SNAPSHOTS[1:]:
        again.ensure(SnapshotSpec(id=snapshot))
    until(lambda: rests(again, 6), 20, "the layers to be merged")
    assert holds(volume_top(volumes.directory, ID), 6)
    assert holds(layer_file(volumes.directory, SNAPSHOTS[1]), 2)
    until(lambda: not list((volumes.directory / "layers").glob(".*")), 10, "what was half done to be gone")
