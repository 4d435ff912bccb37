"""Images in a directory: what is taken in, what is known about it, and each reason to refuse."""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cumulet.drivers.contract import Driver, Seen
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.inspect import Limits
from cumulet.drivers.places import image_files
from cumulet.drivers.specs import ImageFileSpec
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible

ID = "imf-00000000000000001"
MIB = 1024**2
EFI_SYSTEM = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@pytest.fixture
def images(tmp_path: Path) -> DirectoryImages:
    return DirectoryImages(tmp_path / "images")


def _disk(file: Path, format: str, *options: str, size: str = "64M") -> Path:
    run(["qemu-img", "create", "-q", "-f", format, *options, file, size])
    return file


def _spec(source: Path, format: str | None = None) -> ImageFileSpec:
    return ImageFileSpec(id=ID, source=str(source), format=format)  # type: ignore[arg-type]


def _with_boot_record(file: Path, *partitions: str) -> Path:
    """A raw disk with a boot record and, where partitions' types are given, a GUID partition table."""
    content = bytearray(MIB)
    content[510:512] = b"\x55\xaa"
    if partitions:
        content[512:520] = b"EFI PART"
    for position, kind in enumerate(partitions):
        content[1024 + 128 * position : 1040 + 128 * position] = uuid.UUID(kind).bytes_le
    file.write_bytes(content)
    return file


def test_it_is_a_driver(images: DirectoryImages) -> None:
    assert isinstance(images, Driver)


def test_an_image_is_taken_in_once_and_needs_its_source_no_more(images: DirectoryImages, tmp_path: Path) -> None:
    source = _disk(tmp_path / "source", "qcow2")
    contents = source.read_bytes()
    images.ensure(_spec(source, "qcow2"))
    source.unlink()
    images.ensure(_spec(source, "qcow2"))
    assert image_files(images.directory, ID)["disk"].read_bytes() == contents
    assert images.observe() == [Seen(id=ID)]
    assert images.facts(ID) == {
        "format": "qcow2",
        "virtual_size": 64 * MIB,
        "size": len(contents),
        "sha256": hashlib.sha256(contents).hexdigest(),
        "boot": "bios",
        "architecture": "x86_64",
    }
    images.remove(ID)
    images.remove(ID)
    assert images.observe() == []
    assert list(images.directory.iterdir()) == []


def test_how_much_room_there_is_can_be_asked_before_any_image_is_there(images: DirectoryImages) -> None:
    room = images.room()
    assert 0 < room["free"] <= room["size"]


def test_zeroes_take_no_room(images: DirectoryImages, tmp_path: Path) -> None:
    source = _with_boot_record(tmp_path / "source")
    with source.open("r+b") as opened:
        opened.truncate(256 * MIB + 512)
    images.ensure(_spec(source))
    taken = image_files(images.directory, ID)["disk"].stat()
    assert taken.st_size == 256 * MIB + 512
    assert taken.st_blocks * 512 <= 2 * MIB


@pytest.mark.parametrize(
    ("partitions", "boot"),
    [([], "bios"), ([LINUX, BIOS_BOOT, EFI_SYSTEM], "bios"), ([EFI_SYSTEM, LINUX], "uefi"), ([LINUX], "bios")],
)
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_how_it_boots_is_seen_by_its_partitions(
    images: DirectoryImages, tmp_path: Path, format: str, partitions: list[str], boot: str
) -> None:
    source = _with_boot_record(tmp_path / "raw", *partitions)
    converted = tmp_path / "source"
    run(["qemu-img", "convert", "-f", "raw", "-O", format, source, converted])
    images.ensure(_spec(converted))
    assert (images.facts(ID)["boot"], images.facts(ID)["format"]) == (boot, format)


def test_a_compressed_image_is_fine(images: DirectoryImages, tmp_path: Path) -> None:
    source = _with_boot_record(tmp_path / "raw", EFI_SYSTEM)
    run(["qemu-img", "convert", "-c", "-O", "qcow2", source, tmp_path / "source"])
    images.ensure(_spec(tmp_path / "source", "qcow2"))
    assert images.facts(ID)["boot"] == "uefi"


def _backed(directory: Path) -> Path:
    under = _disk(directory / "under", "raw")
    return _disk(directory / "source", "qcow2", "-b", str(under), "-F", "raw")


def _with_data_file(directory: Path) -> Path:
    return _disk(directory / "source", "qcow2", "-o", f"data_file={directory / 'elsewhere'}")


def _luks_inside(directory: Path) -> Path:
    source = _disk(directory / "source", "qcow2")
    with source.open("r+b") as opened:  # the method of encryption
        opened.seek(32)
        opened.write(struct.pack(">I", 2))
    return source


def _luks(directory: Path) -> Path:
    (directory / "source").write_bytes(b"LUKS\xba\xbe\0\1".ljust(4096, b"\0"))
    return directory / "source"


def _corrupt(directory: Path) -> Path:
    source = _disk(directory / "source", "qcow2")
    with source.open("r+b") as opened:  # an L1 entry that points at the header
        opened.seek(struct.unpack(">Q", source.read_bytes()[40:48])[0])
        opened.write(struct.pack(">Q", 1 << 63 | 512 * 77))
    return source


def _cut_off(directory: Path) -> Path:
    source = _disk(directory / "source", "qcow2")
    source.write_bytes(source.read_bytes()[:600])
    return source


def _cut_off_by_its_partitions(directory: Path) -> Path:
    """A raw disk of 1 MiB with a partition up to 2 MiB."""
    file = _with_boot_record(directory / "source", LINUX)
    content = bytearray(file.read_bytes())
    content[1024 + 40 : 1024 + 48] = (2 * MIB // 512 - 1).to_bytes(8, "little")
    file.write_bytes(content)
    return file


def _marked_corrupt(directory: Path) -> Path:
    source = _disk(directory / "source", "qcow2")
    with source.open("r+b") as opened:
        opened.seek(72)
        opened.write(struct.pack(">Q", 2))
    return source


def _huge(directory: Path) -> Path:
    return _disk(directory / "source", "qcow2", size="3T")


def _vmdk(directory: Path) -> Path:
    return _disk(directory / "source", "vmdk")


def _vmdk_that_names_a_file(directory: Path) -> Path:
    source = directory / "source"
    source.write_text("# Disk DescriptorFile\nversion=1\n" + 'RW 1 FLAT "/etc/shadow" 0\n' * 40)
    return source


def _empty(directory: Path) -> Path:
    (directory / "source").touch()
    return directory / "source"


def _short(directory: Path) -> Path:
    (directory / "source").write_bytes(b"\x55\xaa" * 255)
    return directory / "source"


def _a_page(directory: Path) -> Path:
    (directory / "source").write_text("<html>404 not found</html>" * 100)
    return directory / "source"


@pytest.mark.parametrize(
    ("make", "declared", "code"),
    [
        (_backed, "qcow2", "BackingFile"),
        (_backed, None, "BackingFile"),
        (_with_data_file, "qcow2", "DataFile"),
        (_luks_inside, "qcow2", "Encrypted"),
        (_luks, "raw", "Encrypted"),
        (_corrupt, "qcow2", "Corrupt"),
        (_cut_off, "qcow2", "Corrupt"),
        (_cut_off_by_its_partitions, None, "Corrupt"),
        (_marked_corrupt, "qcow2", "Corrupt"),
        (_huge, "qcow2", "Size"),
        (_vmdk, None, "Format"),
        (_vmdk, "raw", "Format"),
        (_vmdk_that_names_a_file, None, "Format"),
        (_huge, "raw", "Format"),
        (_empty, "raw", "Format"),
        (_short, "raw", "Format"),
        (_a_page, None, "Format"),
        (_a_page, "qcow2", "Format"),
        (_a_page, "kernel", "Format"),
    ],
)
def test_what_must_not_be_used_is_refused_and_leaves_nothing(
    images: DirectoryImages, tmp_path: Path, make: Callable[[Path], Path], declared: str | None, code: str
) -> None:
    with pytest.raises(Impossible) as refused:
        images.ensure(_spec(make(tmp_path), declared))
    assert refused.value.code == f"Client.InvalidImage.{code}"
    assert images.observe() == []
    assert list(images.directory.iterdir()) == []


def test_an_image_that_takes_too_much_to_inspect_is_refused(tmp_path: Path) -> None:
    images = DirectoryImages(tmp_path / "images", Limits(memory_mib=16))
    with pytest.raises(Impossible) as refused:
        images.ensure(_spec(_disk(tmp_path / "source", "qcow2")))
    assert refused.value.code == "Client.InvalidImage.Limits"


def test_a_kernel_and_its_initrd_are_taken_in(images: DirectoryImages, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(bytes(0x202) + b"HdrS" + bytes(100))
    (tmp_path / "initrd").write_bytes(b"070701" + bytes(100))
    images.ensure(_spec(tmp_path, "kernel"))
    files = image_files(images.directory, ID)
    assert images.facts(ID)["boot"] == "kernel"
    assert files["initrd"].read_bytes() == (tmp_path / "initrd").read_bytes()
    assert not files["disk"].exists()


def test_a_kernel_that_is_none_is_refused(images: DirectoryImages, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(bytes(1000))
    (tmp_path / "initrd").write_bytes(b"070701" + bytes(100))
    with pytest.raises(Impossible, match="no Linux kernel"):
        images.ensure(_spec(tmp_path, "kernel"))


def test_a_missing_source_is_named_and_its_return_is_enough(images: DirectoryImages, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"source is missing"):
        images.ensure(_spec(tmp_path / "source"))
    images.ensure(_spec(_disk(tmp_path / "source", "qcow2")))
    assert images.observe() == [Seen(id=ID)]


def test_an_image_whose_disk_is_lost_is_taken_in_again(images: DirectoryImages, tmp_path: Path) -> None:
    source = _disk(tmp_path / "source", "qcow2")
    images.ensure(_spec(source))
    image_files(images.directory, ID)["disk"].unlink()
    assert images.look(ID) is None
    images.ensure(_spec(source))
    assert image_files(images.directory, ID)["disk"].read_bytes() == source.read_bytes()


def test_an_image_that_was_lost_is_made_again_of_the_same_bytes_only(images: DirectoryImages, tmp_path: Path) -> None:
    source = _disk(tmp_path / "source", "qcow2")
    images.ensure(_spec(source))
    spec = msgspec.structs.replace(_spec(source), sha256=images.facts(ID)["sha256"])
    images.remove(ID)
    away = source.rename(tmp_path / "away")
    _disk(source, "qcow2", size="65M")
    with pytest.raises(Impossible, match="is not what was taken in before"):
        images.ensure(spec)
    assert list(images.directory.iterdir()) == []
    away.rename(source)
    images.ensure(spec)
    assert images.observe() == [Seen(id=ID)]
