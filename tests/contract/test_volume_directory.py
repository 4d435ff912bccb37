"""Volumes in a directory: made, grown, never shrunk, and clear words when they cannot be made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cumulet.drivers.contract import Driver, Seen
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.places import image_files, volume_file
from cumulet.drivers.specs import ImageFileSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

GIB = 1024**3
IMAGE = "imf-00000000000000001"
ID = "vol-0123456789abcdef0"


@pytest.fixture
def volumes(tmp_path: Path) -> DirectoryVolumes:
    return DirectoryVolumes(tmp_path / "volumes", tmp_path / "images", Exports(tmp_path, ""))


def _import(volumes: DirectoryVolumes, source: Path, format: str, size: str = "64M") -> None:
    run(["qemu-img", "create", "-q", "-f", format, source, size])
    run(["qemu-io", "-f", format, "-c", "write -P 5 1M 64k", source])
    DirectoryImages(volumes.images_directory).ensure(ImageFileSpec(id=IMAGE, source=str(source), format=format))  # type: ignore[arg-type]


def _described(volumes: DirectoryVolumes) -> dict[str, object]:
    file = volume_file(volumes.directory, ID)
    run(["qemu-img", "check", "-q", "-f", "qcow2", file])
    described: dict[str, object] = json.loads(run(["qemu-img", "info", "--output=json", file]).stdout)
    return described


def test_it_is_a_driver(volumes: DirectoryVolumes) -> None:
    assert isinstance(volumes, Driver)


def test_an_empty_volume_is_there_once_and_then_gone(volumes: DirectoryVolumes) -> None:
    assert volumes.observe() == []
    volumes.ensure(VolumeSpec(id=ID, size_gib=7))
    before = volume_file(volumes.directory, ID).stat()
    volumes.ensure(VolumeSpec(id=ID, size_gib=7))
    assert volume_file(volumes.directory, ID).stat() == before
    assert _described(volumes)["virtual-size"] == 7 * GIB
    assert volumes.observe() == [Seen(id=ID)]
    assert volumes.look(ID) == Seen(id=ID)
    volumes.remove(ID)
    volumes.remove(ID)
    assert volumes.look(ID) is None
    assert list(volumes.directory.iterdir()) == []


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_a_volume_of_an_image_has_its_contents(volumes: DirectoryVolumes, tmp_path: Path, format: str) -> None:
    _import(volumes, tmp_path / "source", format)
    volumes.ensure(VolumeSpec(id=ID, size_gib=10, image_file=IMAGE))
    assert _described(volumes)["virtual-size"] == 10 * GIB
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 5 1M 64k", volume_file(volumes.directory, ID)])


def test_a_volume_is_never_smaller_than_its_image(volumes: DirectoryVolumes, tmp_path: Path) -> None:
    _import(volumes, tmp_path / "source", "qcow2", "3G")
    volumes.ensure(VolumeSpec(id=ID, size_gib=1, image_file=IMAGE))
    assert _described(volumes)["virtual-size"] == 3 * GIB


def test_an_image_without_a_disk_gives_an_empty_volume(volumes: DirectoryVolumes) -> None:
    files = image_files(volumes.images_directory, IMAGE)
    files["facts"].parent.mkdir(parents=True)
    files["facts"].write_text('{"format": "kernel", "virtual_size": 0}')
    files["kernel"].touch()
    with pytest.raises(Failure, match=r"its image file .*/initrd is missing"):
        volumes.ensure(VolumeSpec(id=ID, size_gib=2, image_file=IMAGE))
    files["initrd"].touch()
    volumes.ensure(VolumeSpec(id=ID, size_gib=2, image_file=IMAGE))
    described = _described(volumes)
    assert described["virtual-size"] == 2 * GIB
    assert "backing-filename" not in described


def test_a_volume_grows_with_its_contents_and_does_not_shrink(volumes: DirectoryVolumes) -> None:
    volumes.ensure(VolumeSpec(id=ID, size_gib=2))
    run(["qemu-io", "-f", "qcow2", "-c", "write -P 3 1G 64k", volume_file(volumes.directory, ID)])
    volumes.ensure(VolumeSpec(id=ID, size_gib=2000))
    assert _described(volumes)["virtual-size"] == 2000 * GIB
    volumes.ensure(VolumeSpec(id=ID, size_gib=1))
    assert _described(volumes)["virtual-size"] == 2000 * GIB
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 3 1G 64k", volume_file(volumes.directory, ID)])


def test_a_volume_in_use_is_not_grown(volumes: DirectoryVolumes, tmp_path: Path) -> None:
    volumes.ensure(VolumeSpec(id=ID, size_gib=2))
    file = volume_file(volumes.directory, ID)
    with subprocess.Popen(["qemu-io", "-f", "qcow2", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdin and user.stdout
        user.stdin.write(b"length\n")
        user.stdin.flush()
        user.stdout.readline()  # it has opened the file
        with pytest.raises(Failure, match="lock"):
            volumes.ensure(VolumeSpec(id=ID, size_gib=3))
    volumes.ensure(VolumeSpec(id=ID, size_gib=3))
    assert _described(volumes)["virtual-size"] == 3 * GIB


def test_a_missing_image_is_named_and_its_return_is_enough(volumes: DirectoryVolumes, tmp_path: Path) -> None:
    spec = VolumeSpec(id=ID, size_gib=4, image_file=IMAGE)
    with pytest.raises(Failure, match=IMAGE):
        volumes.ensure(spec)
    _import(volumes, tmp_path / "source", "raw")
    disk = image_files(volumes.images_directory, IMAGE)["disk"]
    away = disk.rename(disk.with_name("away"))
    with pytest.raises(Failure, match=f"{IMAGE}/disk is missing"):
        volumes.ensure(spec)
    assert volumes.observe() == []
    away.rename(disk)
    volumes.ensure(spec)
    assert volumes.observe() == [Seen(id=ID)]


def test_what_a_crash_left_is_no_volume_and_does_not_hinder(volumes: DirectoryVolumes) -> None:
    volumes.directory.mkdir()
    (volumes.directory / f".{ID}.qcow2.new").write_bytes(b"half")
    assert volumes.observe() == []
    volumes.ensure(VolumeSpec(id=ID, size_gib=1))
    assert _described(volumes)["virtual-size"] == GIB
    assert [file.name for file in volumes.directory.iterdir()] == [f"{ID}.qcow2"]
