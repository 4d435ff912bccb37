"""Images that are objects: fetched whole and right, gone on with after a break, and each hostile bundle refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from cumulet.drivers.image.bundle import decrypt, untar
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.inspect import Limits
from cumulet.drivers.specs import ImageFileSpec, ObjectSpec, ObjectsSpec
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible

ID = "imf-00000000000000002"
MIB = 1 << 20
DISK = bytes(510) + b"\x55\xaa" + bytes(MIB)


class Store(ThreadingHTTPServer):
    """Has `content` at every path. `answers` are codes to give first, `breaks` after how many bytes an answer ends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = DISK
        self.answers: list[int] = []
        self.breaks: list[int] = []
        self.asked: list[str | None] = []
        self.go_on = Event()
        self.go_on.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/object"


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        if self.server.answers:
            self.send_response(self.server.answers.pop(0))
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.content[int(asked[6:-1]) if asked else 0 :]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        content = content[: self.server.breaks.pop(0)] if self.server.breaks else content
        self.wfile.write(content[: len(content) // 2])
        self.server.go_on.wait(10)
        self.wfile.write(content[len(content) // 2 :])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def images(tmp_path: Path) -> DirectoryImages:
    return DirectoryImages(tmp_path / "images", Limits(virtual_size=64 * MIB))


def spec(store: Store, **more: Any) -> ImageFileSpec:
    objects = ObjectsSpec(parts=[ObjectSpec(url=store.url, **more)])
    return ImageFileSpec(id=ID, source="s3://bucket/object", format="raw", objects=objects)


def settled(images: DirectoryImages, wanted: ImageFileSpec) -> None:
    """Ensured until it is there; raises what the driver raises."""
    for _ in range(500):
        images.ensure(wanted)
        if images.look(ID) and not images.progress(ID):
            return
        time.sleep(0.01)
    raise AssertionError("it never comes to an end")


def test_what_breaks_off_is_gone_on_with(images: DirectoryImages, store: Store) -> None:
    store.breaks = [MIB // 2]
    with pytest.raises(Failure, match="it ended after 524288 of"):
        settled(images, spec(store))
    settled(images, spec(store))
    assert store.asked == [None, f"bytes={MIB // 2}-"]
    assert images.facts(ID)["sha256"] == hashlib.sha256(DISK).hexdigest()
    assert [file.name for file in images.directory.iterdir()] == [ID]


@pytest.mark.parametrize(("code", "error"), [(404, Impossible), (403, Impossible), (302, Failure), (503, Failure)])
def test_an_answer_that_is_none_is_final_or_not(
    images: DirectoryImages, store: Store, code: int, error: type[Exception]
) -> None:
    """An answer that leads elsewhere is not followed: the host would ask whom a stranger names."""
    store.answers = [code]
    with pytest.raises(error, match=f"HTTP {code}"):
        settled(images, spec(store))
    settled(images, spec(store))


def test_an_object_that_is_too_large_or_another_is_refused(images: DirectoryImages, store: Store) -> None:
    store.content = bytes(65 * MIB)
    with pytest.raises(Impossible, match="the most that are taken in"):
        settled(images, spec(store))
    store.content = DISK
    with pytest.raises(Impossible, match="its SHA-1 is"):
        settled(images, spec(store, sha1="0" * 40))
    assert list(images.directory.iterdir()) == []


def test_how_far_it_is_can_be_asked(images: DirectoryImages, store: Store) -> None:
    store.content, store.go_on = DISK * 8, Event()
    wanted = spec(store, size=len(store.content))
    images.ensure(wanted)
    while (told := images.progress(ID))["percent"] < 30:
        assert told["stage"] in ("pending", "downloading")
        time.sleep(0.005)
    assert told["percent"] <= 50
    assert images.look(ID) is None
    store.go_on.set()
    settled(images, wanted)
    assert images.progress(ID) == {}


def test_what_is_removed_on_its_way_leaves_nothing(images: DirectoryImages, store: Store) -> None:
    images.ensure(spec(store))
    images.remove(ID)
    assert images.observe() == []
    assert list(images.directory.iterdir()) == []
    assert images.progress(ID) == {}


def qcow2(directory: Path, *options: str, size: str = "8M") -> bytes:
    run(["qemu-img", "create", "-q", "-f", "qcow2", *options, directory / "made", size])
    return (directory / "made").read_bytes()


def zipped(directory: Path) -> bytes:
    """64 MiB of nothing in a few bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("disk.raw", bytes(64 * MIB))
    return buffer.getvalue()


HOSTILE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a backing file": (lambda d: qcow2(d, "-b", "/etc/passwd", "-F", "raw"), "BackingFile"),
    "a data file": (lambda d: qcow2(d, "-o", f"data_file={d / 'elsewhere'}"), "DataFile"),
    "a zip bomb": (zipped, "Format"),
    "a gzip bomb": (lambda d: gzip.compress(bytes(64 * MIB)), "Format"),
    "an ISO": (lambda d: bytes(32768) + b"\1CD001" + bytes(32768), "Format"),
    "cut off": (lambda d: qcow2(d, "-o", "preallocation=full")[: 2 * MIB], "Corrupt"),
    "a header of petabytes": (lambda d: qcow2(d)[:24] + struct.pack(">Q", 1 << 50) + qcow2(d)[32:], "Corrupt"),
    "terabytes of nothing": (lambda d: qcow2(d, size="64T"), "Size"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_object_is_refused_and_leaves_nothing(
    images: DirectoryImages, store: Store, tmp_path: Path, name: str
) -> None:
    make, expected = HOSTILE[name]
    store.content = make(tmp_path)
    wanted = msgspec.structs.replace(spec(store), format=None)
    with pytest.raises(Impossible) as refused:
        settled(images, wanted)
    assert refused.value.code == f"Client.InvalidImage.{expected}"
    assert list(images.directory.iterdir()) == []


Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str = "image", content: bytes = DISK, **fields: Any) -> Entry:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def packed(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpacked(directory: Path, tar: bytes, *, sha1: str = "", compressed: bool = True, most: int = 64 * MIB) -> bytes:
    """What `untar` makes of it, in a directory where nothing else may appear."""
    inside = directory / "inside"
    inside.mkdir()
    (inside / "tarball").write_bytes(gzip.compress(tar, 1) if compressed else tar)
    try:
        untar(inside / "tarball", inside / "image", sha1 or hashlib.sha1(tar).hexdigest(), most, lambda count: None)
    finally:
        assert {file.name for file in directory.rglob("*")} <= {"inside", "tarball", "image"}
    return (inside / "image").read_bytes()


@pytest.mark.parametrize("name", ["image", "/etc/cumulet-was-here", "../../outside", "a/b/../../../outside"])
@pytest.mark.parametrize("compressed", [True, False])
def test_the_one_file_is_taken_out_whatever_its_name(tmp_path: Path, name: str, compressed: bool) -> None:
    assert unpacked(tmp_path, packed(entry(name)), compressed=compressed) == DISK
    assert not Path("/etc/cumulet-was-here").exists()


def test_a_sparse_file_has_its_holes_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.seek(8 * MIB)
        file.write(DISK)
    run(["tar", "-C", tmp_path, "-S", "-cf", tmp_path / "tar", "source"])
    content, tar = source.read_bytes(), (tmp_path / "tar").read_bytes()
    assert len(tar) < 2 * MIB
    for used in (source, tmp_path / "tar"):
        used.unlink()
    assert unpacked(tmp_path, tar) == content
    assert (tmp_path / "inside" / "image").stat().st_blocks * 512 < 2 * MIB


def _petabytes() -> bytes:
    """The header of a sparse file of 1 PiB that says it has almost no data."""
    member = tarfile.TarInfo("image")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 0, b"%011o\0" % 512
    header[483:495] = b"\x80" + (1 << 50).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(512) + bytes(1024)


def _long_header() -> bytes:
    """A header of pax's that goes on for 16 MiB."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 16 * MIB
    return member.tobuf(tarfile.USTAR_FORMAT) + bytes(16 * MIB)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: packed(entry(type=tarfile.SYMTYPE, linkname="/etc/passwd", content=b"")), "has a link"),
        (lambda: packed(entry(type=tarfile.LNKTYPE, linkname="/etc/passwd", content=b"")), "has a link"),
        (lambda: packed(entry(type=tarfile.CHRTYPE, content=b"")), "has a device"),
        (lambda: packed(entry(type=tarfile.DIRTYPE, content=b"")), "has a directory"),
        (lambda: packed(entry(), entry("second", b"x")), "more than one file"),
        (lambda: packed(), "is empty"),
        (lambda: packed(entry(content=bytes(65 * MIB))), "are the most that are taken in"),
        (lambda: packed(entry()) + bytes(128 * MIB), "more in it than the file"),
        (_petabytes, "are the most that are taken in"),
        (_long_header, "more in it than the file"),
        (lambda: packed(entry())[:MIB], "cut off|no tarball"),
        (lambda: os.urandom(2 * MIB), "no tarball"),
    ],
    ids="link hardlink device directory two none large behind petabytes header cut-off noise".split(),  # noqa: SIM905
)
def test_a_tarball_that_is_no_image_is_refused(tmp_path: Path, make: Callable[[], bytes], said: str) -> None:
    with pytest.raises(Impossible, match=said) as refused:
        unpacked(tmp_path, make())
    assert refused.value.code == "Client.InvalidImage.Untar"


def test_a_tarball_with_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Impossible, match="the SHA-1 of the tarball"):
        unpacked(tmp_path, packed(entry()), sha1="0" * 40)


def test_parts_that_are_not_of_this_key_are_refused(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(os.urandom(15) + os.urandom(1000))
    with pytest.raises(Impossible, match="cannot be decrypted"):
        decrypt([tmp_path / "part"], tmp_path / "tarball", "00" * 16, "00" * 16, lambda count: None)
