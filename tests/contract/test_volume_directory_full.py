"""A full disk under volumes and images: clear words, nothing left behind, and recovery when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cumulet.drivers.contract import Seen
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.specs import ImageFileSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

pytestmark = pytest.mark.private_host


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB in which one file takes all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run(["mount", "-n", "-t", "tmpfs", "-o", "size=1M", "tmpfs", disk])
    (disk / "ballast").write_bytes(bytes(1024 * 1024))
    yield disk
    run(["umount", "-n", disk])


def test_a_volume_is_made_when_there_is_room_again(full: Path) -> None:
    volumes = DirectoryVolumes(full, full / "images", Exports(full, ""))
    spec = VolumeSpec(id="vol-0123456789abcdef0", size_gib=1)
    with pytest.raises(Failure, match=r"the disk is full: it needs 262144 bytes, \d+ are free"):
        volumes.ensure(spec)
    assert [file.name for file in full.iterdir()] == ["ballast"]
    (full / "ballast").unlink()
    volumes.ensure(spec)
    assert volumes.observe() == [Seen(id=spec.id)]


def test_an_image_is_taken_in_when_there_is_room_again(full: Path, tmp_path: Path) -> None:
    images = DirectoryImages(full)
    source = tmp_path / "source"
    source.write_bytes(b"\x07" * 700_000)
    spec = ImageFileSpec(id="imf-00000000000000001", source=str(source), format="raw")
    with pytest.raises(Failure, match=r"the disk is full: it needs up to 700000 bytes, \d+ are free"):
        images.ensure(spec)
    assert [file.name for file in full.iterdir()] == ["ballast"]
    (full / "ballast").unlink()
    images.ensure(spec)
    assert images.observe() == [Seen(id=spec.id)]
